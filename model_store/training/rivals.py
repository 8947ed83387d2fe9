"""What a model must beat: popularity, and "people who just saw this next saw that"."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.training.interactions import Interactions

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]

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
    """Item-to-next-item counts; row i is how often each item came right after i, divided by the row's sum + 5."""

    table: Float32

    @staticmethod
    def fit(train: Interactions) -> "Transitions":
        """Count pairs of neighbours in each user's history."""
        order = np.lexsort((train.ts_ms, train.user))
        user, item = train.user[order], train.item[order]
        same = user[1:] == user[:-1]
        table = np.zeros((len(train.items), len(train.items)), np.float32)
        np.add.at(table, (item[:-1][same], item[1:][same]), 1)
        return Transitions(table / (table.sum(axis=1, keepdims=True) + np.float32(_SHRINKAGE)))

    def scores(self, recent: Int32) -> Float32:
        """float32 [n, m] for users whose last items are `recent` (int32 [n, 3], newest first, -1 for none)."""
        result = np.zeros((len(recent), len(self.table)), np.float32)
        for column, weight in enumerate(RECENT_WEIGHTS):
            known = recent[:, column] >= 0
            result[known] += np.float32(weight) * self.table[recent[known, column]]
        return result


def recent_items(data: Interactions) -> Int32:
    """int32 [users, 3]: each user's last items, newest first, -1 for none."""
    return np.stack([data.last(back) for back in range(len(RECENT_WEIGHTS))], axis=1)
