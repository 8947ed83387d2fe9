"""What a model must beat: popularity, and "people who just saw this next saw that"."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.catalog.transitions import LAG_WEIGHTS, Transitions
from model_store.training.interactions import Interactions

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]


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
class NextItem:
    """Scores items by how often they came right after the user's last ones."""

    transitions: Transitions

    @staticmethod
    def fit(train: Interactions) -> "NextItem":
        """Count pairs of neighbours in each user's history."""
        return NextItem(transitions_of(train))

    def scores(self, recent: Int32) -> Float32:
        """float32 [n, m] for users whose last items are `recent` (int32 [n, 3], newest first, -1 for none)."""
        return self.transitions.shares(recent)


def transitions_of(data: Interactions) -> Transitions:
    """Pairs of neighbours in each user's history."""
    order = np.lexsort((data.ts_ms, data.user))
    return Transitions.count(data.user[order], data.item[order], len(data.items))


def recent_items(data: Interactions) -> Int32:
    """int32 [users, 3]: each user's last items, newest first, -1 for none."""
    return np.stack([data.last(back) for back in range(len(LAG_WEIGHTS))], axis=1)
