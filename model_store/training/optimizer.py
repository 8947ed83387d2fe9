"""How weights follow their gradients: Adam, and Adam with one step size for all rows of a table.

Adam divides the step of each number by the root mean square of that number's own gradients. So it moves an item that
nobody clicks, whose gradient is next to nothing, as far as one that everybody clicks. With the mean square of the whole
table in its place rows move as far as they have reason to, and most of them hardly at all.
"""

from collections.abc import Sequence
from typing import Any

from model_store.encoder.runtime import tf

_BETA_2 = 0.98
_CLIP = 1.0


def adam(weights: Sequence[Any], rate: Any) -> Any:
    """Adam, ready for these weights. `rate`: constant, or a schedule."""
    return _ready(tf.keras.optimizers.Adam(rate, beta_2=_BETA_2, global_clipnorm=_CLIP), weights)


def table_adam(tables: Sequence[Any], weights: Sequence[Any], rate: float, table_rate: float) -> Any:
    """Adam, ready for `tables` and, after them, `weights`.

    A table's rows are items; its one mean square is that of all its gradients if they were on one row. So `table_rate`
    is about as far as a row moves that alone has a gradient, and does not depend on how many others there are.
    """
    optimizer = _TableAdam(
        tables, table_rate, learning_rate=rate, beta_2=_BETA_2, global_clipnorm=_CLIP, name="table_adam"
    )
    return _ready(optimizer, [*tables, *weights])


def _ready(optimizer: Any, weights: Sequence[Any]) -> Any:
    optimizer.build(list(weights))
    return optimizer


class _TableAdam(tf.keras.optimizers.Adam):
    def __init__(self, tables: Sequence[Any], table_rate: float, **usual: Any) -> None:
        super().__init__(**usual)
        self.table_rate, self.tables = table_rate, {id(table) for table in tables}

    def add_variable_from_reference(
        self, reference_variable: Any, name: str | None = None, initializer: str = "zeros"
    ) -> Any:
        if name == "velocity" and id(reference_variable) in self.tables:
            return self.add_variable((), initializer, reference_variable.dtype, name=name)
        return super().add_variable_from_reference(reference_variable, name, initializer)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if id(variable) not in self.tables:
            super().update_step(gradient, variable, learning_rate)
            return
        place = self._get_variable_index(variable)
        mean, mean_square = self._momentums[place], self._velocities[place]
        step = tf.cast(self.iterations + 1, variable.dtype)
        unbiased = tf.sqrt(1.0 - self.beta_2**step) / (1.0 - self.beta_1**step)
        on_one_row = tf.reduce_sum(tf.reduce_mean(tf.reshape(tf.square(gradient), [variable.shape[0], -1]), axis=1))
        mean.assign_add((gradient - mean) * (1.0 - self.beta_1))
        mean_square.assign_add((on_one_row - mean_square) * (1.0 - self.beta_2))
        variable.assign_sub(self.table_rate * unbiased * mean / (tf.sqrt(mean_square) + self.epsilon))
