"""Offline training of a model generation: its write table, readout and output table, from interactions.

The write table and the output table are one during training (tied), which is what lets 100,000 interactions suffice.
Afterwards the write table is frozen: it is what states sum.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from model_store.catalog.index import ItemIndex
from model_store.encoder.network import ReadoutNetwork
from model_store.encoder.runtime import tf
from model_store.model import ModelParts
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable
from model_store.training.interactions import Interactions
from model_store.training.loss import next_item_loss, seen_sums
from model_store.training.parallel import content_vectors, features_before
from model_store.training.rivals import transitions_of
from model_store.training.sequences import Batch, batches, histories

# What a vector needs to be told from zero and to have room to grow.
_TABLE_DEVIATION = 0.1
# Social is not trained (see `encoder.network`), so it is never given as a reason.
_REASONS = ("behaviour", "content")


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


QUICK = Recipe(epochs=6, tokens=1000, rate=4e-3, dropout=0.2)
"""For tests and first looks: half the time, and most of the quality."""


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


def train(
    data: Interactions,
    recipe: Recipe,
    generation: int = 1,
    report: Callable[[Progress], None] | None = None,
) -> ModelParts:
    """Train on all of `data`; leave out beforehand what is to be predicted.

    The same seed gives the same start, order and dropout; TensorFlow sums gradients in any order, so last bits differ.
    """
    tf.random.set_seed(recipe.seed)
    trainer = _Trainer(data, recipe)
    started, step = time.monotonic(), 0
    for epoch in range(recipe.epochs):
        for batch in trainer.epoch(epoch):
            loss = trainer.step(batch)
            step += 1
            if report:
                report(Progress(step, max(step, trainer.steps), loss, time.monotonic() - started))
    return trainer.parts(generation)


class _Trainer:
    """Weights, optimizer and the compiled step."""

    def __init__(self, data: Interactions, recipe: Recipe) -> None:
        self._data, self._recipe = data, recipe
        self._histories = histories(data, recipe.longest)
        self.steps = recipe.epochs * sum(1 for _ in self.epoch(0))
        rng = np.random.default_rng(recipe.seed)
        table = rng.normal(0, _TABLE_DEVIATION, (len(data.items), DIM)).astype(np.float32)
        self._items, self._bias = tf.Variable(table), tf.Variable(_log_popularity(data))
        self._content = content_vectors(data.item_topics)
        self._topic_share = tf.constant(self._content[:, : len(data.topics)])
        self._network = ReadoutNetwork(len(data.topics), recipe.seed)
        # A set without topics leaves their weights empty, which the optimizer does not take.
        trainable = [weight for weight in self._network.trainable_variables if weight.shape.num_elements()]
        self._weights = [self._items, self._bias, *trainable]
        self._optimizer = tf.keras.optimizers.Adam(
            _Schedule(recipe.rate, max(1, round(recipe.warm_up * self.steps)), self.steps),
            beta_2=0.98,
            global_clipnorm=1.0,
        )
        self._optimizer.build(self._weights)
        self._step = tf.function(self._train_step, input_signature=_batch_signature(), reduce_retracing=True)

    def epoch(self, number: int) -> Any:
        """The batches of one epoch."""
        return batches(self._histories, self._recipe.tokens, np.random.default_rng([self._recipe.seed, number]))

    def step(self, batch: Batch) -> float:
        """One step of gradient descent; returns the loss of the next item."""
        return float(self._step(batch.item, batch.ts_ms, batch.gain, batch.target))

    def parts(self, generation: int) -> ModelParts:
        """The trained model."""
        data, table = self._data, self._items.numpy()
        writes = WriteTable(hash_ids(list(data.items)).hash, table, self._content)
        index = ItemIndex.of(data.items, data.titles, table, self._bias.numpy(), data.item_topics, _REASONS)
        index = replace(index, transitions=transitions_of(data))
        made = {"data": data.name, "terms": data.terms, "interactions": len(data), "recipe": asdict(self._recipe)}
        return ModelParts(generation, data.topics, self._recipe.decays, writes, self._network, index, made)

    def _train_step(self, item: Any, ts_ms: Any, gain: Any, target: Any) -> Any:
        with tf.GradientTape() as tape:
            loss, facets = self._losses(item, ts_ms, gain, target)
            total = loss + facets
        self._optimizer.apply(tape.gradient(total, self._weights), self._weights)
        return loss

    def _losses(self, item: Any, ts_ms: Any, gain: Any, target: Any) -> tuple[Any, Any]:
        """Loss of the next item, and of everything that reads the memory without shaping it."""
        features = features_before(item, ts_ms, gain, self._items, self._content, self._recipe.decays)
        flat = tf.reshape(features, [-1, features.shape[-1]])
        vectors = self._network.vector(flat, self._recipe.dropout)
        shaped = tf.reshape(vectors, [tf.shape(item)[0], tf.shape(item)[1], DIM])
        seen = tf.reshape(seen_sums(shaped, item, target, self._items, self._bias), [-1])
        wanted, weight = tf.reshape(item, [-1]), tf.reshape(target, [-1])
        loss = next_item_loss(vectors, seen, wanted, weight, self._items, self._bias)
        return loss, self._facet_losses(flat, vectors, wanted, weight)

    def _facet_losses(self, features: Any, vectors: Any, wanted: Any, weight: Any) -> Any:
        chosen = tf.random.uniform(tf.shape(weight)) < self._recipe.facet_share
        features = tf.stop_gradient(tf.boolean_mask(features, chosen))
        vectors = tf.stop_gradient(tf.boolean_mask(vectors, chosen))
        wanted, weight = tf.boolean_mask(wanted, chosen), tf.boolean_mask(weight, chosen)
        items, bias = tf.stop_gradient(self._items), tf.stop_gradient(self._bias)
        unseen = tf.zeros_like(weight)
        loss = next_item_loss(self._network.behaviour(features), unseen, wanted, weight, items, bias)
        loss += next_item_loss(self._network.content(features), unseen, wanted, weight, items, bias)
        if self._network.topic_count:
            share = tf.gather(self._topic_share, wanted)
            log_probability = tf.nn.log_softmax(self._network.topic_logits(features, vectors))
            loss -= tf.reduce_sum(weight[:, None] * share * log_probability) / tf.maximum(tf.reduce_sum(weight), 1.0)
        return loss


class _Schedule(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Up in a line, then down in a line to 0."""

    def __init__(self, highest: float, warm_up: int, steps: int) -> None:
        self._highest, self._warm_up, self._steps = highest, warm_up, steps

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32) + 1.0
        left = (self._steps + 1 - step) / max(1, self._steps - self._warm_up)
        return self._highest * tf.maximum(0.0, tf.minimum(step / self._warm_up, left))


def _log_popularity(data: Interactions) -> Any:
    """Start the bias where it belongs: the log of each item's share, with one interaction given to all."""
    counts = np.bincount(data.item, minlength=len(data.items)).astype(np.float32) + 1
    return np.log(counts / counts.mean())


def _batch_signature() -> list[Any]:
    return [tf.TensorSpec([None, None], kind) for kind in (tf.int32, tf.int64, tf.float32, tf.float32)]
