"""Histories as padded batches for the parallel form."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from model_store.state.layout import RATING_SCALE
from model_store.state.memory import rating_gain
from model_store.training.interactions import Interactions

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class History:
    """One user's interactions, oldest first; all arrays [length]."""

    item: Int32
    ts_ms: Int64
    gain: Float32


@dataclass(frozen=True, slots=True)
class Batch:
    """Histories of about the same length, padded at the end.

    Attributes:
        item: int32 [b, l], 0 in the padding.
        ts_ms: int64 [b, l], the last time repeated in the padding.
        gain: float32 [b, l], gain of the rating that follows the click, 0 for none.
        target: float32 [b, l], 1 where the item is to be predicted from what came before: not in the padding, and
            not if the user had it before (such an item is never recommended).
    """

    item: Int32
    ts_ms: Int64
    gain: Float32
    target: Float32


def histories(data: Interactions, longest: int) -> list[History]:
    """One history a user; a longer one is cut into pieces of at most `longest`, the last of them full.

    A cut-off beginning is missing from the state of the next piece, as for a user whose log begins there.
    """
    order = np.lexsort((data.ts_ms, data.user))
    gain = gains(data.rating)
    bounds = np.flatnonzero(np.r_[True, np.diff(data.user[order]) != 0, True])
    result = []
    for start, stop in pairwise(bounds):
        for end in range(stop, start, -longest):
            rows = order[max(start, end - longest) : end]
            result.append(History(data.item[rows], data.ts_ms[rows], gain[rows]))
    return result


def gains(rating: Float32) -> Float32:
    """Gains as the state applies them (ratings are kept in thousandths); 0 where there is no rating."""
    kept = np.rint(rating * np.float32(RATING_SCALE)) / RATING_SCALE
    return np.where(np.isnan(rating), 0, rating_gain.py_func(kept)).astype(np.float32)


def batches(all_histories: list[History], tokens: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Every history once, in random order, grouped by length into batches of at most about `tokens` places."""
    jitter = rng.uniform(0.9, 1.1, len(all_histories))
    by_length = sorted(range(len(all_histories)), key=lambda i: len(all_histories[i].item) * jitter[i])
    groups: list[list[int]] = [[]]
    longest = 0
    for i in by_length:
        longest = max(longest, len(all_histories[i].item))
        if groups[-1] and longest * (len(groups[-1]) + 1) > tokens:
            groups.append([])
            longest = len(all_histories[i].item)
        groups[-1].append(i)
    for group in rng.permutation(len(groups)):
        yield pad([all_histories[i] for i in groups[group]])


def pad(group: list[History]) -> Batch:
    """One batch of these histories."""
    shape = (len(group), max(len(history.item) for history in group))
    item, ts_ms = np.zeros(shape, np.int32), np.zeros(shape, np.int64)
    gain, target = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for row, history in enumerate(group):
        length = len(history.item)
        item[row, :length], gain[row, :length] = history.item, history.gain
        ts_ms[row, :length], ts_ms[row, length:] = history.ts_ms, history.ts_ms[-1]
        target[row, np.unique(history.item, return_index=True)[1]] = 1
    return Batch(item, ts_ms, gain, target)
