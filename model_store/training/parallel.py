"""The state of every position of a history at once, for training.

`state.advance` adds one event at a time; here the same sums are matrix products: the mean of a lane at position t is

    sum_s decay(t, s) * a_s * w_s / max(sum_s decay(t, s) * |a|_s, MIN_WEIGHT)

over the interactions s before t, each a click and, where there is one, a rating of the same item at the click's time
(the rating counts at its whole second, as in the state). A test holds the two forms together within 1e-4. They differ
for a user who rates an item twice: the state then replaces the first rating.
"""

from typing import Any

import numpy as np

from model_store.encoder.runtime import tf
from model_store.state.context import CONTEXT_WIDTH
from model_store.state.features import MIN_WEIGHT
from model_store.state.layout import DIM, RANK_LANES, TIME_LANES
from model_store.state.memory import Decays

_SECOND_MS = 1000


def features_before(item: Any, ts_ms: Any, gain: Any, writes: Any, content: Any, decays: Decays) -> Any:
    """float32 [b, l, FEATURES]: at position t the features after the interactions before t (none for t = 0), of users
    who follow nobody. The context's columns are zeros: nothing is learnt of it from histories.

    item: int32 [b, l]; ts_ms: int64 [b, l]; gain: float32 [b, l], 0 for no rating; writes: float32 [m, DIM], may be
    trained; content: float32 [m, FACET_DIM].
    """
    vectors, facets = tf.gather(writes, item), tf.gather(content, item)
    known = tf.cast(tf.reduce_any(facets != 0, axis=-1), tf.float32)
    age = _ages(ts_ms)
    means, weights = _rank_lanes(vectors, decays)
    for lane in range(TIME_LANES):
        gains, sizes = _gains(gain, ts_ms, decays.time_rates[lane])
        mean, weight = _mean(_decay(age, decays.time_rates[lane]), gains, sizes, vectors)
        means.append(mean)
        weights.append(weight)
    gains, sizes = _gains(gain, ts_ms, decays.time_rates[TIME_LANES])
    mean, weight = _mean(_decay(age, decays.time_rates[TIME_LANES]), gains, sizes * known, facets)
    nothing = tf.zeros([*tf.unstack(tf.shape(mean))[:-1], DIM])
    log_weights = [tf.math.log1p(w) for w in [*weights, weight, nothing[..., :1]]]
    return tf.concat([*means, mean, nothing, *log_weights, nothing[..., :CONTEXT_WIDTH]], -1)


def _rank_lanes(vectors: Any, decays: Decays) -> tuple[list[Any], list[Any]]:
    length = tf.shape(vectors)[1]
    steps = tf.range(length, dtype=tf.float32)
    age = steps[:, None] - 1.0 - steps[None, :]
    means, weights = [], []
    for lane in range(RANK_LANES):
        decay = _decay(age, 1.0 / decays.rank_half_lives_events[lane])
        weight = tf.reduce_sum(decay, axis=1)[None, :, None]
        means.append(tf.einsum("ts,bsd->btd", decay, vectors) / tf.maximum(weight, MIN_WEIGHT))
        weights.append(tf.broadcast_to(weight, [tf.shape(vectors)[0], length, 1]))
    return means, weights


def _ages(ts_ms: Any) -> Any:
    """float32 [b, l, l]: ms from s to the last interaction before t; -1 where s is not before t."""
    newest = tf.concat([ts_ms[:, :1], ts_ms[:, :-1]], axis=1)
    age = tf.cast(newest[:, :, None] - ts_ms[:, None, :], tf.float32)
    length = tf.shape(ts_ms)[1]
    before = tf.range(length)[:, None] > tf.range(length)[None, :]
    return tf.where(before[None], age, -1.0)


def _decay(age: Any, rate: float) -> Any:
    """2 ** (-age * rate), 0 for a negative age."""
    return tf.where(age >= 0, tf.exp(age * np.float32(-np.log(2.0) * rate)), 0.0)


def _gains(gain: Any, ts_ms: Any, rate: float) -> tuple[Any, Any]:
    """float32 [b, l] each: what an interaction adds to a sum and to its weight, seen from its own time."""
    into_second = tf.cast(ts_ms % _SECOND_MS, tf.float32)
    rated = tf.exp(into_second * np.float32(-np.log(2.0) * rate))
    return 1.0 + gain * rated, 1.0 + tf.abs(gain) * rated


def _mean(decay: Any, gains: Any, sizes: Any, vectors: Any) -> tuple[Any, Any]:
    weight = tf.matmul(decay, sizes[:, :, None])
    return tf.matmul(decay, gains[:, :, None] * vectors) / tf.maximum(weight, MIN_WEIGHT), weight
