"""The peers' job is ours: the same columns, and states that do not depend on how many events come at once."""

from dataclasses import dataclass, field

import numpy as np

from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.layout import Kind
from model_store.state.memory import Decays
from model_store.state.writes import empty_table
from stream_app.contracts.decode import decode_records
from stream_app.contracts.validity import Limits
from tests.bench.load import Population, generate
from tests.bench.peers.job import User, as_batch, taken


@dataclass(frozen=True)
class Record:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


NOW_MS = 1_760_000_000_000


def test_a_peer_decodes_an_event_as_our_worker_does() -> None:
    events = generate(Population(users=20, items=20), 300)
    for i in range(len(events)):
        kind, key, value = events.message(i, NOW_MS)
        ours = decode_records(Kind(kind), [Record("t", 0, i, key, value)], Limits(1), NOW_MS).batch
        theirs = as_batch([key], [taken(Kind(kind), value, i)])
        assert ours is not None
        for name in ("kind", "offset", "ts_ms", "event", "item", "value"):
            np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name), name)


def test_one_event_at_a_time_through_a_store_of_bytes_gives_the_same_state() -> None:
    events = generate(Population(users=1, items=20), 200)
    columns = [
        taken(Kind(kind), value, i)
        for i, (kind, _, value) in enumerate(map(events.message, range(200), [NOW_MS] * 200))
    ]
    writes, decays = empty_table(), Decays()
    saved = None
    for one in columns:
        user = User(b"u0", saved)
        advance(user.arena, np.zeros(1, np.int64), as_batch([b"u0"], [one]), writes, decays)
        saved = user.encoded()
    arena = Arena(1)
    keys = [b"u0"] * len(columns)
    advance(arena, arena.rows_of(keys), as_batch(keys, columns), writes, decays)
    assert User(b"u0", saved).arena.records.tobytes() == arena.records.tobytes()
