"""Whether a run did its job: Redis against the same events applied in memory, in the order in which they were sent."""

from dataclasses import dataclass

import numpy as np
import redis

from model_store.encoder.columns import Outputs
from model_store.model import InterestModel
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.features import features
from model_store.state.layout import Kind
from stream_app.contracts.redis_layout import Field, interest_key
from tests.bench.load import Events
from tests.bench.peers.job import as_batch, taken

# Events of one user in different topics are applied in whatever order they arrive, and float sums notice.
TOLERANCE = 1e-3
_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """`missing` users are not in Redis, `miscounted` ones have another number of events or another version there."""

    users: int
    missing: int
    miscounted: int
    max_abs_difference: float

    def demand(self, who: str) -> None:
        """Raises RuntimeError unless everything is as it should be."""
        if self.missing or self.miscounted or not self.max_abs_difference <= TOLERANCE:
            raise RuntimeError(f"{who} did not do its job: {self}")


def reference(events: Events, end_ms: int, model: InterestModel) -> Arena:
    """All users after the events that `load.preload` sends with this `end_ms`."""
    arena = Arena(events.population.users)
    start_ms = end_ms - len(events)
    keys, columns = [], []
    for i in range(len(events)):
        kind, key, value = events.message(i, start_ms + i)
        keys.append(key)
        columns.append(taken(Kind(kind), value, i))
    advance(arena, arena.rows_of(keys), as_batch(keys, columns), model.writes, model.decays)
    return arena


def compare(client: redis.Redis, arena: Arena, model: InterestModel) -> Comparison:
    """What Redis holds beside what it should hold."""
    rows = np.arange(len(arena))
    vectors = Outputs.of(model.readout.large(features(arena.records, rows))).vector
    missing = miscounted = 0
    worst = 0.0
    for first in range(0, len(arena), _AT_ONCE):
        for row, held in enumerate(_read(client, arena.keys[first : first + _AT_ONCE]), first):
            events, version, vector = held
            if events is None or version is None or vector is None:
                missing += 1
                continue
            record = arena.records[row]
            miscounted += (int(events), int(version)) != (record["events"], record["version"])
            worst = max(worst, float(np.abs(np.frombuffer(vector, "<f4") - vectors[row]).max()))
    return Comparison(len(arena), missing, miscounted, worst)


def _read(client: redis.Redis, keys: list[bytes]) -> list[list[bytes | None]]:
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.hmget(interest_key(key), Field.EVENTS, Field.VERSION, Field.VECTOR)
    held: list[list[bytes | None]] = pipeline.execute()
    return held
