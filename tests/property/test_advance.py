"""`advance` against the naive oracle, over any mixture of events in any order and any cut into batches."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.state import windows
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.features import features
from model_store.state.layout import DIM, FACET_DIM, USER, WINDOWS, Kind, Outcome
from model_store.state.memory import Decays
from model_store.state.seen import is_seen
from model_store.state.writes import WriteTable
from tests.property.oracle import DAY, Event, Oracle

START = 1_760_000_000_000
KINDS = {"click": Kind.CLICK, "follow": Kind.FOLLOW, "rating": Kind.RATING, "erasure": Kind.ERASURE}
ITEMS = tuple(range(1, 13))  # of which the table knows the first eight
DECAYS = Decays(context_half_life_ms=20 * DAY)


def _table() -> WriteTable:
    rng = np.random.default_rng(7)
    content = rng.standard_normal((8, FACET_DIM)).astype(np.float32)
    content[7] = 0  # an item of which nothing is known
    return WriteTable(np.arange(1, 9, dtype=np.uint64), rng.standard_normal((8, DIM)).astype(np.float32), content)


TABLE = _table()


def _oracle() -> Oracle:
    return Oracle(
        vectors=lambda item: TABLE.vectors_of(np.array([item], np.uint64))[0].astype(np.float64),
        contents=lambda item: TABLE.content[item - 1].astype(np.float64) if item <= 8 else np.zeros(FACET_DIM),
        rank_half_lives=DECAYS.rank_half_lives_events,
        time_half_lives=DECAYS.time_half_lives_ms,
        content_half_life=DECAYS.content_half_life_ms,
        context_half_life=DECAYS.context_half_life_ms,
    )


def _batch(events: list[Event]) -> EventBatch:
    return EventBatch(
        keys=[b"user"] * len(events),
        kind=np.array([KINDS[event.kind] for event in events], np.int8),
        offset=np.array([event.offset for event in events], np.int64),
        ts_ms=np.array([event.ts for event in events], np.int64),
        event=np.array([event.event_id for event in events], np.uint64),
        item=np.array([event.item for event in events], np.uint64),
        value=np.array([event.value for event in events], np.float32),
        region=np.array([event.region for event in events], np.uint8),
        event_ids=[str(event.event_id) for event in events],
    )


def _run(events: list[Event], cuts: list[int], decays: Decays = DECAYS) -> tuple[Arena, list[str]]:
    arena, outcomes = Arena(), []
    for start, stop in pairwise([0, *sorted(cuts), len(events)]):
        if stop > start:
            batch = _batch(events[start:stop])
            advanced = advance(arena, arena.rows_of(batch.keys), batch, TABLE, decays)
            outcomes += [Outcome(value).name.lower() for value in advanced.outcome]
    return arena, outcomes


times = st.integers(0, 45 * DAY // 1000).map(lambda second: START + second * 1000 + second % 997)
values = {
    "click": st.integers(0, 600_000).map(float),
    "rating": st.one_of(st.integers(0, 10).map(lambda tenth: tenth / 10), st.just(float("nan"))),
    "follow": st.sampled_from([0.0, 1.0]),
    "erasure": st.just(0.0),
}


@st.composite
def streams(draw: st.DrawFn, kinds: tuple[str, ...] = ("click", "click", "rating", "follow", "erasure")) -> list[Event]:
    """Events with ascending offsets for each kind, event times in any order, some ids repeated, some redelivered."""
    events: list[Event] = []
    offsets = dict.fromkeys(KINDS, 0)
    for number in range(draw(st.integers(1, 40))):
        if events and draw(st.integers(0, 9)) == 0:
            events.append(draw(st.sampled_from(events)))  # redelivered by Kafka
            continue
        kind = draw(st.sampled_from(kinds))
        offsets[kind] += draw(st.integers(1, 3))
        repeated = bool(events) and draw(st.integers(0, 9)) == 0
        event_id = draw(st.sampled_from(events)).event_id if repeated else 1000 + number
        item = 0 if kind == "erasure" else draw(st.sampled_from(ITEMS))
        region = draw(st.integers(0, 8))  # what only clicks have is to do nothing elsewhere
        events.append(Event(kind, offsets[kind], event_id, draw(times), item, draw(values[kind]), region))
    return events


def _check(arena: Arena, truth: Oracle) -> None:
    rows = np.zeros(1, np.int64)
    record = arena.records[0]
    assert (record["version"], record["events"]) == (truth.version, truth.events)
    assert (record["event_ts_ms"], record["erased_at_ms"]) == (truth.event_ts, truth.erased_at)
    _check_windows(arena, truth)
    _check_features(features(arena.records, rows)[0], truth)
    _check_context(record, truth)
    ring = [item for item in record["ring"].tolist() if item]
    assert sorted(ring) == sorted(event.item for event in truth.clicks[-50:])
    assert all(is_seen(arena.records, 0, np.uint64(item)) for item in truth.seen())
    followed = {
        int(target) for slot, target in enumerate(record["followee"]) if int(record["followee_active"]) >> slot & 1
    }
    assert followed == {event.item for event in truth.followed()}


def _check_windows(arena: Arena, truth: Oracle) -> None:
    counts = windows.read(arena.records, np.zeros(1, np.int64), np.array([truth.event_ts]))
    expected = truth.windows()
    assert windows.history(arena.records[0]) == truth.history()
    for place, name in enumerate(WINDOWS):
        for field in ("clicks", "dwell_ms", "ratings", "rating_sum", "follows"):
            assert getattr(counts, field)[0, place] == expected[name][field], (name, field)


def _check_features(row: np.ndarray, truth: Oracle) -> None:
    expected = [truth.rank_mean(lane) for lane in range(3)] + [truth.time_mean(lane) for lane in range(2)]
    for lane, mean in enumerate(expected):
        np.testing.assert_allclose(row[lane * DIM : (lane + 1) * DIM], np.broadcast_to(mean, DIM), rtol=0, atol=2e-3)
    np.testing.assert_allclose(
        row[5 * DIM : 5 * DIM + FACET_DIM], np.broadcast_to(truth.content_mean(), FACET_DIM), rtol=0, atol=2e-3
    )


def _check_context(record: np.void, truth: Oracle) -> None:
    for name, expected in truth.context(int(record["bank_ts_ms"])).items():
        np.testing.assert_allclose(record["context_" + name], expected, rtol=1e-4, atol=1e-5, err_msg=name)
    assert record["context_region_last"] == truth.last_region()


@settings(max_examples=300, deadline=None)
@given(streams(), st.lists(st.integers(0, 40), max_size=5))
def test_any_stream_equals_the_naive_truth(events: list[Event], cuts: list[int]) -> None:
    truth = _oracle()
    expected = [truth.apply(event) for event in events]
    arena, outcomes = _run(events, [min(cut, len(events)) for cut in cuts])
    assert outcomes == expected
    _check(arena, truth)


@settings(max_examples=100, deadline=None)
@given(streams(), st.lists(st.integers(0, 40), max_size=5))
def test_cuts_into_batches_change_no_bit(events: list[Event], cuts: list[int]) -> None:
    whole, _ = _run(events, [])
    cut, _ = _run(events, [min(place, len(events)) for place in cuts])
    assert whole.records[0].tobytes() == cut.records[0].tobytes()


@settings(max_examples=100, deadline=None)
@given(streams())
def test_without_a_half_life_there_is_no_context_and_nothing_else_changes(events: list[Event]) -> None:
    on, outcomes = _run(events, [])
    off, others = _run(events, [], Decays())
    assert outcomes == others
    context = [name for name in USER.names or () if name.startswith("context_")]
    assert not any(off.records[name].any() for name in context)
    for name in context:
        on.records[name] = 0
    assert on.records.tobytes() == off.records.tobytes()


@settings(max_examples=100, deadline=None)
@given(streams(kinds=("rating", "follow")), st.randoms(use_true_random=False))
def test_replaceable_events_give_the_same_in_any_order(events: list[Event], random: object) -> None:
    """Ratings and follows of distinct seconds: what counts is the latest one of each item, not what arrived last."""
    latest = {(event.kind, event.item, event.ts // 1000): event for event in events}
    distinct = [
        Event(event.kind, place, 5000 + place, event.ts, event.item, event.value)
        for place, event in enumerate(latest.values(), start=1)
    ]
    shuffled = distinct.copy()
    random.shuffle(shuffled)
    renumbered = [
        Event(event.kind, place, event.event_id, event.ts, event.item, event.value)
        for place, event in enumerate(shuffled, start=1)
    ]
    last = Event("click", 1, 9999, START + 46 * DAY, 1, 0.0)  # brings both to the same time
    one, _ = _run([*distinct, last], [])
    other, _ = _run([*renumbered, last], [])
    rows = np.zeros(1, np.int64)
    late = np.array([START + 46 * DAY])
    counts, others = windows.read(one.records, rows, late), windows.read(other.records, rows, late)
    for name in ("ratings", "rating_sum", "follows"):
        assert np.array_equal(getattr(counts, name), getattr(others, name)), name
    np.testing.assert_allclose(features(one.records, rows), features(other.records, rows), rtol=0, atol=2e-3)


def test_replaying_a_stream_changes_nothing() -> None:
    events = [Event("click", offset, 100 + offset, START + offset, 1 + offset % 8, 10.0) for offset in range(1, 30)]
    arena, _ = _run(events, [])
    before = arena.records[0].tobytes()
    batch = _batch(events)
    advanced = advance(arena, arena.rows_of(batch.keys), batch, TABLE, DECAYS)
    assert set(advanced.outcome.tolist()) == {Outcome.REPLAYED}
    assert advanced.touched.tolist() == [0]  # written again all the same: the first write may have been lost
    assert arena.records[0].tobytes() == before


def test_two_events_in_one_millisecond_count_twice() -> None:
    arena, outcomes = _run([Event("click", 1, 11, START, 3, 5.0), Event("click", 2, 12, START, 3, 5.0)], [])
    assert outcomes == ["applied", "applied"]
    assert arena.records[0]["events"] == 2


def test_a_withdrawn_rating_leaves_the_lanes_as_they_were() -> None:
    click = Event("click", 1, 1, START, 2, 1000.0)
    before, _ = _run([click], [])
    rated = Event("rating", 1, 2, START - 5000, 3, 1.0)
    withdrawn = Event("rating", 2, 3, START + 5000, 3, float("nan"))
    after, _ = _run([click, rated, withdrawn], [])
    rows = np.zeros(1, np.int64)
    assert features(before.records, rows)[0] == pytest.approx(features(after.records, rows)[0], abs=1e-6)
    counts = windows.read(after.records, rows, np.array([START + 5000]))
    assert counts.ratings.sum() == 0
    assert counts.rating_sum.sum() == 0
