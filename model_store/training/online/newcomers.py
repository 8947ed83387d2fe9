"""What a catalogue tells of items, and which of them are alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.state.layout import FACET_DIM

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of n items.

    Attributes:
        ids, titles: n strings each.
        content: float32 [n, FACET_DIM], coordinates in the generation's space; zeros where nothing is known.
        shares: float32 [n, topics], shares of the model's topics that sum to 1; zeros likewise.
    """

    ids: list[str]
    titles: list[str]
    content: Float32
    shares: Float32

    @staticmethod
    def nothing(ids: Sequence[str], topics: int) -> "Told":
        """Their ids are all that is known."""
        nothing = np.zeros((len(ids), FACET_DIM), np.float32)
        return Told(list(ids), list(ids), nothing, np.zeros((len(ids), topics), np.float32))

    def take(self, rows: Int64) -> "Told":
        """Some of them."""
        ids, titles = ([texts[row] for row in rows.tolist()] for texts in (self.ids, self.titles))
        return Told(ids, titles, self.content[rows], self.shares[rows])

    def first_of_each(self) -> "Told":
        """Each item once."""
        first: dict[str, int] = {}
        for row, item in enumerate(self.ids):
            first.setdefault(item, row)
        return self if len(first) == len(self.ids) else self.take(np.fromiter(first.values(), np.int64))


def alike(content: Float32, rows: Int64, most: int) -> tuple[Int32, Int32]:
    """Pairs (int32 [pairs] each) of an item of `rows` and one of the `most` whose content has the largest cosine with
    its own, both ways round. `content`: float32 [m, FACET_DIM] of all items; what is not known has no pairs."""
    units = content / np.maximum(np.linalg.norm(content, axis=1, keepdims=True), np.float32(1e-12))
    told = np.flatnonzero(content.any(axis=1))
    rows = rows[content[rows].any(axis=1)]
    most = min(most, len(told) - 1)
    if most < 1 or not len(rows):
        return np.empty(0, np.int32), np.empty(0, np.int32)
    parts = [_nearest(units, rows[start : start + _CHUNK], told, most) for start in range(0, len(rows), _CHUNK)]
    near = np.concatenate(parts)
    first, second = np.repeat(rows, most).astype(np.int32), near.ravel().astype(np.int32)
    return np.concatenate([first, second]), np.concatenate([second, first])


def _nearest(units: Float32, rows: Int64, told: Int64, most: int) -> Int64:
    """int64 [n, most]: those of `told` nearest to each of `rows`, itself left out."""
    cosines = units[rows] @ units[told].T
    cosines[rows[:, None] == told[None, :]] = -np.inf
    best: Int64 = told[np.argpartition(-cosines, most - 1, axis=1)[:, :most]]
    return best
