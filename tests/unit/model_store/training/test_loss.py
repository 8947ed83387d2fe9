"""The softmax over all items, in one piece and in chunks, against plain sums."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from model_store.encoder.runtime import tf
from model_store.training import loss

Float32 = npt.NDArray[np.float32]
ITEMS, POSITIONS, WIDTH = 103, 17, 8


@pytest.fixture
def inputs() -> tuple[Float32, Float32, Float32]:
    rng = np.random.default_rng(0)
    shapes = (POSITIONS, WIDTH), (ITEMS, WIDTH), (ITEMS,)
    vectors, items, bias = (rng.normal(0, 0.7, shape).astype(np.float32) for shape in shapes)
    return vectors, items, bias


def value_and_gradients(function: Callable[..., Any], inputs: tuple[Float32, ...]) -> list[Float32]:
    variables = [tf.Variable(one) for one in inputs]

    @tf.function
    def compute() -> Any:
        with tf.GradientTape() as tape:
            sums = function(*variables)
            total = tf.reduce_sum(tf.math.log(sums) * tf.range(1.0, POSITIONS + 1))
        return sums, *tape.gradient(total, variables)

    return [tensor.numpy() for tensor in compute()]


def plain(vectors: Any, items: Any, bias: Any) -> Any:
    return tf.reduce_sum(tf.exp(tf.matmul(vectors, items, transpose_b=True) + bias), axis=1)


@pytest.mark.parametrize("chunk", [1, 10, 102, 103, 1000])
def test_chunks_give_sums_and_gradients_of_the_whole(
    chunk: int, inputs: tuple[Float32, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = value_and_gradients(plain, inputs)
    whole = value_and_gradients(loss.exp_sum, inputs)
    monkeypatch.setattr(loss, "LARGEST_WHOLE", 0)
    monkeypatch.setattr(loss, "CHUNK", chunk)
    chunked = value_and_gradients(loss.exp_sum, inputs)
    for name, plainly, one, other in zip(("sums", "vectors", "items", "bias"), expected, whole, chunked, strict=True):
        np.testing.assert_allclose(one, plainly, rtol=1e-5, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(other, plainly, rtol=1e-5, atol=1e-5, err_msg=name)
