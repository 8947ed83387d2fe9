"""Collaborative filtering without order, which the model is compared with: one vector a user, one an item.

BPR: Rendle et al., Bayesian Personalized Ranking from Implicit Feedback, 2009. NCF: He et al., Neural Collaborative
Filtering, 2017 (a product of factors beside a small network over both vectors, four sampled negatives).
"""

import time
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from model_store.encoder.runtime import tf
from model_store.state.layout import DIM
from model_store.training.harness import Progress, Recipe, Report
from model_store.training.interactions import Interactions

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

_PAIRS = 4_096
_DEVIATION = 0.1
_PENALTY = 1e-4
_NEGATIVES = 4
_SCORED_PAIRS = 1 << 19


class Factors(Protocol):
    """A network over pairs of a user and an item."""

    @property
    def weights(self) -> list[Any]:
        """Trainable variables."""

    def loss(self, user: Any, item: Any, other: Any) -> Any:
        """Mean over int32 [n] users with an item each that they took, and int32 [n, NEGATIVES] others."""

    def scores(self, users: Int64) -> Float32:
        """float32 [n, m]."""


class Bpr(tf.Module):
    """Matrix factorisation: user . item + bias."""

    def __init__(self, data: Interactions, recipe: Recipe) -> None:
        super().__init__(name="bpr")
        rng = np.random.default_rng(recipe.seed)
        self._users, self._items = _table(rng, len(data.users)), _table(rng, len(data.items))
        self._bias = tf.Variable(np.zeros(len(data.items), np.float32))

    @property
    def weights(self) -> list[Any]:
        return list(self.trainable_variables)

    def loss(self, user: Any, item: Any, other: Any) -> Any:
        whose, better = tf.gather(self._users, user), tf.gather(self._items, item)
        worse = tf.gather(self._items, other[:, 0])
        ahead = tf.reduce_sum(whose * (better - worse), axis=1)
        ahead += tf.gather(self._bias, item) - tf.gather(self._bias, other[:, 0])
        size = tf.reduce_sum(whose**2 + better**2 + worse**2, axis=1)
        return tf.reduce_mean(tf.nn.softplus(-ahead) + _PENALTY * size)

    def scores(self, users: Int64) -> Float32:
        found: Float32 = self._users.numpy()[users] @ self._items.numpy().T + self._bias.numpy()
        return found


class Ncf(tf.Module):
    """A product of factors beside three layers over both vectors."""

    def __init__(self, data: Interactions, recipe: Recipe) -> None:
        super().__init__(name="ncf")
        rng = np.random.default_rng(recipe.seed)
        self._tables = [_table(rng, len(names)) for names in (data.users, data.items, data.users, data.items)]
        self._layers = [
            (tf.Variable(_normal(rng, rows, columns) * (2 / rows) ** 0.5), tf.Variable(np.zeros(columns, np.float32)))
            for rows, columns in ((2 * DIM, DIM), (DIM, DIM // 2), (DIM // 2, DIM // 4))
        ]
        self._out = tf.Variable(_normal(rng, DIM + DIM // 4, 1) * 0.1)
        self._bias = tf.Variable(np.zeros(1, np.float32))
        self._items = len(data.items)

    @property
    def weights(self) -> list[Any]:
        return list(self.trainable_variables)

    def loss(self, user: Any, item: Any, other: Any) -> Any:
        took = self._logits(user, item)
        left = self._logits(tf.repeat(user, _NEGATIVES), tf.reshape(other, [-1]))
        return tf.reduce_mean(tf.nn.softplus(-took)) + _NEGATIVES * tf.reduce_mean(tf.nn.softplus(left))

    def scores(self, users: Int64) -> Float32:
        step = max(1, _SCORED_PAIRS // self._items)
        rows = [self._score(tf.constant(users[start : start + step], tf.int32)) for start in range(0, len(users), step)]
        return np.concatenate(rows) if rows else np.zeros((0, self._items), np.float32)

    def _score(self, users: Any) -> Float32:
        items = tf.tile(tf.range(self._items), [len(users)])
        found: Float32 = self._logits(tf.repeat(users, self._items), items).numpy().reshape(len(users), self._items)
        return found

    def _logits(self, user: Any, item: Any) -> Any:
        factor_user, factor_item, deep_user, deep_item = self._tables
        product = tf.gather(factor_user, user) * tf.gather(factor_item, item)
        deep = tf.concat([tf.gather(deep_user, user), tf.gather(deep_item, item)], axis=1)
        for weights, bias in self._layers:
            deep = tf.nn.relu(deep @ weights + bias)
        return tf.squeeze(tf.concat([product, deep], axis=1) @ self._out, 1) + self._bias


def fit(factors: Factors, data: Interactions, recipe: Recipe, report: Report | None = None) -> None:
    """As many passes over `data` as the recipe has epochs, with Adam at its rate."""
    optimizer = tf.keras.optimizers.Adam(recipe.rate)
    optimizer.build(factors.weights)

    @tf.function(reduce_retracing=True)
    def step(user: Any, item: Any, other: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = factors.loss(user, item, other)
        optimizer.apply(tape.gradient(loss, factors.weights), factors.weights)
        return loss

    started, steps = time.monotonic(), recipe.epochs * -(-len(data) // _PAIRS)
    for number, (user, item, other) in enumerate(_pairs(data, recipe), start=1):
        loss = float(step(user, item, other))
        if report:
            report(Progress(number, steps, loss, time.monotonic() - started))


def _pairs(data: Interactions, recipe: Recipe) -> Iterator[tuple[Int32, Int32, Int32]]:
    """Users, their items, and items that were drawn for each: now and then one that they took, too."""
    rng = np.random.default_rng(recipe.seed)
    for _ in range(recipe.epochs):
        order = rng.permutation(len(data))
        for start in range(0, len(order), _PAIRS):
            rows = order[start : start + _PAIRS]
            other = rng.integers(0, len(data.items), (len(rows), _NEGATIVES)).astype(np.int32)
            yield data.user[rows], data.item[rows], other


def _table(rng: np.random.Generator, rows: int) -> Any:
    return tf.Variable(_normal(rng, rows, DIM) * _DEVIATION)


def _normal(rng: np.random.Generator, *shape: int) -> Float32:
    return rng.normal(size=shape).astype(np.float32)
