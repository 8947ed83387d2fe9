"""Metrics and rivals against plain loops."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.training.interactions import Interactions, ItemFacts, Log, assemble
from model_store.training.metrics import coverage, ranking, ranks, top_items, topic_scores
from model_store.training.rivals.counts import DecayedPopularity, NextItem, Popularity, recent_items

ITEMS = 6


@given(st.data())
def test_ranks_against_sorting(data: st.DataObject) -> None:
    scores = data.draw(st.lists(st.integers(0, 3), min_size=ITEMS, max_size=ITEMS))
    hidden = data.draw(st.lists(st.booleans(), min_size=ITEMS, max_size=ITEMS))
    target = data.draw(st.integers(0, ITEMS - 1))
    found = ranks(np.array([scores], np.float32), np.array([target]), np.array([hidden]))[0]
    if hidden[target]:
        assert found == ITEMS
    else:
        # The target comes last among its equals.
        order = sorted((item for item in range(ITEMS) if not hidden[item]), key=lambda i: (-scores[i], i == target))
        assert found == order.index(target)


def test_a_target_without_a_number_is_a_miss() -> None:
    scores = np.array([[1.0, math.nan, 0.0]], np.float32)
    assert ranks(scores, np.array([1]), np.zeros((1, 3), np.bool_)).tolist() == [3]


def test_ranking_by_hand() -> None:
    figures = ranking(np.array([0, 1, 9, 10, 400]))
    assert figures.users == 5
    assert [at.cutoff for at in figures.at] == [1, 5, 10, 20]
    assert [at.hit_rate.value for at in figures.at] == pytest.approx([1 / 5, 2 / 5, 3 / 5, 4 / 5])
    gains = [1, 1 / math.log2(3), 1 / math.log2(11), 1 / math.log2(12)]
    assert [at.ndcg.value for at in figures.at] == pytest.approx([sum(gains[:hits]) / 5 for hits in (1, 2, 3, 4)])
    parts = [1, 1 / 2, 1 / 10, 1 / 11]
    found = [at.reciprocal_rank.value for at in figures.at]
    assert found == pytest.approx([sum(parts[:hits]) / 5 for hits in (1, 2, 3, 4)])
    assert (figures.hit_rate_10, figures.ndcg_10) == (figures.of(10).hit_rate.value, figures.of(10).ndcg.value)


def test_the_interval_is_that_of_the_binomial() -> None:
    """Of n hits and misses the bootstrap's mean is binomial: its interval is known."""
    users, share = 4_000, 0.3
    rank = np.where(np.arange(users) < share * users, 0, 100)
    hit_rate = ranking(rank).of(10).hit_rate
    margin = 1.96 * math.sqrt(share * (1 - share) / users)
    assert hit_rate.value == pytest.approx(share)
    assert hit_rate.low == pytest.approx(share - margin, abs=0.2 * margin)
    assert hit_rate.high == pytest.approx(share + margin, abs=0.2 * margin)


def test_nobody_has_no_figures() -> None:
    nobody = ranking(np.zeros(0, np.int64))
    assert (nobody.users, nobody.hit_rate_10, nobody.of(20).ndcg.high) == (0, 0, 0)


@given(st.data())
def test_top_items_against_sorting(data: st.DataObject) -> None:
    scores = data.draw(st.lists(st.floats(-4, 4, width=16), min_size=ITEMS, max_size=ITEMS, unique=True))
    hidden = data.draw(st.lists(st.booleans(), min_size=ITEMS, max_size=ITEMS))
    count = data.draw(st.integers(1, ITEMS + 2))
    found = top_items(np.array([scores], np.float32), np.array([hidden]), count)[0].tolist()
    shown = sorted((item for item in range(ITEMS) if not hidden[item]), key=lambda item: -scores[item])
    assert found == (shown + [-1] * ITEMS)[: min(count, ITEMS)]


def test_coverage_by_hand() -> None:
    top = np.array([[3, 1, -1], [3, 2, 0]])
    assert coverage(top, 10) == {1: 0.1, 5: 0.4, 10: 0.4, 20: 0.4}


def test_topics_by_hand() -> None:
    probability = np.array([[0.5, 0.3, 0.1, 0.06, 0.04], [0.1, 0.2, 0.3, 0.39, 0.01], [1, 0, 0, 0, 0]], np.float32)
    actual = np.array([[1, 0, 0, 1, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]], np.float32)
    figures = topic_scores(probability, actual)
    # Predicted {0, 1, 2} of {0, 3}, and {3, 2, 1} of {1, 2}: three hits of six predictions and four topics.
    assert figures.users == 2
    assert figures.precision == pytest.approx(3 / 6)
    assert figures.recall == pytest.approx(3 / 4)
    assert figures.f1 == pytest.approx(2 * 0.5 * 0.75 / 1.25)
    assert figures.accuracy == pytest.approx(1 / 2)


def test_topics_of_nobody() -> None:
    nothing = topic_scores(np.ones((2, 3), np.float32) / 3, np.zeros((2, 3), np.float32))
    assert (nothing.users, nothing.precision, nothing.recall, nothing.f1, nothing.accuracy) == (0, 0, 0, 0, 0)


@pytest.fixture
def data() -> Interactions:
    rng = np.random.default_rng(4)
    users, items = rng.integers(0, 8, 200), rng.integers(0, 12, 200)
    log = Log(
        [f"u{user}" for user in users], [f"i{item}" for item in items], rng.integers(0, 500, 200) * 1000,
        np.full(200, np.nan, np.float32), 1.0,
    )  # fmt: skip
    return assemble("made", "none", log, ItemFacts())


def _histories(data: Interactions) -> list[list[int]]:
    return [data.item[data.user == user].tolist() for user in range(len(data.users))]


def test_popularity_counts(data: Interactions) -> None:
    scores = Popularity.fit(data).scores(recent_items(data))
    expected = [sum(history.count(item) for history in _histories(data)) for item in range(len(data.items))]
    assert scores.shape == (len(data.users), len(data.items))
    assert scores[0].tolist() == scores[-1].tolist() == expected


def test_transitions_against_plain_loops(data: Interactions) -> None:
    count = [[0] * len(data.items) for _ in data.items]
    for history in _histories(data):
        for before, after in pairwise(history):
            count[before][after] += 1
    scores = NextItem.fit(data).scores(recent_items(data))
    for user, history in enumerate(_histories(data)):
        for item in range(len(data.items)):
            recent = zip(history[::-1], (1, 0.5, 0.25), strict=False)
            expected = sum(weight * count[before][item] / (sum(count[before]) + 5) for before, weight in recent)
            assert scores[user, item] == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_decayed_popularity_against_plain_loops(data: Interactions) -> None:
    half_life_ms, before = 100_000.0, data.without_last(1)
    train, users = data.without_last(2), np.array([3, 0, 7])
    found = DecayedPopularity(train, before, half_life_ms).scores(users)
    for row, user in enumerate(users.tolist()):
        at_ms = max(before.ts_ms[before.user == user])
        expected = [0.0] * len(data.items)
        for item, ts_ms in zip(train.item.tolist(), train.ts_ms.tolist(), strict=True):
            if ts_ms <= at_ms:
                expected[item] += 2 ** (-(at_ms - ts_ms) / half_life_ms)
        np.testing.assert_allclose(found[row], expected, rtol=1e-5, atol=1e-7)
