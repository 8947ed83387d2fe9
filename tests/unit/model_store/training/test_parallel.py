"""Training sees the states that serving will see."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from model_store.encoder.columns import SOCIAL
from model_store.encoder.runtime import tf
from model_store.state.content import ItemContent
from model_store.state.features import FEATURES, features
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM
from model_store.state.memory import DAY_MS, Decays
from model_store.state.writes import WriteTable
from model_store.training.interactions import Interactions, ItemFacts, Log, assemble
from model_store.training.loss import SEEN_SHARE, exp_sum, loss_of_histories
from model_store.training.parallel import features_before
from model_store.training.sequences import History, batches, gains, histories, pad
from model_store.training.states import states_of

DECAYS = Decays((0.7, 5.0, 50.0), (DAY_MS, 20 * DAY_MS), 7 * DAY_MS)
TOPICS = ("Comedy", "Drama", "Horror")


@dataclass(frozen=True)
class World:
    data: Interactions
    writes: WriteTable


def make_world(rated: float, seed: int, longest: int = 150) -> World:
    """Users with 1 to `longest` distinct items; some items without topics; this share of interactions rated."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(25):
        ts_ms = 1_600_000_000_000 + int(rng.integers(0, 10**9))
        for item in rng.permutation(300)[: rng.integers(1, longest + 1)]:
            ts_ms += int(rng.choice([0, 137, 1_000, 600_000, 3 * 86_400_000]))
            rows.append((f"u{user}", f"i{item}", ts_ms, float(rng.integers(1, 6)) if rng.random() < rated else np.nan))
    log = Log(
        [row[0] for row in rows], [row[1] for row in rows], np.array([row[2] for row in rows], np.int64),
        np.array([row[3] for row in rows], np.float32), 5.0,
    )  # fmt: skip
    topics = {f"i{item}": [TOPICS[item % 3], TOPICS[item % 2]] for item in range(300) if item % 7}
    data = assemble("made", "none", log, ItemFacts(topics=topics))
    table = rng.normal(0, 0.1, (len(data.items), DIM)).astype(np.float32)
    return World(
        data, WriteTable(hash_ids(list(data.items)).hash, table, ItemContent.by_topics(data.topic_shares()).coordinates)
    )


def parallel_features(world: World) -> list[npt.NDArray[np.float32]]:
    """For each user the features before each interaction and, last, after all of them."""
    result = []
    for history in histories(world.data, longest=1000):
        # One more interaction, whose features are those after all real ones.
        longer = History(*(np.append(column, column[-1:]) for column in (history.item, history.ts_ms, history.gain)))
        batch = pad([longer, History(history.item[:1], history.ts_ms[:1], history.gain[:1])])
        found = features_before(
            batch.item,
            batch.ts_ms,
            batch.gain,
            tf.constant(world.writes.vectors),
            tf.constant(world.writes.content),
            DECAYS,
        )
        result.append(found.numpy()[0])
    return result


@pytest.mark.parametrize(("rated", "seed"), [(1.0, 0), (0.0, 1), (0.5, 2)])
def test_the_parallel_form_is_the_step_form(rated: float, seed: int) -> None:
    world = make_world(rated, seed)
    parallel = parallel_features(world)
    for back in (0, 1, 2, 10):
        records = states_of(world.data.without_last(back), world.writes, DECAYS).records
        stepped = features(records, np.arange(len(world.data.users)))
        for user, found in enumerate(parallel):
            if len(found) > back:
                np.testing.assert_allclose(found[-1 - back], stepped[user], atol=1e-4)


def test_before_the_first_interaction_there_is_nothing() -> None:
    assert not np.any([found[0] for found in parallel_features(make_world(1.0, 3, longest=4))])


def test_nobody_follows_in_training() -> None:
    found = parallel_features(make_world(1.0, 4, longest=4))[0]
    assert found.shape[1] == FEATURES
    assert not found[:, SOCIAL].any()


def test_gains_are_those_of_the_state() -> None:
    assert gains(np.array([0, 0.2, 0.5, 1, np.nan], np.float32)).tolist() == pytest.approx([-0.5, -0.3, 0, 0.5, 0])


def test_batches_hold_every_interaction_once() -> None:
    world = make_world(1.0, 5)
    pieces = histories(world.data, longest=40)
    assert max(len(piece.item) for piece in pieces) <= 40
    together = list(batches(pieces, 300, np.random.default_rng(0)))
    assert sum(int(batch.target.sum()) for batch in together) == len(world.data)
    assert max(batch.item.size for batch in together) <= 300
    counted = np.bincount(np.concatenate([batch.item[batch.target > 0] for batch in together]), minlength=300)
    np.testing.assert_array_equal(counted[: len(world.data.items)], np.bincount(world.data.item))


def test_an_item_that_comes_again_is_predicted_once() -> None:
    item = np.array([4, 7, 4, 9, 7], np.int32)
    batch = pad(
        [History(item, np.arange(5), np.zeros(5, np.float32)), History(item[:2], np.arange(2), np.zeros(2, np.float32))]
    )
    assert batch.target.tolist() == [[1, 1, 0, 1, 0], [1, 1, 0, 0, 0]]
    assert batch.ts_ms[1].tolist() == [0, 1, 1, 1, 1]


def _random(seed: int, *shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def test_the_gradient_by_hand_is_the_automatic_one() -> None:
    arguments = [tf.Variable(_random(0, 7, DIM)), tf.Variable(_random(1, 11, DIM)), tf.Variable(_random(2, 11))]
    upstream = tf.constant(_random(3, 7))
    with tf.GradientTape() as tape:
        by_hand = tf.reduce_sum(tf.math.log(exp_sum(*arguments)) * upstream)
    mine = tape.gradient(by_hand, arguments)
    with tf.GradientTape() as tape:
        logits = tf.matmul(arguments[0], arguments[1], transpose_b=True) + arguments[2]
        automatic = tf.reduce_sum(tf.reduce_logsumexp(logits, axis=1) * upstream)
    assert float(by_hand) == pytest.approx(float(automatic), rel=1e-5)
    for one, other in zip(mine, tape.gradient(automatic, arguments), strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(one), tf.convert_to_tensor(other), atol=1e-5)


@pytest.mark.parametrize("interests", [1, 3])
def test_the_loss_against_plain_loops(interests: int) -> None:
    vectors, items, bias = _random(4, interests, 2, 4, DIM), _random(5, 9, DIM), _random(6, 9)
    log_weights = _random(7, interests, 2, 4)
    log_weights[0] = 0
    item = np.array([[3, 1, 3, 5], [0, 8, 2, 0]], np.int32)
    target = np.array([[1, 1, 0, 1], [1, 1, 1, 0]], np.float32)
    terms = []
    for user, at in np.argwhere(target > 0):
        exps = sum(
            np.exp(log_weights[one, user, at]) * np.exp(items.astype(np.float64) @ vectors[one, user, at] + bias)
            for one in range(interests)
        )
        seen = set(item[user, :at].tolist())
        rest = exps.sum() - SEEN_SHARE * sum(exps[other] for other in seen)
        terms.append(np.log(rest) - np.log(exps[item[user, at]]))
    further = list(zip(vectors[1:], log_weights[1:], strict=True))
    found = loss_of_histories(vectors[0], item, target, items, bias, further)
    assert float(found) == pytest.approx(float(np.mean(terms)), rel=1e-5)
