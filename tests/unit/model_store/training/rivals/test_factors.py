"""Collaborative filtering learns who likes what in a world of two tastes."""

import numpy as np
import pytest

from model_store.training.harness import Progress, Recipe
from model_store.training.interactions import Interactions, ItemFacts, Log, assemble
from model_store.training.rivals.factors import Bpr, Factors, Ncf, fit

ITEMS, USERS = 20, 40
RECIPE = Recipe(epochs=300, rate=2e-2)


@pytest.fixture(scope="module")
def data() -> Interactions:
    """Even users take even items, odd ones odd items; each leaves some of theirs out."""
    rng = np.random.default_rng(0)
    rows = [
        (user, item) for user in range(USERS) for item in range(ITEMS) if user % 2 == item % 2 and rng.random() < 0.6
    ]
    log = Log(
        [f"u{user}" for user, _ in rows], [f"i{item}" for _, item in rows],
        1_700_000_000_000 + np.arange(len(rows)) * 1_000, np.full(len(rows), np.nan, np.float32), 1.0,
    )  # fmt: skip
    return assemble("tastes", "none", log, ItemFacts())


@pytest.mark.parametrize("kind", [Bpr, Ncf])
def test_what_a_user_left_out_is_told_from_what_is_not_theirs(kind: type, data: Interactions) -> None:
    factors: Factors = kind(data, RECIPE)
    progress: list[Progress] = []
    fit(factors, data, RECIPE, progress.append)
    scores = factors.scores(np.arange(USERS))
    assert scores.shape == (USERS, ITEMS)
    own = np.array([[int(user[1:]) % 2 == int(item[1:]) % 2 for item in data.items] for user in data.users])
    took = np.zeros((USERS, ITEMS), np.bool_)
    took[data.user, data.item] = True
    left_out, others = np.where(own & ~took, scores, np.nan), np.where(~own, scores, np.nan)
    assert (np.nanmean(left_out, axis=1) > np.nanmean(others, axis=1)).mean() > 0.95
    assert progress[-1].step == progress[-1].steps == RECIPE.epochs
    assert progress[-1].loss < progress[0].loss
