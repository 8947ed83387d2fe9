"""The seen filter's promises, measured; and when recommendations are due."""

import numpy as np
import pytest

from model_store.state import offers
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.layout import DIM
from model_store.state.memory import Decays
from model_store.state.seen import SEEN_CAPACITY, is_seen
from model_store.state.writes import empty_table

ROW = np.zeros(1, np.int64)
NEVER = np.zeros(1, np.int64)  # erased


def _clicks(arena: Arena, items: np.ndarray, first_offset: int = 0) -> None:
    count = len(items)
    batch = EventBatch(
        keys=[b"user"] * count,
        kind=np.zeros(count, np.int8),
        offset=np.arange(first_offset, first_offset + count),
        ts_ms=np.full(count, 1_760_000_000_000),
        event=np.arange(first_offset + 1, first_offset + count + 1).astype(np.uint64),
        item=items,
        value=np.zeros(count, np.float32),
        region=np.zeros(count, np.uint8),
        event_ids=[""] * count,
    )
    advance(arena, arena.rows_of(batch.keys), batch, empty_table(), Decays())


def _items(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 2**63, count, dtype=np.uint64)


@pytest.mark.parametrize("clicked", [10, 80, SEEN_CAPACITY, 2 * SEEN_CAPACITY])
def test_nothing_seen_is_ever_taken_for_new(clicked: int) -> None:
    arena, items = Arena(), _items(clicked, 1)
    _clicks(arena, items)
    remembered = items[-SEEN_CAPACITY:]
    assert all(is_seen(arena.records, 0, item) for item in remembered)


@pytest.mark.parametrize(("clicked", "at_most"), [(80, 0.001), (SEEN_CAPACITY, 0.036), (2 * SEEN_CAPACITY, 0.07)])
def test_false_positives_stay_within_what_the_module_promises(clicked: int, at_most: float) -> None:
    arena = Arena()
    _clicks(arena, _items(clicked, 2))
    others = _items(20_000, 3)
    share = np.mean([is_seen(arena.records, 0, item) for item in others])
    tolerance = 3 * np.sqrt(at_most / len(others))  # three standard errors of a share
    assert share <= at_most + tolerance


def test_a_repeated_item_does_not_fill_the_filter() -> None:
    arena = Arena()
    _clicks(arena, np.full(1000, 7, np.uint64))
    assert arena.records["seen_count"][0].tolist() == [1, 0]


def _vector(angle: float) -> np.ndarray:
    """float32 [1, DIM]; unit vectors in a plane that the sketch keeps: their cosine is the cosine of the angles."""
    vector = np.zeros((1, DIM), np.float32)
    vector[0, 0], vector[0, 2] = np.cos(angle), np.sin(angle)
    return vector


def _offer(arena: Arena, items: list[int], angle: float, now_ms: int) -> None:
    column = np.array([items], np.uint64)
    decided = offers.decide(arena.records, ROW, _vector(angle), NEVER, now_ms, 0, 0.0)
    assert offers.note(arena, ROW, _vector(angle), column, decided, now_ms).all()


def _due(arena: Arena, angle: float, now_ms: int) -> tuple[bool, bool]:
    decided = offers.decide(arena.records, ROW, _vector(angle), NEVER, now_ms, 1000, 0.1)
    return bool(decided.due[0]), bool(decided.ignored[0])


def test_the_first_recommendation_is_due_at_once() -> None:
    arena = Arena()
    _clicks(arena, _items(1, 4))
    assert _due(arena, 0.0, 0) == (True, False)


@pytest.mark.parametrize(
    ("angle", "later_ms", "due"),
    [
        (1.0, 999, False),  # drifted, too soon
        (1.0, 1000, True),
        (0.3, 1000, False),  # 1 - cos(0.3) = 0.045: not drifted
        (0.6, 1000, True),  # 1 - cos(0.6) = 0.175
    ],
)
def test_the_next_one_needs_time_and_drift(angle: float, later_ms: int, due: bool) -> None:
    arena = Arena()
    _clicks(arena, _items(1, 5))
    _offer(arena, [11, 12], 0.0, 5000)
    assert _due(arena, angle, 5000 + later_ms)[0] is due


def test_a_list_is_ignored_until_one_of_its_items_is_clicked() -> None:
    arena = Arena()
    _clicks(arena, np.array([5], np.uint64))
    _offer(arena, [11, 12], 0.0, 0)
    assert _due(arena, 1.0, 2000) == (True, True)
    _clicks(arena, np.array([12], np.uint64), first_offset=10)
    assert _due(arena, 1.0, 2000) == (True, False)


def test_sequence_numbers_have_no_holes() -> None:
    arena = Arena()
    _clicks(arena, _items(1, 6))
    for expected in (1, 2, 3):
        _offer(arena, [expected], 0.0, expected)
        assert arena.records["rec_seq"][0] == expected
    assert arena.dirty[0]


def test_an_offer_without_items_is_none() -> None:
    arena = Arena()
    _clicks(arena, _items(1, 7))
    decided = offers.decide(arena.records, ROW, _vector(0.0), NEVER, 5, 0, 0.0)
    noted = offers.note(arena, ROW, _vector(0.0), np.zeros((1, 3), np.uint64), decided, 5)
    assert not noted.any()
    assert arena.records["rec_seq"][0] == 0
    assert _due(arena, 0.0, 5)[0]
