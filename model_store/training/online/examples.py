"""What there is to learn from events: the state before a click, and what was clicked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.features import FEATURES, features, put_context
from model_store.state.hashing import hash_ids
from model_store.state.layout import RING, Kind, Outcome
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Clicks:
    """n clicks that were applied, in order of arrival, and what their users were just before.

    Attributes:
        user: uint64 [n], hashes of the users' keys.
        features: float32 [n, FEATURES].
        ring: uint64 [n, RING], hashes of the items clicked before, newest first, 0 for none.
        item: uint64 [n], hash of the item clicked.
        ts_ms: int64 [n], event time.
        place: int64 [n], of the click in its batch.
    """

    user: UInt64
    features: Float32
    ring: UInt64
    item: UInt64
    ts_ms: Int64
    place: Int64

    def __len__(self) -> int:
        return len(self.item)

    def take(self, rows: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "Clicks":
        """Some of them."""
        return Clicks(*(getattr(self, name)[rows] for name in self.__slots__))

    @staticmethod
    def concat(parts: "list[Clicks]") -> "Clicks":
        """One after the other."""
        if not parts:
            hashes, places = np.empty(0, np.uint64), np.empty(0, np.int64)
            features = np.empty((0, FEATURES), np.float32)
            return Clicks(hashes, features, np.empty((0, RING), np.uint64), hashes, places, places)
        return Clicks(*(np.concatenate([getattr(part, name) for part in parts]) for name in Clicks.__slots__))


Social = Callable[[Arena, Int64], Float32 | None]
"""From users' rows to what `features` is to be given of whom they follow."""


def observe(
    arena: Arena,
    batch: EventBatch,
    writes: WriteTable,
    decays: Decays,
    social: Social | None = None,
    *,
    asked_then: bool = False,
) -> Clicks:
    """Advance the states by the batch, and return its clicks. Without `social` users follow nobody. `asked_then`: the
    context is as of the click, as if its user were read out just then, and not as of the event before it.

    The batch is taken in waves, in each of which a user clicks once at most and does so first: what is read before a
    wave is what the user was before that click.
    """
    rows = arena.rows_of(batch.keys)
    parts = []
    for wave in waves(rows, batch.kind == Kind.CLICK):
        clicks = wave[batch.kind[wave] == Kind.CLICK]
        before = read_before(arena.records, rows[clicks], social(arena, rows[clicks]) if social else None)
        if asked_then:
            put_context(before[0], arena.records, rows[clicks], batch.ts_ms[clicks])
        users = user_hashes([batch.keys[place] for place in clicks.tolist()])
        outcome = advance(arena, rows[wave], batch.take(wave), writes, decays).outcome
        applied = outcome[batch.kind[wave] == Kind.CLICK] == Outcome.APPLIED
        parts.append(Clicks(users, *before, batch.item[clicks], batch.ts_ms[clicks], clicks).take(applied))
    found = Clicks.concat(parts)
    return found.take(np.argsort(found.place, kind="stable"))


def user_hashes(keys: list[bytes]) -> UInt64:
    """uint64 [n]: what a learner knows users by."""
    return hash_ids([key.decode(errors="replace") for key in keys]).hash


def waves(rows: Int64, is_click: npt.NDArray[np.bool_]) -> Iterator[Int64]:
    """Places of n events of the users `rows`: for each k, ascending, a user's k-th click and what follows it."""
    order = np.argsort(rows, kind="stable")
    clicks = np.cumsum(is_click[order])
    starts = np.flatnonzero(np.r_[True, np.diff(rows[order]) != 0])
    before_user: Int64 = clicks[starts] - is_click[order][starts]
    lengths = np.diff(np.r_[starts, len(rows)])
    number = np.empty(len(rows), np.int64)
    number[order] = clicks - np.repeat(before_user, lengths)
    return (np.flatnonzero(number == k) for k in np.unique(number).tolist())


def read_before(records: npt.NDArray[np.void], rows: Int64, social: Float32 | None = None) -> tuple[Float32, UInt64]:
    """`features` and `ring` of `Clicks`, of the users in `rows` as they are."""
    newest = records["clicks"][rows].astype(np.int64)[:, None] - 1 - np.arange(RING)
    ring = records["ring"][rows[:, None], newest % RING]
    return features(records, rows, social), np.where(newest >= 0, ring, np.uint64(0))
