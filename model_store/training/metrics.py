"""Ranking and topic metrics, on plain arrays.

Ranking is full: against all items, those already seen left out, ties counted against the model. Figures against a
sample of items are another, easier game and are not offered.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


CUTOFFS = (1, 5, 10, 20)
RESAMPLES = 1_000
_INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over users, and where 95 % of the means of resampled users lie (percentile bootstrap, Efron 1979)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AtCutoff:
    """Of one target item each, looking at the first `cutoff` ranks alone."""

    cutoff: int
    hit_rate: Mean
    ndcg: Mean
    reciprocal_rank: Mean


@dataclass(frozen=True, slots=True)
class Ranking:
    """Means over users of one target item each, at each of `CUTOFFS`; a target that is not rankable is a miss."""

    users: int
    at: tuple[AtCutoff, ...]

    def of(self, cutoff: int) -> AtCutoff:
        """Figures at one of `CUTOFFS`."""
        return self.at[CUTOFFS.index(cutoff)]

    @property
    def hit_rate_10(self) -> float:
        return self.of(10).hit_rate.value

    @property
    def ndcg_10(self) -> float:
        return self.of(10).ndcg.value


@dataclass(frozen=True, slots=True)
class TopicScores:
    """How well the three most probable topics tell those of the next item, over the items that have any.

    precision, recall, f1: micro-averaged over (item, topic) pairs. accuracy: how often the most probable
    topic is one of the item's.
    """

    users: int
    precision: float
    recall: float
    f1: float
    accuracy: float


def ranks(scores: Float32, targets: Int64, hidden: npt.NDArray[np.bool_]) -> Int64:
    """int64 [n]: rank, from 0, of each user's target among the items that are not hidden.

    scores: float32 [n, m]; targets: int64 [n] in 0..m-1; hidden: bool [n, m], seen items. Items with the same score
    as the target rank before it. A target that is itself hidden gets rank m: it could not have been recommended.
    """
    rows = np.arange(len(targets))
    own = scores[rows, targets]
    better = (scores >= own[:, None]) & ~hidden
    better[rows, targets] = False
    return np.where(hidden[rows, targets] | np.isnan(own), scores.shape[1], better.sum(axis=1)).astype(np.int64)


def ranking(rank: Int64, seed: int = 0) -> Ranking:
    """Figures from ranks that start at 0. `seed`: of the resampling behind the intervals."""
    columns = [gain for cutoff in CUTOFFS for gain in gains_at(cutoff, rank)]
    means = _means(np.stack(columns, axis=1), np.random.default_rng(seed))
    rows = [AtCutoff(cutoff, *means[3 * place : 3 * place + 3]) for place, cutoff in enumerate(CUTOFFS)]
    return Ranking(len(rank), tuple(rows))


def gains_at(cutoff: int, rank: Int64) -> tuple[Float64, Float64, Float64]:
    """float64 [n] each: every user's hit, NDCG (one relevant item, so the ideal is 1) and reciprocal rank."""
    hit = rank < cutoff
    return hit.astype(np.float64), hit / np.log2(rank + 2.0), hit / (rank + 1.0)


def mean_of(values: Float64, seed: int = 0) -> Mean:
    """Of one figure of each user, float64 [n]."""
    return _means(values[:, None], np.random.default_rng(seed))[0]


def _means(values: Float64, rng: np.random.Generator) -> list[Mean]:
    """One for each column of float64 [n, columns]."""
    count = len(values)
    if count == 0:
        return [Mean(0.0, 0.0, 0.0)] * values.shape[1]
    resampled = np.empty((RESAMPLES, values.shape[1]))
    for place in range(RESAMPLES):
        resampled[place] = np.bincount(rng.integers(0, count, count), minlength=count) @ values
    low, high = np.percentile(resampled / count, _INTERVAL, axis=0)
    return [Mean(*map(float, mean)) for mean in zip(values.mean(axis=0), low, high, strict=True)]


def top_items(scores: Float32, hidden: npt.NDArray[np.bool_], count: int) -> Int64:
    """int64 [n, count]: the best items that are not hidden, best first; -1 where there are fewer.

    scores: float32 [n, m]; hidden: bool [n, m].
    """
    count = min(count, scores.shape[1])
    shown = np.where(hidden | np.isnan(scores), -np.inf, scores)
    best = np.argpartition(-shown, count - 1, axis=1)[:, :count]
    own = np.take_along_axis(shown, best, axis=1)
    order = np.argsort(-own, axis=1, kind="stable")
    best, own = np.take_along_axis(best, order, axis=1), np.take_along_axis(own, order, axis=1)
    return np.where(np.isneginf(own), -1, best).astype(np.int64)


def coverage(top: Int64, items: int) -> dict[int, float]:
    """Cutoff -> share of the catalogue in somebody's first so many. top: int64 [n, k], best first, -1 for none."""
    shown = {cutoff: np.unique(top[:, :cutoff]) for cutoff in CUTOFFS}
    return {cutoff: int((found >= 0).sum()) / max(1, items) for cutoff, found in shown.items()}


def topic_scores(probability: Float32, actual: Float32, top: int = 3) -> TopicScores:
    """Compare predicted topics (float32 [n, topics]) with the actual ones (0 or 1, the same shape)."""
    some = actual.sum(axis=1) > 0
    probability, actual = probability[some], actual[some] > 0
    best = np.argsort(-probability, axis=1, kind="stable")[:, :top]
    hits = float(np.take_along_axis(actual, best, axis=1).sum())
    precision, recall = hits / max(1, best.size), hits / max(1.0, float(actual.sum()))
    right = actual[np.arange(len(best)), best[:, 0]] if best.size else np.zeros(0)
    return TopicScores(
        users=int(some.sum()),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / max(1e-12, precision + recall),
        accuracy=float(right.mean()) if len(right) else 0.0,
    )
