"""One way of training for the model and for the networks that it is compared with.

A *history encoder* turns histories into a vector at each position, from what came before it. Here are the item table,
which is one for reading and writing (tied), the loss over all items, the optimizer, the order of the batches, and the
progress. So two encoders that are given the same recipe differ in nothing else.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from model_store.encoder.runtime import tf
from model_store.state.layout import DIM
from model_store.state.memory import Decays
from model_store.training.checkpoints import Arrays, Checkpoints
from model_store.training.interactions import Interactions
from model_store.training.loss import Further, loss_of_histories
from model_store.training.optimizer import adam
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
        interests: how many of a user's are told apart.
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
    interests: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """What a training run reports after each batch. Seconds; `began`: steps that were made before this run."""

    step: int
    steps: int
    loss: float
    elapsed: float
    began: int = 0

    @property
    def left(self) -> float:
        """Seconds left, by the mean so far."""
        return self.elapsed / (self.step - self.began) * (self.steps - self.step)


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Encoded:
    """What an encoder makes of a batch.

    Attributes:
        vectors: float32 [b, l, DIM], at each position from the interactions before it.
        extra_loss: what the encoder wants to be trained for besides the next item; a scalar.
        further: likewise the other interests' vectors, and the logarithms of how much they count (float32 [b, l]).
    """

    vectors: Any
    extra_loss: Any = 0.0
    further: Further = ()


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

    def encode(self, batch: Tensors, tables: Tables, seed: Any) -> Encoded:
        """Vectors of all positions, in training. `seed`, int64 [2]: of all that is drawn in this step."""


class Losses:
    """What a run's batches gave so far, by epoch: float64 [epochs] sums over int64 [epochs] batches."""

    def __init__(self, epochs: int) -> None:
        self.sums, self.batches = np.zeros(epochs), np.zeros(epochs, np.int64)

    def add(self, epoch: int, loss: float) -> None:
        """Of the next batch of `epoch`."""
        self.sums[epoch] += loss
        self.batches[epoch] += 1

    @property
    def step(self) -> int:
        """Batches so far."""
        return int(self.batches.sum())

    @property
    def epoch(self) -> int:
        """The last one that was begun."""
        return max(0, int(np.count_nonzero(self.batches)) - 1)

    def by_epoch(self) -> list[float]:
        """Means of the epochs that were begun."""
        begun = self.batches > 0
        means: list[float] = (self.sums[begun] / self.batches[begun]).tolist()
        return means


class Harness:
    """Weights, optimizer and the compiled step. `data` is all that may be learnt from."""

    def __init__(self, data: Interactions, recipe: Recipe, encoder: HistoryEncoder) -> None:
        self._recipe, self._encoder = recipe, encoder
        self._histories = histories(data, recipe.longest)
        self._steps = recipe.epochs * sum(1 for _ in self._epoch(0))
        self.losses = Losses(recipe.epochs)
        rng = np.random.default_rng(recipe.seed)
        table = rng.normal(0, _TABLE_DEVIATION, (len(data.items), DIM)).astype(np.float32)
        self.tables = Tables(tf.Variable(table), tf.Variable(_log_popularity(data)))
        self._weights = [self.tables.items, self.tables.bias, *trainable(encoder.weights)]
        rate = _Schedule(recipe.rate, max(1, round(recipe.warm_up * self._steps)), self._steps)
        self._optimizer = adam(self._weights, rate)
        self._step = tf.function(self._train_step, input_signature=_batch_signature(), reduce_retracing=True)

    def run(self, report: Report | None = None, checkpoints: Checkpoints | None = None) -> None:
        """All epochs, or what a checkpoint has left of them. With checkpoints a signal raises `Stopped`."""
        if checkpoints:
            self._go_on(checkpoints)
        with checkpoints.stopping() if checkpoints else nullcontext():
            self._run(report, checkpoints)
        if checkpoints:
            # Until it is published, too.
            checkpoints.keep(self._state())

    def _run(self, report: Report | None, checkpoints: Checkpoints | None) -> None:
        started_s, began = time.monotonic(), self.losses.step
        for epoch in range(self.losses.epoch, self._recipe.epochs):
            for batch in islice(self._epoch(epoch), int(self.losses.batches[epoch]), None):
                loss = float(self._step(batch.item, batch.ts_ms, batch.gain, batch.target))
                self.losses.add(epoch, loss)
                step, now_s = self.losses.step, time.monotonic()
                steps = max(step, self._steps)
                if report:
                    report(Progress(step, steps, loss, now_s - started_s, began))
                if checkpoints:
                    checkpoints.after(step, steps, self._state, now_s)

    def _go_on(self, checkpoints: Checkpoints) -> None:
        kept = checkpoints.latest(self._state())
        if kept:
            self._restore(kept)
            checkpoints.going_on(self.losses.step, self._steps)

    def _state(self) -> Arrays:
        variables = {f"variable-{place}": one.numpy() for place, one in enumerate(self._variables())}
        return {"loss_sums": self.losses.sums, "batches": self.losses.batches, **variables}

    def _restore(self, state: Arrays) -> None:
        self.losses.sums, self.losses.batches = state["loss_sums"], state["batches"]
        for place, variable in enumerate(self._variables()):
            variable.assign(state[f"variable-{place}"])

    def _variables(self) -> list[Any]:
        return [*self._weights, *self._optimizer.variables]

    def _epoch(self, number: int) -> Iterator[Batch]:
        return batches(self._histories, self._recipe.tokens, np.random.default_rng([self._recipe.seed, number]))

    def _train_step(self, item: Any, ts_ms: Any, gain: Any, target: Any) -> Any:
        with tf.GradientTape() as tape:
            seed = step_seed(self._recipe.seed, self._optimizer)
            encoded = self._encoder.encode(Tensors(item, ts_ms, gain, target), self.tables, seed)
            items, bias = self.tables.items, self.tables.bias
            loss = loss_of_histories(encoded.vectors, item, target, items, bias, encoded.further)
            total = loss + encoded.extra_loss
        self._optimizer.apply(tape.gradient(total, self._weights), self._weights)
        return loss


def trainable(weights: Sequence[Any]) -> list[Any]:
    """Those that the optimizer takes: a set without topics leaves their weights empty."""
    return [weight for weight in weights if weight.shape.num_elements()]


def step_seed(seed: int, optimizer: Any) -> Any:
    """int64 [2] for all that is drawn in the optimizer's next step: the same again if the step is made again."""
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(optimizer.iterations, tf.int64)])


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
