"""Calibration by hand, and against probabilities that are right by construction."""

import numpy as np
import pytest

from model_store.training.calibration import base_rate, calibration, own_past, reliability
from model_store.training.interactions import Interactions, ItemFacts, Log, assemble


@pytest.fixture
def data() -> Interactions:
    """ann: a, b, c; bob: c, d. a is red; b red and blue; c blue; d has no topic."""
    clicks = [("ann", "a"), ("ann", "b"), ("ann", "c"), ("bob", "d"), ("bob", "c")]
    users, items = zip(*clicks, strict=True)
    log = Log(users, items, np.arange(5, dtype=np.int64) * 1000, np.full(5, np.nan, np.float32), 1.0)
    return assemble("colours", "none", log, ItemFacts({}, {"a": ["red"], "b": ["red", "blue"], "c": ["blue"]}))


def test_brier_by_hand() -> None:
    probability = np.array([[0.5, 0.3, 0.2], [0.1, 0.9, 0.0], [1, 0, 0]], np.float32)
    share = np.array([[0.5, 0.5, 0], [0, 1, 0], [0, 0, 0]], np.float32)
    found = calibration(probability, share)
    # The third item has no topic and does not count.
    first, second = 0.0**2 + 0.2**2 + 0.2**2, 0.1**2 + 0.1**2 + 0.0**2
    assert found.users == 2
    assert found.brier == pytest.approx((first + second) / 2, abs=1e-6)


def test_calibration_error_by_hand() -> None:
    probability = np.array([[0.9, 0.1], [0.8, 0.2]], np.float32)
    actual = np.array([[1, 0], [0, 1]], np.float32)
    found = calibration(probability, actual, bins=2)
    # Two bins of two pairs: .1 and .2 with the shares 0 and 1, .8 and .9 with 0 and 1.
    assert [(point.predicted, point.observed, point.count) for point in found.reliability] == [
        (pytest.approx(0.15), 0.5, 2),
        (pytest.approx(0.85), 0.5, 2),
    ]
    assert found.error == pytest.approx((2 * 0.35 + 2 * 0.35) / 4)


def test_equal_probabilities_are_in_one_bin() -> None:
    points = reliability(np.array([0.2, 0.2, 0.2, 0.7]), np.array([0.0, 0.0, 0.6, 1.0]), bins=4)
    assert [(point.observed, point.count) for point in points] == [(pytest.approx(0.2), 3), (1.0, 1)]


def test_bins_have_the_same_mass() -> None:
    predicted = np.random.default_rng(0).permutation(1000) / 1000
    assert [point.count for point in reliability(predicted, predicted, bins=10)] == [100] * 10


def test_what_is_right_by_construction_is_calibrated() -> None:
    """The topic is drawn from the probabilities themselves: the error is noise, and too much certainty is seen."""
    rng = np.random.default_rng(1)
    probability = rng.dirichlet(np.ones(5), 20_000).astype(np.float32)
    topic = (rng.random(len(probability))[:, None] > probability.cumsum(axis=1)).sum(axis=1)
    actual = np.eye(5, dtype=np.float32)[np.minimum(topic, 4)]
    assert calibration(probability, actual).error < 0.01
    sharper = probability**3 / (probability**3).sum(axis=1, keepdims=True)
    assert calibration(sharper, actual).error > 0.05
    assert calibration(sharper, actual).brier > calibration(probability, actual).brier


def test_nobody_is_calibrated() -> None:
    nobody = calibration(np.ones((2, 3), np.float32) / 3, np.zeros((2, 3), np.float32))
    assert (nobody.users, nobody.brier, nobody.error, nobody.reliability) == (0, 0, 0, ())


def test_topics_of_an_item_share_it(data: Interactions) -> None:
    shares = {item: row.tolist() for item, row in zip(data.items, data.topic_shares(), strict=True)}
    assert shares == {"a": [0, 1], "b": [0.5, 0.5], "c": [1, 0], "d": [0, 0]}


def test_base_rate_and_own_past_by_hand(data: Interactions) -> None:
    assert data.topics == ("blue", "red")
    # Of the items with topics: a red, b half and half, c twice blue.
    assert base_rate(data).tolist() == pytest.approx([2.5 / 4, 1.5 / 4])
    train = data.without_last(1)  # ann: a, b; bob: d
    found = own_past(train, train, np.array([1, 0]))
    # bob has met no topic: he gets the base rate.
    assert found.tolist() == [pytest.approx([0.5 / 2, 1.5 / 2]), pytest.approx([0.5 / 2, 1.5 / 2])]
    assert own_past(train, data, np.array([0, 1])).tolist() == [pytest.approx([0.5, 0.5]), [1.0, 0.0]]
