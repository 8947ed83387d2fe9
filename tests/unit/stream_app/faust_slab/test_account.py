"""Which records are delivered, and what may be committed: the account against every order of events."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.errors import StopWorker
from stream_app.contracts.slab import Slab
from stream_app.faust_slab.account import Account, Fetched

CLICKS = TP("clicks", 0)


@dataclass(frozen=True)
class Record:
    offset: int


def _fetched(first: int, count: int) -> Fetched:
    return Fetched([Record(offset) for offset in range(first, first + count)], first, first + count)


def _account(start: int = 0) -> Account:
    account = Account()
    account.restart({CLICKS: start})
    return account


def _deliver(account: Account, fetched: Fetched) -> Slab:
    slab = Slab(CLICKS.topic, CLICKS.partition, account.accept(CLICKS, fetched), epoch=0)
    account.delivered(CLICKS, slab.done, fetched.end)
    return slab


def _offsets(records: Sequence[Record]) -> list[int]:
    return [record.offset for record in records]


def test_records_delivered_before_are_cut_off() -> None:
    account = _account(start=10)
    assert _offsets(account.accept(CLICKS, _fetched(7, 6))) == [10, 11, 12]
    assert _offsets(account.accept(CLICKS, _fetched(9, 3))) == []
    assert _offsets(account.accept(CLICKS, _fetched(13, 2))) == [13, 14]


def test_missing_records_stop_the_worker_and_say_where() -> None:
    with pytest.raises(StopWorker, match=r"records are missing in clicks\[0\]: expected offset 10, got .* 11 to 12"):
        _account(start=10).accept(CLICKS, _fetched(11, 2))


def test_what_the_log_passes_over_is_not_missing() -> None:
    """Markers and aborted events before, between and after the records, and a stretch of nothing else."""
    account = _account(start=10)
    assert _offsets(account.accept(CLICKS, Fetched([Record(12), Record(15)], start=10, end=18))) == [12, 15]
    assert _offsets(account.accept(CLICKS, Fetched((), start=18, end=20))) == []
    assert _offsets(account.accept(CLICKS, _fetched(20, 1))) == [20]


def test_what_the_log_passes_over_is_committed() -> None:
    account = _account(start=10)
    slab = _deliver(account, Fetched([Record(10)], start=10, end=12))
    account.delivered(CLICKS, [True], 15)
    assert account.committable(CLICKS) is None
    slab.done[0] = True
    assert account.committable(CLICKS) == 15
    assert account.partitions() == []


def test_records_from_before_the_seek_stop_the_worker() -> None:
    with pytest.raises(StopWorker, match="came before its seek"):
        Account().accept(CLICKS, _fetched(0, 1))


def test_a_restart_voids_what_was_delivered() -> None:
    account = _account()
    slab = _deliver(account, _fetched(0, 5))
    account.restart({CLICKS: 0})
    slab.done[0] = True
    assert account.committable(CLICKS) is None
    assert _offsets(account.accept(CLICKS, _fetched(0, 2))) == [0, 1]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_what_may_be_committed_is_the_end_of_the_done_prefix(sizes: list[int], random: object) -> None:
    account, slabs, first = _account(), [], 0
    for size in sizes:
        slabs.append(_deliver(account, _fetched(first, size)))
        first += size
    order = list(range(len(slabs)))
    random.shuffle(order)
    committed, done = 0, set()
    for place in order:
        slabs[place].done[0] = True
        done.add(place)
        prefix = next((i for i in range(len(slabs)) if i not in done), len(slabs))
        expected = sum(sizes[:prefix])
        committed = account.committable(CLICKS) or committed
        assert committed == expected
    assert account.partitions() == []
