"""How far probabilities of topics can be taken at their word.

An item's topics count as shares that sum to 1, as in training: of two topics each is half right.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.encoder.columns import Outputs
from model_store.model import InterestModel
from model_store.training.evaluate import HELD_OUT, Question, outputs_of, states_and_social, topic_columns
from model_store.training.interactions import Interactions

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

BINS = 15
BASE_RATE, OWN_PAST = "base rate", "own past"


@dataclass(frozen=True, slots=True)
class Bin:
    """Probabilities of about one size: their mean, the mean share of the topics they were given to, and how many."""

    predicted: float
    observed: float
    count: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Over the users whose item has any topic.

    brier: mean over users of sum over topics of (probability - share) ** 2; 0 is perfect, 2 the worst (Brier 1950).
    With one topic drawn by its share instead, it would be more by 1 - sum of share ** 2, for every method alike.
    error: expected calibration error over all (user, topic) pairs: |observed - predicted| of the bins, by how many
    pairs each has (Naeini et al. 2015, with bins of equal mass).
    reliability: the bins, by ascending probability.
    """

    users: int
    brier: float
    error: float
    reliability: tuple[Bin, ...]


def calibrations(model: InterestModel, data: Interactions, back: int = 0) -> dict[str, Calibration]:
    """How far the model's probabilities of topics can be believed, beside those of everybody's and the user's own past
    interactions; empty where the data set names no topics."""
    if not data.topics:
        return {}
    asked, train = Question.of(data, back), data.without_last(HELD_OUT)
    records, social = states_and_social(model, asked.before)
    probability = {
        "model": Outputs.of(outputs_of(model, records, asked.users, social)).topics[:, topic_columns(model, data)],
        OWN_PAST: own_past(train, asked.before, asked.users),
        BASE_RATE: np.broadcast_to(base_rate(train), (len(asked.users), len(data.topics))),
    }
    actual = data.topic_shares()[asked.wanted]
    return {name: calibration(of, actual) for name, of in probability.items()}


def calibration(probability: Float32, share: Float32, bins: int = BINS) -> Calibration:
    """Compare probabilities (float32 [n, topics], rows sum to 1) with the shares of topics there were (likewise, or 0
    where the item has none)."""
    some = share.sum(axis=1) > 0
    predicted, actual = probability[some].astype(np.float64), share[some].astype(np.float64)
    if not len(predicted):
        return Calibration(0, 0.0, 0.0, ())
    points = reliability(predicted.ravel(), actual.ravel(), bins)
    off = sum(point.count * abs(point.observed - point.predicted) for point in points)
    brier = float(((predicted - actual) ** 2).sum(axis=1).mean())
    return Calibration(len(predicted), brier, off / predicted.size, points)


def reliability(predicted: Float64, observed: Float64, bins: int) -> tuple[Bin, ...]:
    """At most so many bins of float64 [n] each, with as nearly the same number of pairs as equal probabilities, which
    stay together, allow."""
    edges = np.unique(np.quantile(predicted, np.arange(1, bins) / bins, method="higher"))
    place = np.searchsorted(edges, predicted, side="right")
    count = np.bincount(place)
    means = [np.bincount(place, values) / np.maximum(count, 1) for values in (predicted, observed)]
    return tuple(
        Bin(float(expected), float(found), int(pairs))
        for expected, found, pairs in zip(*means, count, strict=True)
        if pairs
    )


def base_rate(train: Interactions) -> Float32:
    """float32 [topics]: each topic's share of all interactions with items that have any."""
    total = train.topic_shares()[train.item].sum(axis=0, dtype=np.float64)
    return (total / max(1e-12, float(total.sum()))).astype(np.float32)


def own_past(train: Interactions, before: Interactions, users: Int64) -> Float32:
    """float32 [n, topics]: each topic's share of the user's interactions in `before`; the base rate of `train` for
    those who have met no topic."""
    total = np.zeros((len(before.users), len(before.topics)), np.float64)
    np.add.at(total, before.user, before.topic_shares()[before.item])
    mass = total.sum(axis=1, keepdims=True)
    own = np.where(mass > 0, total / np.maximum(mass, 1e-12), base_rate(train))
    return own[users].astype(np.float32)
