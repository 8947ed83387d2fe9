"""Softmax over all items at every position, without those that the user has already seen.

Taking seen items out of the denominator stops the model from spending itself on pushing down what is never shown
anyway. A rest of 5 % stays for numerical safety.
"""

from collections.abc import Sequence
from typing import Any

from model_store.encoder.runtime import tf

SEEN_SHARE = 0.95
Further = Sequence[tuple[Any, Any]]
LARGEST_WHOLE, CHUNK = 32_768, 4_096
"""Items that are looked at together at each position; of a larger catalogue, so many at a time."""
_HIGHEST = 60.0  # logits are not shifted by their maximum; e ** 60 is far from float32's limit


def exp_sum(vectors: Any, items: Any, bias: Any) -> Any:
    """float32 [n]: sum over all items of exp(vector . item + bias). `items`: [m, DIM], where m is known to the graph.

    Exact for catalogues of any size: a large one is gone through in chunks, once more for the gradient.
    """
    whole = items.shape[0] <= LARGEST_WHOLE
    return _whole_exp_sum(vectors, items, bias) if whole else _chunked_exp_sum(vectors, items, bias)


@tf.custom_gradient
def _whole_exp_sum(vectors: Any, items: Any, bias: Any) -> Any:
    """By hand, since the gradient then needs one [n, m] matrix instead of four."""
    exps = _exps(vectors, items, bias)

    def gradient(upstream: Any) -> tuple[Any, Any, Any]:
        return _gradients(upstream, exps, vectors, items)

    return tf.reduce_sum(exps, axis=1), gradient


@tf.custom_gradient
def _chunked_exp_sum(vectors: Any, items: Any, bias: Any) -> Any:
    """Holds one [n, CHUNK] matrix, and computes it twice."""
    count = items.shape[0]

    def exps_from(start: Any) -> tuple[Any, Any]:
        some = items[start : start + CHUNK]
        return some, _exps(vectors, some, bias[start : start + CHUNK])

    def add(start: Any, total: Any) -> tuple[Any, Any]:
        return start + CHUNK, total + tf.reduce_sum(exps_from(start)[1], axis=1)

    def gradient(upstream: Any) -> tuple[Any, Any, Any]:
        def add_gradients(start: Any, of_vectors: Any, of_items: Any, of_bias: Any) -> tuple[Any, ...]:
            some, exps = exps_from(start)
            more, of_some, of_their_bias = _gradients(upstream, exps, vectors, some)
            place = start // CHUNK
            return start + CHUNK, of_vectors + more, of_items.write(place, of_some), of_bias.write(place, of_their_bias)

        parts = [tf.TensorArray(tf.float32, -(-count // CHUNK), infer_shape=False) for _ in range(2)]
        _, of_vectors, of_items, of_bias = _over_chunks(count, add_gradients, [tf.zeros_like(vectors), *parts])
        return of_vectors, tf.ensure_shape(of_items.concat(), items.shape), of_bias.concat()

    return _over_chunks(count, add, [tf.zeros_like(vectors[:, 0])])[1], gradient


def _over_chunks(count: int, body: Any, begin: list[Any]) -> Any:
    # One after the other: chunks at the same time would need the memory of all of them.
    return tf.while_loop(lambda start, *_: start < count, body, [tf.constant(0), *begin], parallel_iterations=1)


def _exps(vectors: Any, items: Any, bias: Any) -> Any:
    return tf.exp(tf.minimum(tf.matmul(vectors, items, transpose_b=True) + bias, _HIGHEST))


def _gradients(upstream: Any, exps: Any, vectors: Any, items: Any) -> tuple[Any, Any, Any]:
    """Of the sums of `exps` over items, to vectors, items and bias."""
    return (
        upstream[:, None] * tf.matmul(exps, items),
        tf.matmul(exps, upstream[:, None] * vectors, transpose_a=True),
        tf.linalg.matvec(exps, upstream, transpose_a=True),
    )


def next_item_loss(
    vectors: Any, seen_sum: Any, target: Any, weight: Any, items: Any, bias: Any, further: Further = ()
) -> Any:
    """Mean cross-entropy. vectors: [n, DIM]; seen_sum: [n], of exps of seen items, over all interests; target: int32
    [n]; weight: [n]; further: the other interests' vectors and log weights [n]."""
    wanted = tf.gather(items, target)
    everything, dots = exp_sum(vectors, items, bias), [tf.reduce_sum(vectors * wanted, axis=1)]
    for more, log_weight in further:
        everything += tf.exp(log_weight) * exp_sum(more, items, bias)
        dots.append(log_weight + tf.reduce_sum(more * wanted, axis=1))
    own = (tf.reduce_logsumexp(tf.stack(dots), axis=0) if further else dots[0]) + tf.gather(bias, target)
    rest = tf.maximum(everything - SEEN_SHARE * seen_sum, 1e-9)
    return tf.reduce_sum(weight * (tf.math.log(rest) - own)) / tf.maximum(tf.reduce_sum(weight), 1.0)


def loss_of_histories(vectors: Any, item: Any, target: Any, items: Any, bias: Any, further: Further = ()) -> Any:
    """Mean cross-entropy over the positions of histories.

    vectors: [b, l, DIM], from what came before each position; item: int32 [b, l], what came; target: float32 [b, l], 1
    where it counts and where the user met it first; further: the other interests' vectors and log weights [b, l].
    """
    seen = seen_sums(vectors, item, target, items, bias)
    for more, log_weight in further:
        seen += tf.exp(log_weight) * seen_sums(more, item, target, items, bias)
    flat = [(_flat(more), tf.reshape(log_weight, [-1])) for more, log_weight in further]
    seen, wanted, weight = (tf.reshape(column, [-1]) for column in (seen, item, target))
    return next_item_loss(_flat(vectors), seen, wanted, weight, items, bias, flat)


def _flat(vectors: Any) -> Any:
    return tf.reshape(vectors, [-1, vectors.shape[-1]])


def seen_sums(vectors: Any, item: Any, first: Any, items: Any, bias: Any) -> Any:
    """float32 [b, l]: at position t the exps of the distinct items before t.

    vectors: [b, l, DIM]; item: int32 [b, l]; first: float32 [b, l], 1 where the user meets an item first.
    """
    logits = tf.matmul(vectors, tf.gather(items, item), transpose_b=True) + tf.gather(bias, item)[:, None, :]
    length = tf.shape(item)[1]
    before = tf.cast(tf.range(length)[:, None] > tf.range(length)[None, :], tf.float32)
    return tf.reduce_sum(tf.exp(tf.minimum(logits, _HIGHEST)) * before[None] * first[:, None, :], axis=2)
