"""An erased user's mark, through flushes, crashes, torn flushes, late writers and any legal compaction of the
changelog, against the naive oracle, which knows of none of these."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.state import codec
from model_store.state.advance import advance
from model_store.state.arena import Arena, mark_key
from model_store.state.batch import EventBatch
from model_store.state.layout import Kind
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable
from stream_app.states import States
from tests.property.oracle import Event, Oracle

START = 1_760_000_000_000
USERS = [b"anna", b"bert", b"carla"]
KINDS = {"click": Kind.CLICK, "follow": Kind.FOLLOW, "rating": Kind.RATING, "erasure": Kind.ERASURE}
TABLE = WriteTable(np.zeros(0, np.uint64), np.zeros((0, 64), np.float32), np.zeros((0, 24), np.float32))
DECAYS = Decays()


@dataclass(frozen=True)
class Logged:
    """A record of the changelog, as `States.restore` takes it."""

    key: bytes
    value: bytes | None
    offset: int = 0
    topic: str = "changelog"
    partition: int = 0
    timestamp: int = 0
    headers: tuple[()] = ()


@dataclass
class Worker:
    """One partition, its changelog, and a worker that dies now and then."""

    events: list[tuple[bytes, Event]]
    states: States = field(default_factory=States)
    log: list[Logged] = field(default_factory=list)
    applied: int = 0
    committed: int = 0

    @property
    def arena(self) -> Arena:
        return self.states[0]

    def apply(self, count: int) -> None:
        part = self.events[self.applied : self.applied + count]
        if part:
            batch = _batch(part)
            advance(self.arena, self.arena.rows_of(batch.keys), batch, TABLE, DECAYS)
            self.applied += len(part)

    def flush(self, torn_at: int | None = None) -> None:
        """Log what is dirty; when torn, only the first records get there, and nothing is committed."""
        rows = self.arena.take_dirty()
        values, ends = self.states.encode(0, rows)
        keys, retired = self.arena.log_keys(rows)
        records = [Logged(key, bytes(values[ends[i] : ends[i + 1]])) for i, key in enumerate(keys)]
        records += [Logged(key, None) for key in retired]
        self.log += records[:torn_at]
        if torn_at is None:
            self.arena.conceal()
            self.committed = self.applied

    def crash(self, dice: Any, slab: int) -> None:
        """Another worker goes on from what is in Kafka, of which compaction has taken some."""
        self.log = _compacted(self.log, dice)
        self.states, self.applied = States(), self.committed
        for start in range(0, len(self.log), slab):
            part = self.log[start : start + slab]
            self.states.restore(0, part, start + len(part))
        self.states.restored(0, len(self.log), generation=0)

    def late_write(self, user: bytes) -> None:
        """A fenced worker logs the first state that it ever knew of a user, who was erased since."""
        last = _last(self.log)
        old = next((record for record in self.log if record.key == user and record.value), None)
        if old and last.get(mark_key(user)) and not last.get(user):
            self.log.append(old)


def _compacted(log: list[Logged], dice: Any) -> list[Logged]:
    """Any record with a later one of its key may be gone, and any tombstone that is left alone."""
    latest = {record.key: place for place, record in enumerate(log)}
    kept = [record for place, record in enumerate(log) if latest[record.key] == place or dice.random() < 0.5]
    alone = {record.key for record in kept if sum(other.key == record.key for other in kept) == 1}
    return [record for record in kept if record.value or record.key not in alone or dice.random() < 0.5]


def _last(log: list[Logged]) -> dict[bytes, bytes | None]:
    return {record.key: record.value for record in log}


def _batch(part: list[tuple[bytes, Event]]) -> EventBatch:
    events = [event for _, event in part]
    return EventBatch(
        keys=[user for user, _ in part],
        kind=np.array([KINDS[event.kind] for event in events], np.int8),
        offset=np.array([event.offset for event in events], np.int64),
        ts_ms=np.array([event.ts for event in events], np.int64),
        event=np.array([event.event_id for event in events], np.uint64),
        item=np.array([event.item for event in events], np.uint64),
        value=np.array([event.value for event in events], np.float32),
        region=np.zeros(len(events), np.uint8),
        event_ids=[str(event.event_id) for event in events],
    )


@st.composite
def _events(draw: st.DrawFn) -> list[tuple[bytes, Event]]:
    """Of a few users, erasures often, many events from before them."""
    offsets = dict.fromkeys(KINDS, 0)
    out = []
    for number in range(draw(st.integers(4, 30))):
        kind = draw(st.sampled_from(("click", "click", "follow", "erasure")))
        offsets[kind] += 1
        ts = START + 1000 * draw(st.integers(0, 20))
        item = 0 if kind == "erasure" else draw(st.integers(1, 5))
        out.append((draw(st.sampled_from(USERS)), Event(kind, offsets[kind], 100 + number, ts, item, 1.0)))
    return out


_steps = st.one_of(
    st.tuples(st.just("apply"), st.integers(1, 8)),
    st.tuples(st.just("flush"), st.none()),
    st.tuples(st.just("torn"), st.integers(0, 3)),
    st.tuples(st.just("crash"), st.integers(1, 4)),
    st.tuples(st.just("late"), st.sampled_from(USERS)),
    st.tuples(st.just("replay"), st.integers(1, 8)),
)


@settings(max_examples=100, deadline=None)
@given(_events(), st.lists(_steps, max_size=25), st.randoms(use_true_random=False))
def test_a_mark_survives_everything_and_tells_no_id(
    events: list[tuple[bytes, Event]], steps: list[tuple[str, Any]], dice: Any
) -> None:
    worker = Worker(events)
    for step, argument in steps:
        if step == "apply":
            worker.apply(argument)
        elif step == "flush":
            worker.flush()
        elif step == "torn":
            worker.flush(torn_at=argument)
            worker.crash(dice, 2)
        elif step == "crash":
            worker.crash(dice, argument)
        elif step == "late":
            worker.late_write(argument)
            worker.crash(dice, 3)
        else:
            worker.applied = max(0, worker.applied - argument)
    worker.apply(len(events))
    worker.flush()
    truths = _truths(events)
    _no_id_is_left(worker, truths)
    _all_is_true(worker.arena, truths)
    worker.crash(dice, 4)
    _no_id_is_left(worker, truths)
    _all_is_true(worker.arena, truths)


def _truths(events: list[tuple[bytes, Event]]) -> dict[bytes, Oracle]:
    truths: dict[bytes, Oracle] = {}
    for user, event in events:
        truths.setdefault(user, Oracle(None, None, (), (), 0.0)).apply(event)
    return truths


def _no_id_is_left(worker: Worker, truths: dict[bytes, Oracle]) -> None:
    erased = [user for user, truth in truths.items() if truth.erased_at and not truth.events]
    held = b"|".join([*worker.arena.keys, *(key for key, value in _last(worker.log).items() if value)])
    for user in erased:
        assert user not in held
        assert user not in worker.arena
    rows = len(worker.arena)
    assert sorted(worker.arena.keys) == sorted([*worker.arena._rows, *[b""] * (rows - worker.arena.users)])
    free = [row for row, key in enumerate(worker.arena.keys) if not key]
    assert not any(worker.arena.records[row].tobytes().strip(b"\0") for row in free)


def _all_is_true(arena: Arena, truths: dict[bytes, Oracle]) -> None:
    for user, truth in truths.items():
        record = arena.records[arena.rows_of([user])[0]]
        assert (record["version"], record["events"], record["erased_at_ms"]) == (
            truth.version, truth.events, truth.erased_at,
        )  # fmt: skip
        for kind, offset in truth.offsets.items():
            assert record["next_offset"][KINDS[kind]] == offset + 1
    assert arena.users == len(truths)


def test_a_mark_holds_nothing_but_what_keeps_events_out() -> None:
    """Of two users who did different things, once they are erased, the same is left."""
    arena = Arena()
    for number, user in enumerate(USERS[:2]):
        mine = [(user, Event("click", 1, 7 + number, START, 3 + number, 5.0))]
        mine += [(user, Event("follow", 1, 17 + number, START, 9 + number, 1.0))]
        mine += [(user, Event("erasure", 1, 30, START + 1, 0, 0.0))]
        batch = _batch(mine)
        advance(arena, arena.rows_of(batch.keys), batch, TABLE, DECAYS)
    assert arena.records[0].tobytes() == arena.records[1].tobytes()
    rows = arena.take_dirty()
    _, ends = codec.encode(arena.records, rows)
    assert ends[1] < 200
