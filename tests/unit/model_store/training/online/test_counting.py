"""What is counted and observed from the stream, against plain loops."""

import math
from itertools import pairwise

import numpy as np
import pytest

from model_store.catalog.transitions import Transitions
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.features import features
from model_store.state.hashing import hash_id
from model_store.state.layout import RING, Kind
from model_store.state.memory import DAY_MS, Decays
from model_store.state.writes import empty_table
from model_store.training.online.counts import FLOOR, FadingCounts, PairCounts
from model_store.training.online.examples import observe, user_hashes, waves

NOW_MS = 1_700_000_000_000
HALF_LIVES_DAYS = (0.25, 1, 7, 30)


def test_popularity_fades_by_age_whatever_the_order_of_arrival() -> None:
    rng = np.random.default_rng(1)
    item = rng.integers(0, 5, 60).astype(np.int32)
    ts_ms = NOW_MS + rng.integers(0, 40 * int(DAY_MS), 60)
    counts = FadingCounts(3)
    counts.grow(5)
    for start in range(0, 60, 7):
        counts.add(item[start : start + 7], ts_ms[start : start + 7])
    later = int(ts_ms.max() + DAY_MS)
    for now_ms, found in ((int(ts_ms.max()), counts.columns()), (later, counts.columns(later))):
        for row in range(5):
            for column, days in enumerate(HALF_LIVES_DAYS):
                ages = [(now_ms - at) / (days * DAY_MS) for at, of in zip(ts_ms, item, strict=True) if of == row]
                expected = math.log1p(sum(0.5**age for age in ages) / FLOOR)
                assert found[row, column] == pytest.approx(expected, rel=1e-5)


def test_nobody_counted_is_zero() -> None:
    assert not FadingCounts(4).columns().any()


def test_pairs_counted_bit_by_bit_are_those_of_the_whole_history() -> None:
    rng = np.random.default_rng(2)
    histories = [rng.integers(0, 6, rng.integers(1, 12)).tolist() for _ in range(30)]
    counts = PairCounts()
    for history in histories:
        counts.add(np.array([-1], np.int32), np.array(history[:1], np.int32))
        for first, second in pairwise(history):
            counts.add(np.array([first], np.int32), np.array([second], np.int32))
            if rng.random() < 0.2:
                counts.merge()
    user = np.repeat(np.arange(30), [len(history) for history in histories]).astype(np.int32)
    expected = Transitions.count(user, np.concatenate(histories).astype(np.int32), 6)
    found = counts.transitions(6, weight=0.3)
    for name in ("bounds", "after", "share"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.weight == 0.3


def test_waves_have_each_user_click_once_and_first() -> None:
    rows = np.array([0, 1, 0, 0, 1, 0, 2, 0])
    is_click = np.array([0, 1, 1, 0, 0, 1, 0, 1], np.bool_)
    # user 0: rating | click rating | click | click; user 1: click rating; user 2: rating
    assert [wave.tolist() for wave in waves(rows, is_click)] == [[0, 6], [1, 2, 3, 4], [5], [7]]


def _batch(events: list[tuple[str, Kind, str]]) -> EventBatch:
    """(user, kind, item), a minute apart; an event id each."""
    number = np.arange(len(events))
    return EventBatch(
        keys=[user.encode() for user, _, _ in events],
        kind=np.array([kind for _, kind, _ in events], np.int8),
        offset=number.astype(np.int64),
        ts_ms=NOW_MS + number * 60_000,
        event=(number + 1).astype(np.uint64),
        item=np.array([hash_id(item) for _, _, item in events], np.uint64),
        value=np.full(len(events), 0.75, np.float32),
        region=np.zeros(len(events), np.uint8),
        event_ids=[""] * len(events),
    )


def test_observing_a_batch_is_reading_before_each_click_and_advancing_event_by_event() -> None:
    rng = np.random.default_rng(3)
    kinds = [Kind.CLICK, Kind.RATING, Kind.CLICK, Kind.FOLLOW]
    events = [(f"u{rng.integers(0, 4)}", kinds[rng.integers(0, 4)], f"i{rng.integers(0, 9)}") for _ in range(200)]
    batch, writes, decays = _batch(events), empty_table(), Decays()
    batch.event[17] = batch.event[11]  # the producer sent it again: it is no example if the user is the same
    together, one_by_one = Arena(16), Arena(16)
    found = observe(together, batch, writes, decays)
    place = 0
    for number in range(len(events)):
        one = batch.part(number, number + 1)
        rows = one_by_one.rows_of(one.keys)
        record = one_by_one.records[rows[0]]
        before = features(one_by_one.records, rows)[0]
        clicks = int(record["clicks"])
        ring = [record["ring"][(clicks - 1 - back) % RING] if back < clicks else 0 for back in range(RING)]
        applied = advance(one_by_one, rows, one, writes, decays).outcome[0] == 0
        if one.kind[0] == Kind.CLICK and applied:
            assert found.place[place] == number
            assert found.user[place] == user_hashes(one.keys)[0]
            assert (found.item[place], found.ts_ms[place]) == (one.item[0], one.ts_ms[0])
            np.testing.assert_array_equal(found.features[place], before)
            np.testing.assert_array_equal(found.ring[place], np.array(ring, np.uint64))
            place += 1
    assert place == len(found)
    for user in {user for user, _, _ in events}:
        key = user.encode()
        record = one_by_one.records[one_by_one.row(key)]
        assert together.records[together.row(key)].tobytes() == record.tobytes()
