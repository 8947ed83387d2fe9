"""States from a file, by the same `advance` that the stream uses."""

import numpy as np

from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.hashing import hash_ids
from model_store.state.layout import Kind
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable
from model_store.training.interactions import Interactions

_CHUNK = 50_000


def states_of(data: Interactions, writes: WriteTable, decays: Decays) -> Arena:
    """Every user's state after all interactions, row i being `data.users[i]`.

    An interaction is a click and, where the set has ratings, a rating of the same item at the same time.
    """
    arena = Arena(len(data.users))
    arena.rows_of([user.encode() for user in data.users])
    events = Events(data)
    for start in range(0, len(data), _CHUNK):
        batch = events.batch(start, start + _CHUNK)
        advance(arena, arena.rows_of(batch.keys), batch, writes, decays)
    return arena


class Events:
    """Interactions as the events that the stream would bring."""

    def __init__(self, data: Interactions) -> None:
        self._data = data
        self._hashes = hash_ids(list(data.items)).hash
        self._keys = [user.encode() for user in data.users]

    def batch(self, start: int, stop: int) -> EventBatch:
        """Those of the interactions start..stop: a click each and, where it is rated, a rating of the same item."""
        data = self._data
        rows = np.repeat(np.arange(start, min(len(data), stop)), 2)
        rating = np.arange(len(rows)) % 2 == 1
        kept = ~(rating & np.isnan(data.rating[rows]))
        rows, rating = rows[kept], rating[kept]
        return EventBatch(
            keys=[self._keys[user] for user in data.user[rows]],
            kind=np.where(rating, Kind.RATING, Kind.CLICK).astype(np.int8),
            offset=rows.astype(np.int64),
            ts_ms=data.ts_ms[rows],
            event=(2 * rows + rating + 1).astype(np.uint64),
            item=self._hashes[data.item[rows]],
            value=np.where(rating, data.rating[rows], 0).astype(np.float32),
            event_ids=[""] * len(rows),
        )
