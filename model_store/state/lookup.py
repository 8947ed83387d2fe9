"""Rows by hash: an open-addressing table that compiled code can search."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel


@dataclass(frozen=True, slots=True)
class HashRows:
    """Where each of m hashes stands.

    Attributes:
        hashes: uint64 [m], distinct, none 0.
    """

    hashes: npt.NDArray[np.uint64]
    slots: npt.NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        slots = np.full(max(8, 1 << int(2 * len(self.hashes)).bit_length()), -1, np.int64)
        if not _index(self.hashes, slots):
            raise ValueError("item hashes must be distinct and not 0")
        object.__setattr__(self, "slots", slots)

    def __len__(self) -> int:
        return len(self.hashes)

    def rows(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """int64 of the same shape: rows of the hashes, -1 where one is not in the table."""
        out = np.empty(hashes.size, np.int64)
        find_all(self.hashes, self.slots, hashes.ravel(), out)
        return out.reshape(hashes.shape)


@kernel
def find(hashes, slots, item):  # type: ignore[no-untyped-def]
    """Row of a hash, or -1: linear probing, load at most one half."""
    mask = np.uint64(len(slots) - 1)
    slot = item & mask
    while True:
        row = slots[slot]
        if row < 0 or hashes[row] == item:
            return row
        slot = (slot + np.uint64(1)) & mask


@kernel
def find_all(hashes, slots, items, out):  # type: ignore[no-untyped-def]
    """`find` of each of `items`, into `out`."""
    for i in range(len(items)):
        out[i] = find(hashes, slots, items[i])


@kernel
def _index(hashes, slots):  # type: ignore[no-untyped-def]
    """Fill the slots; False if a hash is 0 or comes twice."""
    for row in range(len(hashes)):
        if hashes[row] == np.uint64(0) or find(hashes, slots, hashes[row]) >= 0:
            return False
        take_slot(slots, hashes[row], row)
    return True


@kernel
def take_slot(slots, item, row):  # type: ignore[no-untyped-def]
    """Let `find` find a hash that it does not know yet; the row's hash is to be the item's."""
    mask = np.uint64(len(slots) - 1)
    slot = item & mask
    while slots[slot] >= 0:
        slot = (slot + np.uint64(1)) & mask
    slots[slot] = row
