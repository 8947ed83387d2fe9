"""States from a file, by the same `advance` that the stream uses."""

from collections.abc import Iterator

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
    for batch, rows in _event_batches(data):
        advance(arena, rows, batch, writes, decays)
    return arena


def _event_batches(data: Interactions) -> Iterator[tuple[EventBatch, np.ndarray[tuple[int], np.dtype[np.int64]]]]:
    hashes = hash_ids(list(data.items)).hash
    keys = [user.encode() for user in data.users]
    for start in range(0, len(data), _CHUNK):
        rows = np.repeat(np.arange(start, min(len(data), start + _CHUNK)), 2)
        rating = np.arange(len(rows)) % 2 == 1
        kept = ~(rating & np.isnan(data.rating[rows]))
        rows, rating = rows[kept], rating[kept]
        batch = EventBatch(
            keys=[keys[user] for user in data.user[rows]],
            kind=np.where(rating, Kind.RATING, Kind.CLICK).astype(np.int8),
            offset=rows.astype(np.int64),
            ts_ms=data.ts_ms[rows],
            event=(2 * rows + rating + 1).astype(np.uint64),
            item=hashes[data.item[rows]],
            value=np.where(rating, data.rating[rows], 0).astype(np.float32),
            event_ids=[""] * len(rows),
        )
        yield batch, data.user[rows].astype(np.int64)
