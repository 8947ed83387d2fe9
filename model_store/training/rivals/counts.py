"""Rivals that only count: popularity, popularity of late, and "people who just saw this next saw that"."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model_store.catalog.transitions import LAG_WEIGHTS, Transitions
from model_store.state.memory import DAY_MS
from model_store.training.interactions import Interactions

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


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


class DecayedPopularity:
    """Scores every item by how often it was chosen of late, as of each user's last interaction."""

    def __init__(self, train: Interactions, before: Interactions, half_life_ms: float = 7 * DAY_MS) -> None:
        """Counts `train`; `before` says when each user was last seen."""
        self._train, self._half_life_ms = train, half_life_ms
        self._at_ms = np.zeros(len(before.users), np.int64)
        np.maximum.at(self._at_ms, before.user, before.ts_ms)

    def scores(self, users: Int64) -> Float32:
        """float32 [n, m]: the sum of 2 ** (-age / half-life) over each item's interactions up to the user's time."""
        result = np.empty((len(users), len(self._train.items)), np.float32)
        counts, now_ms, done = np.zeros(len(self._train.items)), 0.0, 0
        for row in np.argsort(self._at_ms[users], kind="stable").tolist():
            at_ms = float(self._at_ms[users[row]])
            until = int(np.searchsorted(self._train.ts_ms, at_ms, side="right"))
            counts *= self._fading(at_ms - now_ms)
            ages_ms = at_ms - self._train.ts_ms[done:until]
            np.add.at(counts, self._train.item[done:until], self._fading(ages_ms))
            result[row], now_ms, done = counts, at_ms, until
        return result

    def _fading(self, age_ms: Any) -> Any:
        return np.exp2(-age_ms / self._half_life_ms)


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
