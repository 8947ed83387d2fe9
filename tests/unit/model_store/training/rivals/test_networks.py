"""The networks that the model is compared with learn a rule that is known: after item i comes item i + 1."""

import numpy as np
import pytest

from model_store.encoder.runtime import tf
from model_store.training.harness import Recipe, Tables
from model_store.training.interactions import Interactions, ItemFacts, Log, assemble
from model_store.training.rivals.networks import Gru4Rec, Network, Sasrec, TrainedNetwork

ITEMS, USERS, LENGTH = 30, 60, 10
RECIPE = Recipe(epochs=30, tokens=400, longest=8, rate=5e-3, dropout=0.0)


@pytest.fixture(scope="module")
def data() -> Interactions:
    start = np.random.default_rng(0).integers(0, ITEMS, USERS)
    rows = [(user, int(start[user] + step) % ITEMS, step) for step in range(LENGTH) for user in range(USERS)]
    log = Log(
        [f"u{user}" for user, _, _ in rows], [f"i{item}" for _, item, _ in rows],
        1_700_000_000_000 + np.array([step * 3_600_000 for _, _, step in rows], np.int64),
        np.full(len(rows), np.nan, np.float32), 1.0,
    )  # fmt: skip
    return assemble("steps", "none", log, ItemFacts())


def _network(name: str) -> Network:
    return Sasrec(RECIPE.longest, RECIPE) if name == "sasrec" else Gru4Rec(RECIPE)


@pytest.mark.parametrize("name", ["sasrec", "gru4rec"])
def test_a_network_learns_the_rule(name: str, data: Interactions) -> None:
    trained = TrainedNetwork(data.without_last(2), RECIPE, _network(name))
    users = np.arange(USERS)[::-1].copy()
    scores = trained.after(data.without_last(1))(users)
    assert (scores.argmax(axis=1) == data.last()[users]).mean() > 0.9


@pytest.mark.parametrize("name", ["sasrec", "gru4rec"])
def test_a_vector_is_made_of_what_came_before_it_and_nothing_else(name: str) -> None:
    rng, network = np.random.default_rng(1), _network(name)
    tables = Tables(
        tf.Variable(rng.normal(size=(ITEMS, 64)).astype(np.float32)), tf.Variable(np.zeros(ITEMS, np.float32))
    )
    item = rng.integers(0, ITEMS, (1, 8)).astype(np.int32)
    vectors = network.vectors(tf.constant(item), tables).numpy()[0]
    for place in range(8):
        changed = item.copy()
        changed[0, place] = (changed[0, place] + 1) % ITEMS
        other = network.vectors(tf.constant(changed), tables).numpy()[0]
        np.testing.assert_allclose(other[: place + 1], vectors[: place + 1], atol=1e-5)
        if place < 7:
            assert np.abs(other[place + 1] - vectors[place + 1]).max() > 1e-3
