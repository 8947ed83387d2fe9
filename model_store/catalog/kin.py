"""Items that are alike by their text, and what it adds to a score that the user has just clicked one of them.

    score += log(1 + P(item | last item) / P(item))

The first probability is counted: how often the next click is on an item that is as much like the last one as this is.
The second is the item's share of all clicks of late. So hardly anything is added to what everybody clicks, and much to
what nobody has clicked yet: two ways to choose are mixed, what the model says and more of the same. The projection of
content (`state.content`) sees kind and age; this sees the next part of a series.
"""

import numpy as np
import numpy.typing as npt

from model_store.catalog.transitions import UNIT, Transitions

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

CLASSES = (0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
"""Lower edges of the classes of likeness, a cosine between the vectors around their mean; below the first there is no
kinship."""
NEAREST = 20
MOST = 50_000
"""Items up to which each is compared with all others: 30 s on one core."""
_DOUBT = 1_000.0
"""Occasions without a click that are added to each class: kinship says nothing until there is evidence."""
_CHUNK = 1_000


class Kin:
    """For each of m items those most like it, and how often kinship was followed. Grows; one thread."""

    def __init__(self, mean: Float32) -> None:
        """`mean`: float32 [d], of the vectors of a catalogue."""
        self._mean = mean
        self._units = np.zeros((0, len(mean)), np.float32)
        self._near = np.zeros((0, NEAREST), np.int32)
        self._likeness = np.zeros((0, NEAREST), np.float32)
        self.occasions, self.clicks = np.zeros(len(CLASSES)), np.zeros(len(CLASSES))

    def __len__(self) -> int:
        return len(self._units)

    def tell(self, rows: Int64, vectors: Float32, items: int) -> None:
        """Take in the vectors (float32 [n, d], zeros where nothing is known) of some of now `items` items. Of more than
        `MOST` nothing new is taken in."""
        rows, vectors = rows[vectors.any(axis=1)], vectors[vectors.any(axis=1)]
        if not len(rows) or items > MOST:
            return
        self._grow(items)
        around = vectors - self._mean
        self._units[rows] = around / np.maximum(np.linalg.norm(around, axis=1, keepdims=True), np.float32(1e-12))
        others = np.setdiff1d(np.flatnonzero(self._units.any(axis=1)), rows)
        for start in range(0, len(rows), _CHUNK):
            self._relate(rows[start : start + _CHUNK], others)

    def _grow(self, items: int) -> None:
        more = items - len(self._units)
        if more > 0:
            self._units = np.concatenate([self._units, np.zeros((more, len(self._mean)), np.float32)])
            self._near = np.concatenate([self._near, np.full((more, NEAREST), -1, np.int32)])
            self._likeness = np.concatenate([self._likeness, np.full((more, NEAREST), -1, np.float32)])

    def _relate(self, rows: Int64, others: Int64) -> None:
        cosines = self._units[rows] @ self._units.T
        cosines[np.arange(len(rows)), rows] = -1
        most = min(NEAREST, cosines.shape[1])
        best = np.argpartition(-cosines, most - 1, axis=1)[:, :most].astype(np.int32)
        likeness = np.take_along_axis(cosines, best, axis=1)
        self._near[rows], self._likeness[rows] = -1, -1
        self._near[rows, :most] = np.where(likeness >= CLASSES[0], best, -1)
        self._likeness[rows, :most] = np.where(likeness >= CLASSES[0], likeness, -1)
        for place, row in enumerate(rows.tolist() if len(others) else ()):
            self._relate_others(row, cosines[place, others], others)

    def _relate_others(self, row: int, cosines: Float32, others: Int64) -> None:
        """Put `row` among those most like each of `others`, where it is one of them."""
        near = cosines >= np.maximum(self._likeness[others].min(axis=1), np.float32(CLASSES[0]))
        near &= ~(self._near[others] == row).any(axis=1)
        others, cosines = others[near], cosines[near]
        least = self._likeness[others].argmin(axis=1)
        self._near[others, least], self._likeness[others, least] = row, cosines

    def count(self, last: Int32, wanted: Int32) -> None:
        """n clicks on items (int32 [n]) that came after clicks on others; -1 for none."""
        known = (last >= 0) & (last < len(self)) & (wanted >= 0)
        near, classes = self._near[last[known]], _classes(self._likeness[last[known]])
        related = near >= 0
        self.occasions += np.bincount(classes[related], minlength=len(CLASSES))
        self.clicks += np.bincount(classes[related & (near == wanted[known, None])], minlength=len(CLASSES))

    def chances(self) -> Float64:
        """float64 [classes]: how often an item was clicked right after one that is so much like it."""
        found: Float64 = self.clicks / (self.occasions + _DOUBT)
        return found

    def transitions(self, clicks: Float64) -> Transitions:
        """What is added to scores, as `Transitions` of weight 1. `clicks`: float64 [m], of each item of late."""
        share = (clicks + 1.0) / (clicks.sum() + len(clicks))
        first, place = np.nonzero(self._near[: len(clicks)] >= 0)
        second = self._near[first, place]
        order = np.lexsort((second, first))
        first, second = first[order], second[order]
        chance = self.chances()[_classes(self._likeness[first, place[order]])]
        told = chance > 0
        first, second, added = first[told], second[told], UNIT * chance[told] / share[second[told]]
        bounds = np.searchsorted(first, np.arange(len(clicks) + 1))
        return Transitions(bounds, second.astype(np.int32), added.astype(np.float32), 1.0)


def _classes(likeness: Float32) -> Int64:
    """The class of each, 0 for those below the first."""
    found: Int64 = np.maximum(np.searchsorted(np.array(CLASSES), likeness, side="right") - 1, 0)
    return found
