"""What is kept of a model's answers and costs, and the limits on them, against a naive sum."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.catalog.annotators import store as store_module
from model_store.catalog.annotators.budget import Budget, Limits
from model_store.catalog.annotators.store import Spent, Store
from model_store.catalog.errors import MisconfiguredError, UnavailableError
from model_store.catalog.structured import Answer

spent_since = store_module._since


class Clock:
    def __init__(self, now_s: float = 1_760_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    one = Store(tmp_path / "deep" / "answers.sqlite")
    yield one
    one.close()


def test_answers_outlive_a_restart(tmp_path: Path) -> None:
    first = Store(tmp_path / "a.sqlite")
    first.put("k", b"\x00v")
    first.put("k", b"w")
    first.close()
    second = Store(tmp_path / "a.sqlite")
    assert (second.get("k"), second.get("other")) == (b"w", None)
    second.close()


def test_a_file_that_is_no_store_needs_a_person(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(b"garbage" * 1000)
    with pytest.raises(MisconfiguredError, match=r"a\.sqlite"):
        Store(tmp_path / "a.sqlite")
    with pytest.raises(MisconfiguredError):
        Store(tmp_path)


def test_a_store_that_another_process_holds_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_store.catalog.annotators.store._WAIT_S", 0.05)
    store = Store(tmp_path / "a.sqlite")
    other = sqlite3.connect(tmp_path / "a.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for write in (
        lambda: store.put("k", b"v"),
        lambda: store.spend(1, Spent(1, 1)),
        lambda: store.spend_within(1, Spent(1, 1), Spent(9, 9), Spent(9, 9)),
    ):
        with pytest.raises(UnavailableError):
            write()
    other.execute("ROLLBACK")
    other.close()
    assert store.spend_within(1, Spent(1, 1), Spent(9, 9), Spent(9, 9))  # nothing is left half done
    store.close()
    with pytest.raises(UnavailableError):
        store.get("k")


@settings(max_examples=60)
@given(
    costs=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 50)), min_size=1, max_size=40),
    limits=st.tuples(st.integers(0, 5), st.integers(0, 100), st.integers(0, 12), st.integers(0, 300)),
)
def test_what_fits_is_what_a_naive_sum_says(
    tmp_path_factory: pytest.TempPathFactory, costs: list[tuple[int, int]], limits: tuple[int, int, int, int]
) -> None:
    store = Store(tmp_path_factory.mktemp("budget") / "a.sqlite")
    per_hour, per_day = Spent(*limits[:2]), Spent(*limits[2:])
    minute, booked = 29_000_000, list[tuple[int, int]]()
    for later, tokens in costs:
        minute += later
        hour = [cost for at, cost in booked if minute - at < 60]
        day = [cost for at, cost in booked if minute - at < 24 * 60]
        fits = (
            len(hour) < limits[0]
            and sum(hour) + tokens <= limits[1]
            and len(day) < limits[2]
            and sum(day) + tokens <= limits[3]
        )
        assert store.spend_within(minute, Spent(1, tokens), per_hour, per_day) == fits
        if fits:
            booked.append((minute, tokens))
    store.close()


def test_the_budget_comes_back_and_survives_a_restart(tmp_path: Path) -> None:
    clock, limits = Clock(), Limits(requests_per_hour=2, requests_per_day=3)
    store = Store(tmp_path / "a.sqlite")
    budget = Budget(store, limits, clock)
    assert [budget.book(10) for _ in range(3)] == [True, True, False]
    store.close()
    store = Store(tmp_path / "a.sqlite")
    budget = Budget(store, limits, clock)
    assert not budget.book(10)
    clock.now_s += 3_600
    assert [budget.book(10) for _ in range(2)] == [True, False]  # the day's third, and one too many
    clock.now_s += 86_400
    assert budget.book(10)
    store.close()


def test_what_was_really_spent_takes_the_bookings_place(store: Store) -> None:
    budget = Budget(store, Limits(tokens_per_hour=1_000), Clock())
    assert budget.book(900)
    assert not budget.book(900)
    budget.settle(900, Answer("", "", 60, 40, False, requests=2))
    assert budget.book(900)
    assert budget.spent() == (Spent(3, 1_000), Spent(3, 1_000))


@pytest.mark.parametrize("processes", [1, 4])
def test_several_do_not_spend_the_same_twice(tmp_path: Path, processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of one process share a store; processes have one each, of the same file. They look, and think it over."""

    def slowly(*asked: Any) -> Spent:
        found = spent_since(*asked)
        time.sleep(0.003)
        return found

    monkeypatch.setattr(store_module, "_since", slowly)
    stores = [Store(tmp_path / "a.sqlite") for _ in range(processes)]
    budgets = [Budget(stores[n % processes], Limits(requests_per_hour=20), Clock()) for n in range(4)]
    booked = list[bool]()

    def book(budget: Budget) -> None:
        booked.extend(budget.book(1) for _ in range(10))

    threads = [threading.Thread(target=book, args=(budget,)) for budget in budgets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in stores:
        one.close()
    assert booked.count(True) == 20
