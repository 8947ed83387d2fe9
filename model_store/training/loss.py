"""Softmax over all items at every position, without those that the user has already seen.

Taking seen items out of the denominator stops the model from spending itself on pushing down what is never shown
anyway. A rest of 5 % stays for numerical safety.
"""

from typing import Any

from model_store.encoder.runtime import tf

SEEN_SHARE = 0.95
_HIGHEST = 60.0  # logits are not shifted by their maximum; e ** 60 is far from float32's limit


@tf.custom_gradient
def exp_sum(vectors: Any, items: Any, bias: Any) -> Any:
    """float32 [n]: sum over all items of exp(vector . item + bias).

    By hand, since the gradient then needs one [n, m] matrix instead of four.
    """
    exps = tf.exp(tf.minimum(tf.matmul(vectors, items, transpose_b=True) + bias, _HIGHEST))

    def gradient(upstream: Any) -> tuple[Any, Any, Any]:
        scaled = upstream[:, None] * vectors
        return (
            upstream[:, None] * tf.matmul(exps, items),
            tf.matmul(exps, scaled, transpose_a=True),
            tf.linalg.matvec(exps, upstream, transpose_a=True),
        )

    return tf.reduce_sum(exps, axis=1), gradient


def next_item_loss(vectors: Any, seen_sum: Any, target: Any, weight: Any, items: Any, bias: Any) -> Any:
    """Mean cross-entropy. vectors: [n, DIM]; seen_sum: [n], of exps of seen items; target: int32 [n]; weight: [n]."""
    everything = exp_sum(vectors, items, bias)
    own = tf.reduce_sum(vectors * tf.gather(items, target), axis=1) + tf.gather(bias, target)
    rest = tf.maximum(everything - SEEN_SHARE * seen_sum, 1e-9)
    return tf.reduce_sum(weight * (tf.math.log(rest) - own)) / tf.maximum(tf.reduce_sum(weight), 1.0)


def seen_sums(vectors: Any, item: Any, first: Any, items: Any, bias: Any) -> Any:
    """float32 [b, l]: at position t the exps of the distinct items before t.

    vectors: [b, l, DIM]; item: int32 [b, l]; first: float32 [b, l], 1 where the user meets an item first.
    """
    logits = tf.matmul(vectors, tf.gather(items, item), transpose_b=True) + tf.gather(bias, item)[:, None, :]
    length = tf.shape(item)[1]
    before = tf.cast(tf.range(length)[:, None] > tf.range(length)[None, :], tf.float32)
    return tf.reduce_sum(tf.exp(tf.minimum(logits, _HIGHEST)) * before[None] * first[:, None, :], axis=2)
