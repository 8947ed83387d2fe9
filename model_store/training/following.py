"""What followees are worth, learnt from users who follow somebody; everything else of the model stays as it is.

A user is asked for at several lengths of history, from nothing on, so that the readout learns how much a follow says
beside what the user has done. What is to be foretold is one of the next few interactions: a set seldom says when
somebody was followed, so it is taste that is learnt here, not what comes next.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model_store.encoder.runtime import tf
from model_store.model import ModelParts
from model_store.state.features import features, put_social
from model_store.state.hashing import hash_ids
from model_store.training.harness import Progress, Report
from model_store.training.interactions import Interactions
from model_store.training.loss import next_item_loss
from model_store.training.optimizer import adam
from model_store.training.states import follow, social_of, states_of

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowingRecipe:
    """How to train. Defaults come from friends and listens of Last.fm (HetRec 2011), one seed, 12 settings.

    Attributes:
        lengths: of history, at which users are asked.
        ahead: one of so many next interactions is to be foretold.
        steps: in all; there are few weights, so few of many questions do.
        batch: questions at a time.
        rate: learning rate.
        seed: of what is asked, and the order.
    """

    lengths: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32)
    ahead: int = 50
    steps: int = 120
    batch: int = 512
    rate: float = 3e-3
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Questions:
    """n questions: float32 [n, FEATURES] `features`, int64 [n] places in `Interactions` of the first and after the last
    interaction that may be asked for, in the user's order (`order` gives rows)."""

    features: Float32
    first: Int64
    stop: Int64
    order: Int64


def train_following(
    parts: ModelParts, data: Interactions, recipe: FollowingRecipe | None = None, report: Report | None = None
) -> float:
    """Train the readout's `following_weights` on the follows of `data`, which `parts` was trained on. Returns the mean
    loss of the second half of the steps; NaN, and nothing is changed, where nobody follows anybody with a history."""
    recipe = recipe or FollowingRecipe()
    asked = questions(parts, data, recipe)
    return _Trainer(parts, data, recipe).run(asked, report) if len(asked.first) else float("nan")


def questions(parts: ModelParts, data: Interactions, recipe: FollowingRecipe) -> Questions:
    """All users with known followees, at all lengths that leave something to be asked for."""
    arena = states_of(data, parts.writes, parts.decays)
    follow(arena, data, parts.writes, parts.decays)
    found = social_of(arena, data, lambda rows: parts.network.vector(tf.constant(rows)).numpy())
    order = np.argsort(data.user, kind="stable")
    bounds = np.searchsorted(data.user[order], np.arange(len(data.users) + 1))
    from_first = data.from_first()
    rows, first, stop = [], [], []
    for length in recipe.lengths:
        users = np.flatnonzero((found[:, -1] > 0) & (np.diff(bounds) > length))
        before = states_of(data.take(from_first < length), parts.writes, parts.decays)
        rows.append(features(before.records, users, found[users]))
        first.append(bounds[users] + length)
        stop.append(np.minimum(bounds[users] + length + recipe.ahead, bounds[users + 1]))
    return Questions(np.concatenate(rows), np.concatenate(first), np.concatenate(stop), order)


class _Trainer:
    def __init__(self, parts: ModelParts, data: Interactions, recipe: FollowingRecipe) -> None:
        self._recipe, self._network = recipe, parts.network
        self._wanted = parts.index.rows_of(hash_ids(list(data.items)).hash)[data.item].astype(np.int32)
        self._items, self._bias = tf.constant(parts.index.vectors), tf.constant(parts.index.bias)
        self._weights = self._network.following_weights
        self._optimizer = adam(self._weights, recipe.rate)
        self._step = tf.function(self._train_step, reduce_retracing=True)

    def run(self, asked: Questions, report: Report | None) -> float:
        rng, recipe = np.random.default_rng(self._recipe.seed), self._recipe
        own, began_s = self._own(asked.features), time.monotonic()
        losses: list[float] = []
        for step in range(1, recipe.steps + 1):
            part = rng.choice(len(own), min(len(own), recipe.batch), replace=False)
            places = asked.order[rng.integers(asked.first[part], asked.stop[part])]
            losses.append(float(self._step(own[part], asked.features[part], self._wanted[places])))
            if report:
                report(Progress(step, recipe.steps, losses[-1], time.monotonic() - began_s))
        return float(np.mean(losses[-recipe.steps // 2 :]))

    def _own(self, rows: Float32) -> Float32:
        """float32 [n, DIM]: the vectors of who follows nobody."""
        alone = rows.copy()
        put_social(alone, None)
        vectors: Float32 = self._network.vector(tf.constant(alone)).numpy()
        return vectors

    def _train_step(self, own: Any, rows: Any, wanted: Any) -> Any:
        with tf.GradientTape() as tape:
            facet = self._network.social(rows)
            loss = self._loss(self._network.joined(own, rows), wanted)
            total = loss + self._loss(facet, wanted)
        self._optimizer.apply(tape.gradient(total, self._weights), self._weights)
        return loss

    def _loss(self, vectors: Any, wanted: Any) -> Any:
        weight = tf.ones_like(vectors[:, 0])
        return next_item_loss(vectors, tf.zeros_like(weight), wanted, weight, self._items, self._bias)
