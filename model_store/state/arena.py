"""All users of one partition: one array of records, dropped whole when the partition leaves.

Of an erased user a *mark* is left: a record without interests, which keeps late and repeated events out. It is kept
under a hash of the id, so that the id itself is nowhere any more; an event of that user finds it by the same hash.
"""

from hashlib import blake2b
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel
from model_store.state.layout import USER

Rows = npt.NDArray[np.int64]
Column = TypeVar("Column", bound=np.generic)


CAPACITY = 65_536
"""Rows of a new arena: 255 MB of address space, of which the system backs only the pages that are written. Growing
copies, so it should be rare."""


_MARK = b"\0"
"""Begins the key of a mark; no user id begins with a control character."""


def mark_key(user: bytes) -> bytes:
    """Key of an erased user's mark, 17 bytes. It tells whether an id is that user's, and not the id."""
    return _MARK + blake2b(user, digest_size=16).digest()


class Arena:
    """Records of the users of one partition, found by key.

    Attributes:
        records: `USER` [capacity]; rows from `len(arena)` on are zero. Unused capacity costs address space, not memory.
        keys: the key of each row: a user id, or that of a mark; empty where a user was forgotten.
        dirty: bool [capacity], rows changed since `take_dirty`.
        behind: bool [capacity], rows of which the changelog's last record is not the one held; see `put`.
        stamp: int64 [capacity], the last cycle that touched a row (for `advance`).
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.records: npt.NDArray[np.void] = np.zeros(capacity, USER)
        self.dirty: npt.NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self.behind: npt.NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self.stamp: Rows = np.zeros(capacity, np.int64)
        self.cycle = 0
        self.keys: list[bytes] = []
        self._rows: dict[bytes, int] = {}
        self._free: list[int] = []
        self._has_marks = False
        self._erased: set[int] = set()  # rows of marks that are still under an id
        self._logged_cycle = 0

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def users(self) -> int:
        """Users held, marks among them."""
        return len(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def knows(self, user: bytes) -> bool:
        """Whether the user is here, or the mark of their erasure."""
        return user in self._rows or (self._has_marks and mark_key(user) in self._rows)

    def has_room(self, users: int) -> bool:
        """Whether so many new users fit in without growing, which takes a tenth of a second or more."""
        return len(self) + users <= len(self.records)

    @property
    def nbytes(self) -> int:
        """Bytes of the records in use, without the index of keys."""
        return len(self) * USER.itemsize

    def rows_of(self, keys: list[bytes]) -> Rows:
        """int64 [n]: rows of n keys; a key that is new gets an empty record, or the mark of its erasure."""
        rows = list(map(self._rows.get, keys))
        if None in rows:
            rows = [self._row_of(key) for key in keys]
            self._reserve(len(self.keys))
        return np.array(rows, np.int64)

    def row(self, key: bytes) -> int | None:
        """Row of a key, None if the user is not here."""
        return self._rows.get(key)

    def take_dirty(self) -> Rows:
        """int64 [n]: rows changed since the last call, which now count as clean."""
        rows = np.flatnonzero(self.dirty[: len(self)])
        self.dirty[rows] = False
        self._logged_cycle = self.cycle
        return rows

    def log_keys(self, rows: Rows) -> tuple[list[bytes], list[bytes]]:
        """Under which keys the records of these rows are to be logged, and which keys are to be taken back after that.

        A user who was ever erased has two, one for a mark and one for a state, and only one of them is to be found.
        """
        keys, retired = [self.keys[row] for row in rows.tolist()], []
        for i in np.flatnonzero(self.records["erased_at_ms"][rows]).tolist():
            user = keys[i]
            if not user.startswith(_MARK):
                mark = mark_key(user)
                if self._is_mark(rows[i]):
                    self._erased.add(int(rows[i]))
                    keys[i] = mark
                elif mark in self._rows:
                    self.forget(mark)  # of an erasure whose flush was cut short, and which was applied again
                retired.append(user if keys[i] == mark else mark)
        return keys, retired

    def conceal(self) -> None:
        """Let go of the ids of erased users.

        To be called when all that was dirty at the last `take_dirty` is logged, and everything applied before it has
        had its effects: these still needed the ids. Rows that were touched since wait for the next time.
        """
        for row in list(self._erased):
            if not self._is_mark(row):
                self._erased.discard(row)
            elif self.stamp[row] >> 32 <= self._logged_cycle and not self.dirty[row]:
                self._conceal(row)

    def _conceal(self, row: int) -> None:
        self._erased.discard(row)
        mark = mark_key(self.keys[row])
        if mark in self._rows:
            self.forget(mark)  # of an earlier erasure, whose end this worker did not see
        del self._rows[self.keys[row]]
        self._rows[mark], self.keys[row], self._has_marks = row, mark, True

    def _is_mark(self, row: int) -> bool:
        return bool(self.records["events"][row] == 0 and self.records["erased_at_ms"][row] > 0)

    def put(self, keys: list[bytes], records: npt.NDArray[np.void]) -> None:
        """Records as read from a changelog, oldest first; one never replaces another that is further on.

        So what a fenced worker wrote late is left out, and its user is behind from then on: compaction would keep that
        last record and drop the one held. Marks come first, so that it is left out too when that worker knew nothing of
        the erasure.
        """
        marks = [i for i, key in enumerate(keys) if key.startswith(_MARK)]
        if marks:
            self._has_marks = True
            self._put([keys[i] for i in marks], records[marks])
            others = np.setdiff1d(np.arange(len(keys)), marks)
            keys, records = [keys[i] for i in others.tolist()], records[others]
        self._put(keys, records)

    def _put(self, keys: list[bytes], records: npt.NDArray[np.void]) -> None:
        rows = self.rows_of(keys)
        _copy_newer(self.records, _words(self.records), self.behind, rows, records, _words(records))

    def take_back(self, key: bytes) -> None:
        """A tombstone was read from the changelog. That of an id says nothing of the mark, which has its own key.

        An id gets one only when its mark is logged: where the state is newer than that, a fenced worker wrote it late.
        """
        row = self._rows.get(key)
        if row is None:
            return
        if key.startswith(_MARK) or self._is_older_than_its_mark(row, key):
            self.forget(key)
        elif self._is_mark(row):
            self._conceal(row)
            self.behind[row] = False
        else:
            self.behind[row] = True

    def _is_older_than_its_mark(self, row: int, user: bytes) -> bool:
        mark = self._rows.get(mark_key(user))
        return mark is not None and bool(self.records["version"][row] <= self.records["version"][mark])

    def rewrite_behind(self) -> int:
        """The changelog is read to its end: who is behind is to be written again. Returns how many."""
        rows = np.flatnonzero(self.behind[: len(self)])
        self.dirty[rows], self.behind[rows] = True, False
        return len(rows)

    def last_term(self) -> int:
        """The highest term of all records."""
        return int(self.records["term"][: len(self)].max(initial=0))

    def rewrite_all(self) -> int:
        """Everybody who is known is to be written again. Returns how many."""
        rows = np.flatnonzero(self.records["version"][: len(self)])
        self.dirty[rows] = True
        return len(rows)

    def expired_marks(self, before_ms: int) -> list[bytes]:
        """Keys of the marks of erasures before `before_ms`."""
        records = self.records[: len(self)]
        gone = (records["events"] == 0) & (records["erased_at_ms"] > 0) & (records["erased_at_ms"] < before_ms)
        return [key for key in map(self.keys.__getitem__, np.flatnonzero(gone).tolist()) if key.startswith(_MARK)]

    def forget(self, key: bytes) -> None:
        """Empty the record of a key that is here, and let go of the key; its row is for another."""
        row = self._rows.pop(key)
        self._erased.discard(row)
        self.records[row] = np.zeros((), USER)
        self.keys[row], self.dirty[row], self.behind[row] = b"", False, False
        self._free.append(row)

    def _row_of(self, key: bytes) -> int:
        row = self._rows.get(key)
        if row is None:
            row = self._marked(key)
            if row is None:
                row = self._new_row()
            self._rows[key], self.keys[row] = row, key
        return row

    def _marked(self, user: bytes) -> int | None:
        """The row of a user's mark, which goes by the id until it is concealed again."""
        row = self._rows.pop(mark_key(user), None) if self._has_marks else None
        if row is not None:
            self._erased.add(row)
        return row

    def _new_row(self) -> int:
        if self._free:
            return self._free.pop()
        self.keys.append(b"")
        return len(self.keys) - 1

    def _reserve(self, needed: int) -> None:
        capacity = len(self.records)
        if needed > capacity:
            capacity = max(needed, 2 * capacity)
            self.records = _grown(self.records, capacity)
            self.dirty = _grown(self.dirty, capacity)
            self.behind = _grown(self.behind, capacity)
            self.stamp = _grown(self.stamp, capacity)


def _grown(column: npt.NDArray[Column], capacity: int) -> npt.NDArray[Column]:
    larger = np.zeros(capacity, column.dtype)
    larger[: len(column)] = column
    return larger


def _words(records: npt.NDArray[np.void]) -> npt.NDArray[np.uint64]:
    return records.view(np.uint64).reshape(len(records), USER.itemsize // 8)


@kernel
def _copy_newer(held, held_words, behind, rows, records, words):  # type: ignore[no-untyped-def]
    """Copies n records to their rows unless what is there is further on.

    A higher term is. Versions alone don't tell: before it was fenced, the owner before may have taken in more of one
    topic and less of another, of which the offsets are committed by now. Within a term a higher version is, and of the
    same version later offers.
    """
    for i in range(len(rows)):
        row = rows[i]
        term, version, offers = records[i].term, records[i].version, records[i].rec_seq
        if term != held[row].term:
            late = term < held[row].term
        elif version != held[row].version:
            late = version < held[row].version
        else:
            late = offers < held[row].rec_seq
        behind[row] = late
        if not late:
            held_words[row] = words[i]
