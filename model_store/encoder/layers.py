"""What networks are made of: variables as they begin, and the steps between them."""

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from model_store.encoder.runtime import tf

Drop = Callable[[Any], Any]
"""Gives activations back with some of them dropped, and the others larger by as much."""

_EPSILON = 1e-6  # of mean squares; a lane's mean square is 1e-4 and more as soon as it holds an item


def normalised(values: Any) -> Any:
    """Brought to a mean square of 1 along the last axis."""
    return values * tf.math.rsqrt(tf.reduce_mean(values * values, axis=-1, keepdims=True) + _EPSILON)


def gated(values: Any) -> Any:
    """float32 [n, d] of float32 [n, 2 d]."""
    gate, value = tf.split(values, 2, axis=1)
    return gate * tf.sigmoid(gate) * value


def dropping(share: float, seed: Any) -> Drop:
    """Drops that share. `seed`, int64 [2], decides which: a step that is made again drops the same ones."""
    if not share:
        return nothing_dropped
    calls = count()
    return lambda values: tf.nn.experimental.stateless_dropout(values, share, tf.random.fold_in(seed, next(calls)))


def nothing_dropped(values: Any) -> Any:
    """As they are: for serving."""
    return values


def weights(rng: np.random.Generator, rows: int, columns: int) -> Any:
    """A variable of deviation rows ** -0.5, which keeps the size of what it is multiplied with."""
    return tf.Variable(rng.normal(0, rows**-0.5, (rows, columns)).astype(np.float32))


def ones(size: int) -> Any:
    return tf.Variable(np.ones(size, np.float32))


def zeros(*shape: int) -> Any:
    return tf.Variable(np.zeros(shape, np.float32))
