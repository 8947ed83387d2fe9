"""Offline training of a model generation: its write table, readout and output table, from interactions.

The write table and the output table are one during training (tied), which is what lets 100,000 interactions suffice.
Afterwards the write table is frozen: it is what states sum.
"""

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from model_store.catalog.index import ItemIndex
from model_store.encoder.layers import dropping
from model_store.encoder.network import ReadoutNetwork
from model_store.encoder.runtime import tf
from model_store.model import ModelParts
from model_store.state.content import ItemContent, Projection
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM
from model_store.state.writes import WriteTable
from model_store.training.checkpoints import Checkpoints
from model_store.training.following import FollowingRecipe, train_following
from model_store.training.harness import Encoded, Harness, Progress, Recipe, Report, Tables, Tensors
from model_store.training.interactions import Interactions
from model_store.training.loss import next_item_loss
from model_store.training.parallel import features_before
from model_store.training.rivals.counts import transitions_of

_REASONS = ("behaviour", "content")

QUICK = Recipe(epochs=6, tokens=1000, rate=4e-3, dropout=0.2)
"""For tests and first looks: half the time, and most of the quality."""


def train(
    data: Interactions,
    recipe: Recipe,
    generation: int = 1,
    report: Report | None = None,
    checkpoints: Checkpoints | None = None,
    content: ItemContent | None = None,
) -> ModelParts:
    """Train on all of `data`; leave out beforehand what is to be predicted. `content`: of its items, by default their
    topics.

    The same seed gives the same start, order and dropout; TensorFlow sums gradients in any order, so last bits differ.
    It goes on from a checkpoint, if there is one, as if it had never stopped. Where the set has follows, what those are
    worth is trained last. Raises `Stopped`.
    """
    memory = _MemoryEncoder(data, recipe, content or ItemContent.by_topics(data.topic_shares()))
    harness = Harness(data, recipe, memory)
    harness.run(report, checkpoints)
    parts = _parts(data, recipe, generation, memory, harness)
    if np.isnan(train_following(parts, data, FollowingRecipe(seed=recipe.seed), report)):
        return parts
    return replace(parts, index=replace(parts.index, reasons=(*_REASONS, "social")))


class _MemoryEncoder:
    """The parallel form of the state, and the readout over it (`harness.HistoryEncoder`)."""

    def __init__(self, data: Interactions, recipe: Recipe, content: ItemContent) -> None:
        self._recipe, self.content = recipe, content
        self._topic_share = tf.constant(data.topic_shares())
        self.network = ReadoutNetwork(
            len(data.topics), recipe.seed, recipe.interests, context=recipe.decays.keeps_context
        )

    @property
    def weights(self) -> list[Any]:
        return self.network.history_weights

    def encode(self, batch: Tensors, tables: Tables, seed: Any) -> Encoded:
        item, decays = batch.item, self._recipe.decays
        features = features_before(item, batch.ts_ms, batch.gain, tables.items, self.content.coordinates, decays)
        flat = tf.reshape(features, [-1, features.shape[-1]])
        of_dropout, of_facets = tf.unstack(tf.random.split(seed))
        interests = self.network.interests(flat, dropping(self._recipe.dropout, of_dropout))
        wanted, weight = tf.reshape(item, [-1]), tf.reshape(batch.target, [-1])
        extra_loss = self._facet_losses(flat, interests[0].vector, wanted, weight, tables, of_facets)
        (first, _), *further = (
            (tf.reshape(vectors, [*tf.unstack(tf.shape(item)), DIM]), tf.reshape(log_weight, tf.shape(item)))
            for vectors, log_weight in interests
        )
        return Encoded(first, extra_loss, further)

    def _facet_losses(self, features: Any, vectors: Any, wanted: Any, weight: Any, tables: Tables, seed: Any) -> Any:
        """Of everything that reads the memory without shaping it."""
        chosen = tf.random.stateless_uniform(tf.shape(weight), seed) < self._recipe.facet_share
        features = tf.stop_gradient(tf.boolean_mask(features, chosen))
        vectors = tf.stop_gradient(tf.boolean_mask(vectors, chosen))
        wanted, weight = tf.boolean_mask(wanted, chosen), tf.boolean_mask(weight, chosen)
        items, bias = tf.stop_gradient(tables.items), tf.stop_gradient(tables.bias)
        unseen = tf.zeros_like(weight)
        loss = next_item_loss(self.network.behaviour(features), unseen, wanted, weight, items, bias)
        loss += next_item_loss(self.network.content(features), unseen, wanted, weight, items, bias)
        if self.network.topic_count:
            share = tf.gather(self._topic_share, wanted)
            log_probability = tf.nn.log_softmax(self.network.topic_logits(features, vectors))
            loss -= tf.reduce_sum(weight[:, None] * share * log_probability) / tf.maximum(tf.reduce_sum(weight), 1.0)
        return loss


def _parts(data: Interactions, recipe: Recipe, generation: int, memory: _MemoryEncoder, harness: Harness) -> ModelParts:
    tables = harness.tables
    table: np.ndarray[Any, np.dtype[np.float32]] = tables.items.numpy()
    content, bias = memory.content, tables.bias.numpy()
    clicked = np.bincount(data.item, minlength=len(data.items)) > 0
    projection = Projection.fit(content.coordinates[clicked], table[clicked], bias[clicked])
    writes = WriteTable(hash_ids(list(data.items)).hash, table, content.coordinates, content.space, projection)
    index = ItemIndex.of(data.items, data.titles, table, bias, data.item_topics, _REASONS)
    index = replace(index, transitions=transitions_of(data), projection=projection)
    made = {"data": data.name, "terms": data.terms, "interactions": len(data), "recipe": asdict(recipe)}
    made["loss_by_epoch"] = harness.losses.by_epoch()
    return ModelParts(generation, data.topics, recipe.decays, writes, memory.network, index, made)


__all__ = ["QUICK", "Progress", "Recipe", "train"]
