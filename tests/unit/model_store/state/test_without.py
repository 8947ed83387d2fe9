"""A state without a click against the state that `advance` makes of the same history without it."""

import numpy as np
import numpy.typing as npt
import pytest

from model_store.state.features import features
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM, FACET_DIM, RING
from model_store.state.memory import DAY_MS, HOUR_MS, Decays
from model_store.state.without import without
from model_store.state.writes import WriteTable
from model_store.training.interactions import Interactions
from model_store.training.states import states_of

MINUTE_MS = 60_000
ITEMS = 90
KNOWN = 80  # the last ten write vectors drawn from their hashes
DECAYS = Decays()
RECORDED = ("rank", "rank_weight", "ring", "clicks")


def _writes() -> WriteTable:
    rng = np.random.default_rng(3)
    ids = [f"item-{number}" for number in range(ITEMS)]
    content = np.abs(rng.normal(size=(KNOWN, FACET_DIM))).astype(np.float32)
    content[::7] = 0
    return WriteTable(hash_ids(ids).hash[:KNOWN], rng.normal(size=(KNOWN, DIM)).astype(np.float32), content)


WRITES = _writes()


def history(items: list[int], gap_ms: float, rated: bool = False) -> Interactions:
    """One user's interactions with these items, `gap_ms` apart."""
    count = len(items)
    ids = tuple(f"item-{number}" for number in range(ITEMS))
    ratings = np.linspace(0.1, 1.0, max(1, count))[:count] if rated else np.full(count, np.nan)
    return Interactions(
        "made", "none", ("user",), ids, np.zeros(count, np.int32), np.array(items, np.int32),
        1_760_000_000_000 + (np.arange(count) * gap_ms).astype(np.int64), ratings.astype(np.float32), 1.0,
        "synthetic", ids, (), np.zeros((ITEMS, 0), np.float32),
    )  # fmt: skip


def states(data: Interactions) -> npt.NDArray[np.void]:
    return states_of(data, WRITES, DECAYS).records[:1]


def taken_out(data: Interactions, age: int) -> npt.NDArray[np.void]:
    return without(states(data), np.zeros(1, np.int64), np.array([age]), WRITES, DECAYS)


def replayed(data: Interactions, age: int) -> npt.NDArray[np.void]:
    return states(data.take(np.arange(len(data)) != len(data) - 1 - age))


def read(records: npt.NDArray[np.void]) -> npt.NDArray[np.float32]:
    return features(records, np.zeros(1, np.int64))[0]


def some_items(count: int, seed: int = 1) -> list[int]:
    return np.random.default_rng(seed).permutation(ITEMS)[:count].tolist()


@pytest.mark.parametrize("count", [2, 7, RING - 1])
@pytest.mark.parametrize("age", [0, 1, 4])
def test_by_order_a_state_is_as_if_the_click_never_came(count: int, age: int) -> None:
    data = history(some_items(count), MINUTE_MS)
    if age < count:
        mine, true = taken_out(data, age), replayed(data, age)
        for name in RECORDED:
            np.testing.assert_allclose(mine[name], true[name], rtol=1e-5, atol=1e-5)


def test_a_full_ring_forgets_one_click_and_learns_none() -> None:
    data = history([*some_items(RING), *some_items(20, seed=2)], MINUTE_MS)
    mine, true = taken_out(data, 2), replayed(data, 2)
    np.testing.assert_allclose(mine["rank"], true["rank"], rtol=1e-5, atol=1e-4)
    clicks = int(true["clicks"][0])
    oldest = clicks % RING
    newer = np.arange(RING) != oldest
    np.testing.assert_array_equal(mine["ring"][0, newer], true["ring"][0, newer])
    assert mine["ring"][0, oldest] == 0


@pytest.mark.parametrize(("gap_ms", "within"), [(MINUTE_MS, 0.01), (HOUR_MS, 0.1), (DAY_MS, 0.5)])
@pytest.mark.parametrize("age", [0, 1, 3])
def test_by_time_it_is_so_within_what_the_windows_can_tell(gap_ms: float, within: float, age: int) -> None:
    data = history(some_items(20), gap_ms)
    mine, true, before = read(taken_out(data, age)), read(replayed(data, age)), read(states(data))
    assert np.linalg.norm(mine - true) <= within * np.linalg.norm(before - true)


@pytest.mark.parametrize("gap_ms", [MINUTE_MS, HOUR_MS, DAY_MS])
@pytest.mark.parametrize("age", [0, 1, 3])
def test_a_rating_goes_with_its_click_and_tells_the_second(gap_ms: float, age: int) -> None:
    data = history(some_items(14), gap_ms, rated=True)
    np.testing.assert_allclose(read(taken_out(data, age)), read(replayed(data, age)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rated", [False, True])
def test_without_the_only_click_nothing_is_left(rated: bool) -> None:
    mine = taken_out(history([4], MINUTE_MS, rated), 0)
    assert mine["clicks"][0] == 0
    assert not mine["ring"].any()
    np.testing.assert_array_equal(read(mine), read(replayed(history([4], MINUTE_MS, rated), 0)))


def test_of_two_clicks_on_an_item_one_is_taken() -> None:
    data = history([5, 6, 5, 7, 5], MINUTE_MS)
    for age in (0, 2, 4):
        np.testing.assert_allclose(read(taken_out(data, age)), read(replayed(data, age)), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("clicks", "age"), [(0, 0), (1, 1), (3, 3), (3, 49), (60, RING)])
def test_a_click_that_the_ring_does_not_hold_changes_nothing(clicks: int, age: int) -> None:
    data = history([number % ITEMS for number in range(clicks)], MINUTE_MS)
    assert taken_out(data, age).tobytes() == states(data).tobytes()


def test_the_states_themselves_stay() -> None:
    records = states(history(some_items(10), HOUR_MS, rated=True))
    kept = records.tobytes()
    without(records, np.zeros(4, np.int64), np.arange(4), WRITES, DECAYS)
    assert records.tobytes() == kept


@pytest.mark.parametrize("gap_ms", [0, 1, MINUTE_MS, 40 * DAY_MS, 4000 * DAY_MS])
def test_whatever_the_gaps_there_are_numbers(gap_ms: float) -> None:
    data = history(some_items(12), gap_ms, rated=True)
    for age in range(12):
        assert np.isfinite(read(taken_out(data, age))).all()
