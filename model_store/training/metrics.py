"""Ranking and topic metrics, on plain arrays.

Ranking is full: against all items, those already seen left out, ties counted against the model. Figures against a
sample of items are another, easier game and are not offered.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Means over `users` users of one target item each; a target that is not rankable is a miss."""

    users: int
    hit_rate_10: float
    ndcg_10: float
    hit_rate_1: float
    mean_reciprocal_rank: float


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


def ranking(rank: Int64) -> Ranking:
    """Figures from ranks that start at 0."""
    hit = rank < 10
    return Ranking(
        users=len(rank),
        hit_rate_10=float(hit.mean()),
        ndcg_10=float((hit / np.log2(rank + 2.0)).mean()),
        hit_rate_1=float((rank == 0).mean()),
        mean_reciprocal_rank=float((1.0 / (rank + 1.0)).mean()),
    )


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
