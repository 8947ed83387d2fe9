"""What a model must beat: popularity, and "people who just saw this next saw that"."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.training.interactions import Interactions

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

RECENT_WEIGHTS = (1.0, 0.5, 0.25)
_SHRINKAGE = 5.0


@dataclass(frozen=True, slots=True)
class Popularity:
    """Scores every item by how often it was chosen."""

    counts: Float32

    @staticmethod
    def fit(train: Interactions) -> "Popularity":
        """Count the items of `train`."""
        return Popularity(np.bincount(train.item, minlength=len(train.items)).astype(np.float32))

    def scores(self, recent: Int32) -> Float32:
        """float32 [n, m], the same for all n users."""
        return np.broadcast_to(self.counts, (len(recent), len(self.counts)))


@dataclass(frozen=True, slots=True)
class Transitions:
    """How often each item came right after each other one; all pairs that occurred, sorted by the first item.

    Attributes:
        bounds: int64 [m + 1]; the pairs of item i are bounds[i] .. bounds[i + 1].
        after: int64 [pairs], the second item.
        share: float32 [pairs], the pair's count / (count of all pairs of the first item + 5).
    """

    bounds: Int64
    after: Int64
    share: Float32

    @staticmethod
    def fit(train: Interactions) -> "Transitions":
        """Count pairs of neighbours in each user's history."""
        order = np.lexsort((train.ts_ms, train.user))
        user, item, count = train.user[order], train.item[order].astype(np.int64), len(train.items)
        same = user[1:] == user[:-1]
        pairs, times = np.unique(item[:-1][same] * count + item[1:][same], return_counts=True)
        total = np.bincount(pairs // count, weights=times, minlength=count)
        share = times / (total[pairs // count] + _SHRINKAGE)
        bounds = np.searchsorted(pairs, np.arange(count + 1) * count)
        return Transitions(bounds, pairs % count, share.astype(np.float32))

    def scores(self, recent: Int32) -> Float32:
        """float32 [n, m] for users whose last items are `recent` (int32 [n, 3], newest first, -1 for none)."""
        result = np.zeros((len(recent), len(self.bounds) - 1), np.float32)
        for column, weight in enumerate(RECENT_WEIGHTS):
            for row in np.flatnonzero(recent[:, column] >= 0):
                item = recent[row, column]
                pairs = slice(self.bounds[item], self.bounds[item + 1])
                result[row, self.after[pairs]] += np.float32(weight) * self.share[pairs]
        return result


def recent_items(data: Interactions) -> Int32:
    """int32 [users, 3]: each user's last items, newest first, -1 for none."""
    return np.stack([data.last(back) for back in range(len(RECENT_WEIGHTS))], axis=1)
