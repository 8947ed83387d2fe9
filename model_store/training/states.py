"""States from a file, by the same `advance` that the stream uses."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.features import features
from model_store.state.followees import Directions, followee, social
from model_store.state.hashing import hash_ids
from model_store.state.layout import Kind
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable
from model_store.training.interactions import Interactions

Float32 = npt.NDArray[np.float32]

_CHUNK = 50_000
_NOBODY = Directions(0)
_FIRST_FOLLOW = np.uint64(1 << 62)


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
            region=np.zeros(len(rows), np.uint8),  # no public set has them
            event_ids=[""] * len(rows),
        )


def follow(arena: Arena, data: Interactions, writes: WriteTable, decays: Decays) -> None:
    """Apply the set's follows, as of its first interaction: no set has times for them. A state keeps a user's last
    `FOLLOWEES` ones. Who has no interaction in the set is left out."""
    known = set(data.users)
    follows = [(user, target) for user, target in data.follows if user in known]
    targets = hash_ids([followee("user", target) for _, target in follows]).hash
    batch = EventBatch(
        keys=[user.encode() for user, _ in follows],
        kind=np.full(len(follows), Kind.FOLLOW, np.int8),
        offset=np.arange(len(follows), dtype=np.int64),
        ts_ms=np.full(len(follows), data.ts_ms[0]),
        event=_FIRST_FOLLOW + np.arange(len(follows), dtype=np.uint64),
        item=targets,
        value=np.ones(len(follows), np.float32),
        region=np.zeros(len(follows), np.uint8),
        event_ids=[""] * len(follows),
    )
    advance(arena, arena.rows_of(batch.keys), batch, writes, decays)


def social_of(arena: Arena, data: Interactions, vectors: Callable[[Float32], Float32]) -> Float32:
    """float32 [users, SOCIAL_WIDTH]: what `features` is to be given of users who follow others, by the others' vectors
    as their states are. `arena`: the states of `data.users`, in that order. `vectors`: from features to vectors."""
    users = np.flatnonzero(arena.records["clicks"][: len(data.users)] > 0)
    names = [followee("user", data.users[user]) for user in users.tolist()]
    known = Directions.of(hash_ids(names).hash, vectors(features(arena.records, users)))
    return social(arena.records, np.arange(len(data.users)), _NOBODY, known)
