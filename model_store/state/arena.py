"""All users of one partition: one array of records, dropped whole when the partition leaves."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from model_store.state.layout import USER

Rows = npt.NDArray[np.int64]
Column = TypeVar("Column", bound=np.generic)


CAPACITY = 65_536
"""Rows of a new arena: 255 MB of address space, of which the system backs only the pages that are written. Growing
copies, so it should be rare."""


class Arena:
    """Records of the users of one partition, found by key.

    Attributes:
        records: `USER` [capacity]; rows from `len(arena)` on are zero. Unused capacity costs address space, not memory.
        keys: the key of each row.
        dirty: bool [capacity], rows changed since `take_dirty`.
        stamp: int64 [capacity], the last cycle that touched a row (for `advance`).
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.records: npt.NDArray[np.void] = np.zeros(capacity, USER)
        self.dirty: npt.NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self.stamp: Rows = np.zeros(capacity, np.int64)
        self.cycle = 0
        self.keys: list[bytes] = []
        self._rows: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def has_room(self, users: int) -> bool:
        """Whether so many new users fit in without growing, which takes a tenth of a second or more."""
        return len(self) + users <= len(self.records)

    @property
    def nbytes(self) -> int:
        """Bytes of the records in use, without the index of keys."""
        return len(self) * USER.itemsize

    def rows_of(self, keys: list[bytes]) -> Rows:
        """int64 [n]: rows of n keys; a key that is new gets an empty record."""
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
        return rows

    def put(self, keys: list[bytes], records: npt.NDArray[np.void]) -> None:
        """Records as read from a changelog, oldest first; a record never replaces one with a higher version.

        The version guard leaves out what a fenced worker wrote late.
        """
        latest = {key: i for i, key in enumerate(keys)}
        rows = self.rows_of(list(latest))
        records = records[list(latest.values())]
        newer = records["version"] >= self.records["version"][rows]
        self.records[rows[newer]] = records[newer]

    def expired_marks(self, before_ms: int) -> list[bytes]:
        """Keys of users of whom nothing is left but the mark of an erasure before `before_ms`."""
        records = self.records[: len(self)]
        gone = (records["events"] == 0) & (records["erased_at_ms"] > 0) & (records["erased_at_ms"] < before_ms)
        return [self.keys[row] for row in np.flatnonzero(gone).tolist()]

    def forget(self, key: bytes) -> None:
        """Empty the record of a key that is here; its row stays."""
        self.records[self._rows[key]] = np.zeros((), USER)

    def _row_of(self, key: bytes) -> int:
        row = self._rows.setdefault(key, len(self.keys))
        if row == len(self.keys):
            self.keys.append(key)
        return row

    def _reserve(self, needed: int) -> None:
        capacity = len(self.records)
        if needed > capacity:
            capacity = max(needed, 2 * capacity)
            self.records = _grown(self.records, capacity)
            self.dirty = _grown(self.dirty, capacity)
            self.stamp = _grown(self.stamp, capacity)


def _grown(column: npt.NDArray[Column], capacity: int) -> npt.NDArray[Column]:
    larger = np.zeros(capacity, column.dtype)
    larger[: len(column)] = column
    return larger
