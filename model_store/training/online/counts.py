"""What is counted from the stream: how popular each item is of late, and which item follows which."""

import numpy as np
import numpy.typing as npt

from model_store.catalog.transitions import Transitions
from model_store.encoder.columns import POPULARITY_HALF_LIVES_DAYS, PRIORS
from model_store.state.memory import DAY_MS

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

FLOOR = 0.1
"""Events at which the logarithm bends: an item that nobody takes up any more is no worse than one never taken up."""

_SECOND = 1 << 32


class FadingCounts:
    """Events of each item, each worth 2 ** (-age / half-life), for all of `POPULARITY_HALF_LIVES_DAYS`."""

    def __init__(self, items: int) -> None:
        self.counts: npt.NDArray[np.float64] = np.zeros((items, PRIORS))
        self.at_ms = 0
        self._half_lives_ms = np.array(POPULARITY_HALF_LIVES_DAYS) * DAY_MS

    def add(self, item: Int32, ts_ms: Int64) -> None:
        """Count n events (int32 [n] rows of items, int64 [n]), in any order; a late one counts with its age."""
        if len(item):
            self._fade_to(int(ts_ms.max()))
            np.add.at(self.counts, item, self._faded(self.at_ms - ts_ms))

    def columns(self, now_ms: int | None = None) -> Float32:
        """float32 [items, PRIORS]: log1p(count / FLOOR), as of `now_ms` or of the latest event."""
        ages_ms = np.array([0 if now_ms is None else max(0, now_ms - self.at_ms)])
        return np.log1p(self.counts * self._faded(ages_ms) / FLOOR).astype(np.float32)

    def grow(self, items: int) -> None:
        """Make room for more items."""
        self.counts = np.concatenate([self.counts, np.zeros((items - len(self.counts), PRIORS))])

    def _fade_to(self, now_ms: int) -> None:
        if now_ms > self.at_ms:
            self.counts *= self._faded(np.array([now_ms - self.at_ms]))
            self.at_ms = now_ms

    def _faded(self, age_ms: Int64) -> npt.NDArray[np.float64]:
        """float64 [n, PRIORS]."""
        return np.exp2(-age_ms[:, None] / self._half_lives_ms)


class PairCounts:
    """How often an item came right after another, in a user's clicks."""

    def __init__(self) -> None:
        self.codes: Int64 = np.empty(0, np.int64)
        self.times: Int64 = np.empty(0, np.int64)
        self._new: list[Int64] = []

    def add(self, first: Int32, second: Int32) -> None:
        """Count n pairs; one with a first item of -1 is none."""
        known = first >= 0
        self._new.append(first[known].astype(np.int64) * _SECOND + second[known])

    def transitions(self, items: int, weight: float = 0.0) -> Transitions:
        """All pairs so far, of `items` items."""
        self.merge()
        return Transitions.of_pairs((self.codes // _SECOND), self.codes % _SECOND, self.times, items).weighted(weight)

    def merge(self) -> None:
        """Bring the pairs added last in with the others."""
        if self._new:
            codes = np.concatenate([self.codes, *self._new])
            times = np.concatenate([self.times, np.ones(len(codes) - len(self.codes), np.int64)])
            self.codes, place = np.unique(codes, return_inverse=True)
            self.times = np.bincount(place, weights=times, minlength=len(self.codes)).astype(np.int64)
            self._new = []
