"""Adam with one step size for all rows of a table, against numpy and against Adam itself."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from model_store.encoder.runtime import tf
from model_store.training.optimizer import adam, table_adam

Float64 = npt.NDArray[np.float64]

RATE, TABLE_RATE = 1e-3, 2e-2
BETA_1, BETA_2 = 0.9, 0.98


def _moved(gradients: list[Float64]) -> Float64:
    """Where a table of zeros is after these gradients, by the formula."""
    table, mean, square = np.zeros_like(gradients[0]), np.zeros_like(gradients[0]), 0.0
    for step, gradient in enumerate(gradients, 1):
        mean = BETA_1 * mean + (1 - BETA_1) * gradient
        square = BETA_2 * square + (1 - BETA_2) * float(np.sum(gradient**2) / gradient.shape[1])
        table = table - TABLE_RATE * (mean / (1 - BETA_1**step)) / np.sqrt(square / (1 - BETA_2**step))
    return table


def _applied(gradients: list[Float64]) -> npt.NDArray[np.float32]:
    table = tf.Variable(np.zeros(gradients[0].shape, np.float32))
    optimizer = table_adam([table], [], RATE, TABLE_RATE)
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient, tf.float32)], [table])
    moved: npt.NDArray[np.float32] = table.numpy()
    return moved


def test_it_is_the_formula() -> None:
    rng = np.random.default_rng(1)
    gradients = [rng.normal(0, 0.01, (5, 4)) for _ in range(4)]
    np.testing.assert_allclose(_applied(gradients), _moved(gradients), rtol=1e-3)


@pytest.mark.parametrize("items", [1, 1000])
def test_a_row_that_alone_has_a_gradient_moves_by_the_rate_and_the_others_stay(items: int) -> None:
    gradient = np.zeros((items, 4))
    gradient[0] = 1e-3
    moved = _applied([gradient])
    np.testing.assert_allclose(moved[0], -TABLE_RATE, rtol=1e-3)
    assert not moved[1:].any()


def test_what_is_no_table_moves_as_with_adam() -> None:
    def weight_after(optimizer_of: Any) -> npt.NDArray[np.float32]:
        table, weight = tf.Variable(np.ones((3, 2), np.float32)), tf.Variable(np.ones(4, np.float32))
        optimizer = optimizer_of(table, weight)
        for gradient in ([1e-3, 2e-3, 0, -1e-3], [1e-3, 0, 5e-4, 0]):
            optimizer.apply([tf.fill([3, 2], 1e-3), tf.constant(gradient, tf.float32)], [table, weight])
        moved: npt.NDArray[np.float32] = weight.numpy()
        return moved

    tables = weight_after(lambda table, weight: table_adam([table], [weight], RATE, TABLE_RATE))
    np.testing.assert_array_equal(tables, weight_after(lambda table, weight: adam([table, weight], RATE)))
