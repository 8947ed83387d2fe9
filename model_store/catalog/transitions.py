"""What came right after what, and what that adds to a score.

    score += weight * log1p(sum over the last three clicked items of lag weight * share(next | item) / UNIT)

Counts see what a product of two short vectors cannot: that one item follows another, and hardly any other does.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel
from model_store.state.layout import RING
from model_store.state.lookup import find

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

LAG_WEIGHTS = (1.0, 0.5, 0.25)
"""Of the last clicked item, the one before it, and the one before that."""
SHRINKAGE = 5.0
"""Pairs that are added to an item's total: two of two say less than 200 of 200."""
UNIT = 0.003
"""The share at which the logarithm bends."""


@dataclass(frozen=True, slots=True)
class Transitions:
    """Pairs of neighbours in users' histories, by the first item.

    Attributes:
        bounds: int64 [m + 1]; the pairs of item i are bounds[i] .. bounds[i + 1].
        after: int32 [pairs], the second item; ascending within a first item.
        share: float32 [pairs], the pair's count / (count of all pairs of the first item + SHRINKAGE).
        weight: of what they add to a score; 0 adds nothing.
    """

    bounds: Int64
    after: Int32
    share: Float32
    weight: float = 0.0

    @staticmethod
    def none(items: int) -> "Transitions":
        """No pairs."""
        return Transitions(np.zeros(items + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))

    @staticmethod
    def count(user: Int32, item: Int32, items: int) -> "Transitions":
        """Of n interactions (int32 [n] each), those of a user together and in order."""
        same = user[1:] == user[:-1]
        code = item[:-1][same].astype(np.int64) * items + item[1:][same]
        pairs, times = np.unique(code, return_counts=True)
        return Transitions.of_pairs(pairs // items, pairs % items, times, items)

    @staticmethod
    def of_pairs(first: Int64, second: Int64, times: Int64, items: int) -> "Transitions":
        """Of distinct pairs that came `times` times (int64 [pairs] each), ascending by first, then by second item."""
        total = np.bincount(first, weights=times, minlength=items)
        share = times / (total[first] + SHRINKAGE)
        bounds = np.searchsorted(first, np.arange(items + 1))
        return Transitions(bounds, second.astype(np.int32), share.astype(np.float32))

    def weighted(self, weight: float) -> "Transitions":
        """The same pairs with another weight."""
        return replace(self, weight=weight)

    def with_room(self, more: int) -> "Transitions":
        """The same pairs, and so many items more that are in none."""
        return replace(self, bounds=np.concatenate([self.bounds, np.repeat(self.bounds[-1:], more)]))

    def shares(self, recent: Int32) -> Float32:
        """float32 [n, m]: the sum inside the logarithm, for users whose last items are `recent` (int32 [n, 3], newest
        first, -1 for none)."""
        out = np.zeros((len(recent), len(self.bounds) - 1), np.float32)
        _add_shares(out, recent, np.array(LAG_WEIGHTS, np.float32), self.bounds, self.after, self.share)
        return out

    def add_to(self, scores: Float32, recent: Int32, more: Float32 | None = None) -> None:
        """Add to float32 [n, m] scores, in place; `recent` as in `shares`, `more` (float32 [n]) on top of `weight`."""
        weight = self._weights(len(scores), more)
        if weight.any() and len(self.after):
            lags = np.array(LAG_WEIGHTS, np.float32)
            _add_logs(scores, recent, lags, self.bounds, self.after, self.share, weight)

    def add_to_items(self, scores: Float32, items: Int32, recent: Int32, more: Float32 | None = None) -> None:
        """The same for chosen items only: float32 [n, k] scores of int32 [n, k] items, nothing where one is -1."""
        weight = self._weights(len(scores), more)
        if weight.any() and len(self.after):
            lags = np.array(LAG_WEIGHTS, np.float32)
            _add_logs_to_items(scores, items, recent, lags, self.bounds, self.after, self.share, weight)

    def followers(self, recent: Int32, most: int) -> Int32:
        """int32 [n, 3 * most]: what follows each of the `recent` items most often, -1 where there is no more."""
        out = np.full((len(recent), recent.shape[1] * most), -1, np.int32)
        _fill_followers(recent, self.bounds, self.after, self.share, most, out)
        return out

    def _weights(self, count: int, more: Float32 | None) -> Float32:
        weight = np.full(count, self.weight, np.float32)
        return weight if more is None else weight + more


def recent_rows(records: npt.NDArray[np.void], rows: Int64, hashes: npt.NDArray[np.uint64], slots: Int64) -> Int32:
    """int32 [n, 3]: rows (in the table of `hashes` and `slots`) of the items that the users in `records[rows]` clicked
    last, newest first; -1 for none, and for an item that is not in the table."""
    out = np.empty((len(rows), len(LAG_WEIGHTS)), np.int32)
    _recent_rows(records, rows, hashes, slots, out)
    return out


@kernel
def _recent_rows(records, rows, hashes, slots, out):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        record = records[rows[i]]
        for lag in range(out.shape[1]):
            out[i, lag] = -1
            if lag < record.clicks:
                out[i, lag] = find(hashes, slots, record.ring[(record.clicks - 1 - lag) % RING])


@kernel
def _add_shares(out, recent, lags, bounds, after, share):  # type: ignore[no-untyped-def]
    for i in range(len(recent)):
        for lag in range(len(lags)):
            item = recent[i, lag]
            if item >= 0:
                for pair in range(bounds[item], bounds[item + 1]):
                    out[i, after[pair]] += lags[lag] * share[pair]


@kernel
def _add_logs(scores, recent, lags, bounds, after, share, weight):  # type: ignore[no-untyped-def]
    total = np.zeros(scores.shape[1], np.float32)
    touched = np.empty(scores.shape[1], np.int32)
    for i in range(len(recent)):
        count = 0
        for lag in range(len(lags)):
            item = recent[i, lag]
            if item >= 0:
                for pair in range(bounds[item], bounds[item + 1]):
                    follower = after[pair]
                    if total[follower] == 0:
                        touched[count] = follower
                        count += 1
                    total[follower] += lags[lag] * share[pair]
        for place in range(count):
            follower = touched[place]
            scores[i, follower] += weight[i] * np.log1p(total[follower] / np.float32(UNIT))
            total[follower] = 0


@kernel
def _add_logs_to_items(scores, items, recent, lags, bounds, after, share, weight):  # type: ignore[no-untyped-def]
    for i in range(len(items)):
        for j in range(items.shape[1]):
            total = np.float32(0.0)
            for lag in range(len(lags)):
                if recent[i, lag] >= 0 and items[i, j] >= 0:
                    total += lags[lag] * _share_of(recent[i, lag], items[i, j], bounds, after, share)
            scores[i, j] += weight[i] * np.log1p(total / np.float32(UNIT))


@kernel
def _share_of(first, second, bounds, after, share):  # type: ignore[no-untyped-def]
    """Share of a pair, 0 where there is none: a binary search among those of the first item."""
    low, high = bounds[first], bounds[first + 1]
    while low < high:
        middle = (low + high) // 2
        if after[middle] < second:
            low = middle + 1
        else:
            high = middle
    return share[low] if low < bounds[first + 1] and after[low] == second else np.float32(0.0)


@kernel
def _fill_followers(recent, bounds, after, share, most, out):  # type: ignore[no-untyped-def]
    """The ones with the largest shares, kept sorted while they are found."""
    held = np.empty(most, np.float32)
    for i in range(len(recent)):
        for lag in range(recent.shape[1]):
            item, size, own = recent[i, lag], 0, out[i, lag * most : (lag + 1) * most]
            for pair in range(bounds[item], bounds[item + 1]) if item >= 0 else range(0):
                if size == most and share[pair] <= held[most - 1]:
                    continue
                size = min(size + 1, most)
                at = size - 1
                while at > 0 and held[at - 1] < share[pair]:
                    held[at], own[at] = held[at - 1], own[at - 1]
                    at -= 1
                held[at], own[at] = share[pair], after[pair]
