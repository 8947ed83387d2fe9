"""What the targets that users follow stand for: a direction in the space of interest vectors each.

A state keeps whom its user follows, not what they like now. That is looked up whenever the user is read out: of a user
the interest vector, of a creator or a topic the mean of its items. Only directions count, so nobody weighs more for
being louder.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel
from model_store.state.advance import is_active
from model_store.state.features import SOCIAL_WIDTH
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM, FOLLOWEES
from model_store.state.lookup import find, find_all, take_slot

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]
Records = npt.NDArray[np.void]


def followee(target_type: str, target_id: str) -> str:
    """The id under which a followed target is remembered: user 7 and topic 7 are two targets."""
    return f"{target_type}:{target_id}"


def followee_hashes(users: Sequence[bytes]) -> UInt64:
    """uint64 [n]: what a state keeps of users (UTF-8) whom somebody follows."""
    return hash_ids([followee("user", user.decode(errors="replace")) for user in users]).hash


class Directions:
    """Directions by the targets' hashes (`hash_ids` of "user:7" and the like), and when they were read.

    A direction has a mean square of 1; of a target of which nothing is known it is 0. When there are more than `room`,
    the older half goes.
    """

    def __init__(self, room: int) -> None:
        self._room, self._count = max(2, room), 0
        self._hashes, self._vectors = np.zeros(self._room, np.uint64), np.zeros((self._room, DIM), np.float32)
        self._at_ms = np.zeros(self._room, np.int64)
        self._slots = np.full(1 << int(2 * self._room).bit_length(), -1, np.int64)

    @staticmethod
    def of(targets: UInt64, vectors: Float32) -> "Directions":
        """Of just these distinct targets, with vectors (float32 [m, DIM]) of any length."""
        directions = Directions(len(targets))
        directions.put(targets, vectors, 0)
        return directions

    def __len__(self) -> int:
        return self._count

    def put(self, targets: UInt64, vectors: Float32, at_ms: int) -> None:
        """Take in what was read at that time of distinct targets: float32 [m, DIM], zeros where there was nothing.

        Of more targets than there is room for the first ones are taken.
        """
        new = int((self.rows(targets) < 0).sum())
        if self._count + new > self._room:
            self._halve()
        self._count = _put(
            self._hashes, self._slots, self._vectors, self._at_ms, self._count, targets, normalised(vectors), at_ms
        )

    def drop(self, targets: UInt64) -> None:
        """Know nothing of these from now on."""
        known = targets[self.rows(targets) >= 0]
        self.put(known, np.zeros((len(known), DIM), np.float32), int(self._at_ms.max(initial=0)))

    def without(self, targets: UInt64) -> "Directions":
        """The same, but that nothing is known of these (distinct), and never will be."""
        if not len(targets):
            return self
        others = ~np.isin(self._hashes[: self._count], targets)
        hashes = np.concatenate([self._hashes[: self._count][others], targets])
        nothing = np.zeros((len(targets), DIM), np.float32)
        return Directions.of(hashes, np.concatenate([self._vectors[: self._count][others], nothing]))

    def read_before(self, targets: UInt64, time_ms: int) -> UInt64:
        """Those of some targets that were never read, or before then."""
        rows = self.rows(targets)
        due: UInt64 = targets[(rows < 0) | (self._at_ms[rows] < time_ms)]
        return due

    def rows(self, targets: UInt64) -> Int64:
        """int64 [m]: places of targets, -1 where one is not here."""
        found = np.empty(len(targets), np.int64)
        find_all(self._hashes, self._slots, targets, found)
        return found

    @property
    def arrays(self) -> tuple[UInt64, Int64, Float32]:
        """For compiled code: hashes, slots (`lookup.find`), vectors."""
        return self._hashes, self._slots, self._vectors

    def _halve(self) -> None:
        kept = np.sort(np.argsort(self._at_ms[: self._count], kind="stable")[-(self._room // 2) :])
        hashes, vectors, at_ms = self._hashes[kept], self._vectors[kept], self._at_ms[kept]
        self._slots[:], self._hashes[:], self._count = -1, 0, 0
        for time_ms in np.unique(at_ms).tolist():
            of = at_ms == time_ms
            self._count = _put(
                self._hashes, self._slots, self._vectors, self._at_ms, self._count, hashes[of], vectors[of], time_ms
            )


def social(records: Records, rows: Int64, fixed: Directions, read: Directions) -> Float32:
    """float32 [n, SOCIAL_WIDTH] of the users in `rows` (int64 [n]): the mean direction of those followees of whom
    something is known, and log1p of how many they are. What is `fixed` of a target holds, whatever was `read`."""
    out = np.zeros((len(rows), SOCIAL_WIDTH), np.float32)
    _social(records, rows, *fixed.arrays, *read.arrays, out)
    return out


def followed(records: Records, rows: Int64) -> UInt64:
    """uint64 [k], distinct: the targets that any of these users follows now."""
    active = records["followee_active"][rows]
    who, slots = np.flatnonzero(active), np.arange(FOLLOWEES, dtype=np.uint32)
    is_active = (active[who, None] >> slots) & 1 == 1
    found: UInt64 = np.unique(records["followee"][rows[who]][is_active])
    return found


def normalised(vectors: Float32) -> Float32:
    """float32 [n, DIM] of mean square 1; what is 0 stays so."""
    size = np.sqrt(np.mean(np.square(vectors), axis=1, keepdims=True))
    directions: Float32 = np.divide(vectors, size, out=np.zeros_like(vectors), where=size > 0)
    return directions


@kernel
def _put(hashes, slots, vectors, at_ms, count, targets, directions, time_ms):  # type: ignore[no-untyped-def]
    """Returns how many there are then."""
    for i in range(len(targets)):
        row = find(hashes, slots, targets[i])
        if row < 0:
            if count == len(hashes):
                return count
            row = count
            count += 1
            take_slot(slots, targets[i], row)
            hashes[row] = targets[i]
        vectors[row], at_ms[row] = directions[i], time_ms
    return count


@kernel
def _social(records, rows, hashes, slots, vectors, more_hashes, more_slots, more_vectors, out):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        record = records[rows[i]]
        known = 0
        for slot in range(FOLLOWEES):
            if is_active(record, slot):
                row = find(hashes, slots, record.followee[slot])
                if row >= 0:
                    known += _add(vectors[row], out[i])
                else:
                    row = find(more_hashes, more_slots, record.followee[slot])
                    if row >= 0:
                        known += _add(more_vectors[row], out[i])
        for d in range(DIM):
            out[i, d] /= np.float32(max(known, 1))
        out[i, DIM] = np.log1p(np.float32(known))


@kernel
def _add(direction, out):  # type: ignore[no-untyped-def]
    """Add it to `out`, but for its last number; 0 if nothing is known of the target, else 1."""
    known = 0
    for d in range(DIM):
        out[d] += direction[d]
        if direction[d] != 0:
            known = 1
    return known
