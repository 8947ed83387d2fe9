"""One way of training for the model and for the networks that it is compared with.

A *history encoder* turns histories into a vector at each position, from what came before it. Here are the item table,
which is one for reading and writing (tied), the loss over all items, the optimizer, the order of the batches, and the
progress. So two encoders that are given the same recipe differ in nothing else.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from model_store.encoder.runtime import tf
from model_store.state.layout import DIM
from model_store.state.memory import Decays
from model_store.training.interactions import Interactions
from model_store.training.loss import next_item_loss, seen_sums
from model_store.training.sequences import Batch, batches, histories

# What a vector needs to be told from zero and to have room to grow.
_TABLE_DEVIATION = 0.1


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. Defaults come from the validation items (second last) of MovieLens 100K, one seed, 14 settings.

    Validation NDCG@10: batches of 3,200 .127, of 1,600 .140; 1,000 with dropout .2: 6 epochs .131, 16 epochs .144.
    12 epochs, the default, is a compromise with training time and was not itself validated. Other half-lives made no
    difference that one seed could show.

    Attributes:
        epochs: passes over the data.
        tokens: interactions in a batch, about.
        longest: histories are cut into pieces of this many interactions.
        rate: highest learning rate; reached after `warm_up` of all steps, then falling to 0 in a line.
        dropout: share of activations dropped.
        facet_share: share of positions that train facets and topics, which need less.
        decays: half-lives, constants of the generation.
        seed: of weights, order and dropout.
    """

    epochs: int = 12
    tokens: int = 1000
    longest: int = 400
    rate: float = 3e-3
    warm_up: float = 0.1
    dropout: float = 0.2
    facet_share: float = 0.25
    decays: Decays = field(default_factory=Decays)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """What a training run reports after each batch. Seconds."""

    step: int
    steps: int
    loss: float
    elapsed: float

    @property
    def left(self) -> float:
        """Seconds left, by the mean so far."""
        return self.elapsed / self.step * (self.steps - self.step)


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Encoded:
    """What an encoder makes of a batch.

    Attributes:
        vectors: float32 [b, l, DIM], at each position from the interactions before it.
        extra_loss: what the encoder wants to be trained for besides the next item; a scalar.
    """

    vectors: Any
    extra_loss: Any = 0.0


@dataclass(frozen=True, slots=True)
class Tables:
    """The item table (float32 [m, DIM]) and the items' biases (float32 [m]), variables."""

    items: Any
    bias: Any


class Tensors(NamedTuple):
    """A `sequences.Batch` as tensors."""

    item: Any
    ts_ms: Any
    gain: Any
    target: Any


class HistoryEncoder(Protocol):
    """A network over histories."""

    @property
    def weights(self) -> list[Any]:
        """Its trainable variables, without the tables."""

    def encode(self, batch: Tensors, tables: Tables) -> Encoded:
        """Vectors of all positions, in training."""


class Harness:
    """Weights, optimizer and the compiled step. `data` is all that may be learnt from."""

    def __init__(self, data: Interactions, recipe: Recipe, encoder: HistoryEncoder) -> None:
        self._recipe, self._encoder = recipe, encoder
        self._histories = histories(data, recipe.longest)
        self._steps = recipe.epochs * sum(1 for _ in self._epoch(0))
        rng = np.random.default_rng(recipe.seed)
        table = rng.normal(0, _TABLE_DEVIATION, (len(data.items), DIM)).astype(np.float32)
        self.tables = Tables(tf.Variable(table), tf.Variable(_log_popularity(data)))
        # A set without topics leaves their weights empty, which the optimizer does not take.
        trainable = [weight for weight in encoder.weights if weight.shape.num_elements()]
        self._weights = [self.tables.items, self.tables.bias, *trainable]
        self._optimizer = tf.keras.optimizers.Adam(
            _Schedule(recipe.rate, max(1, round(recipe.warm_up * self._steps)), self._steps),
            beta_2=0.98,
            global_clipnorm=1.0,
        )
        self._optimizer.build(self._weights)
        self._step = tf.function(self._train_step, input_signature=_batch_signature(), reduce_retracing=True)

    def run(self, report: Report | None = None) -> None:
        """All epochs."""
        started, step = time.monotonic(), 0
        for epoch in range(self._recipe.epochs):
            for batch in self._epoch(epoch):
                loss = float(self._step(batch.item, batch.ts_ms, batch.gain, batch.target))
                step += 1
                if report:
                    report(Progress(step, max(step, self._steps), loss, time.monotonic() - started))

    def _epoch(self, number: int) -> Iterator[Batch]:
        return batches(self._histories, self._recipe.tokens, np.random.default_rng([self._recipe.seed, number]))

    def _train_step(self, item: Any, ts_ms: Any, gain: Any, target: Any) -> Any:
        with tf.GradientTape() as tape:
            encoded = self._encoder.encode(Tensors(item, ts_ms, gain, target), self.tables)
            loss = self._next_item_loss(encoded.vectors, item, target)
            total = loss + encoded.extra_loss
        self._optimizer.apply(tape.gradient(total, self._weights), self._weights)
        return loss

    def _next_item_loss(self, vectors: Any, item: Any, target: Any) -> Any:
        items, bias = self.tables.items, self.tables.bias
        seen = tf.reshape(seen_sums(vectors, item, target, items, bias), [-1])
        flat, wanted, weight = tf.reshape(vectors, [-1, DIM]), tf.reshape(item, [-1]), tf.reshape(target, [-1])
        return next_item_loss(flat, seen, wanted, weight, items, bias)


class _Schedule(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Up in a line, then down in a line to 0."""

    def __init__(self, highest: float, warm_up: int, steps: int) -> None:
        self._highest, self._warm_up, self._steps = highest, warm_up, steps

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32) + 1.0
        left = (self._steps + 1 - step) / max(1, self._steps - self._warm_up)
        return self._highest * tf.maximum(0.0, tf.minimum(step / self._warm_up, left))


def _log_popularity(data: Interactions) -> npt.NDArray[np.float32]:
    """Start the bias where it belongs: the log of each item's share, with one interaction given to all."""
    counts = np.bincount(data.item, minlength=len(data.items)).astype(np.float32) + 1
    return np.log(counts / counts.mean())


def _batch_signature() -> list[Any]:
    return [tf.TensorSpec([None, None], kind) for kind in (tf.int32, tf.int64, tf.float32, tf.float32)]
