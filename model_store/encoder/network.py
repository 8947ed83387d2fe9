"""The readout: from what a state remembers to what a user wants now.

    bank lanes (each normalised) | content | log-weights | context ─ gated linear ─ 2 gated blocks ─ norm ── own
    bank lanes ────────────────────────────────────────────────────────────────────── linear ── behaviour
    content ───────────────────────────────────────────────────────────────────────── linear ── content
    social ────────────────────────────────────────────────────────────────────────── linear ── social
    own + pull * (social - own), where pull = sigmoid(linear of all log-weights) ─────────────── vector
    vector | content ──────────────────────────────────────────────────────── linear, softmax ── topics
    vector | log-weights | context ────────────────────────────────────────────────── linear ── blend
    (before the norm) ──── for each further interest a gated block of its own, norm ── vector, log weight

`vector`, `behaviour`, `content` and `social` are each trained to give the next item a high dot product, so their dots
with an item can be compared. Who follows nobody has a `social` of zeros, and a `vector` that is all their own. How much
of the followees is in the others' is learnt where there are follows (`training.following`, and from the stream); until
then it is much for who has done little else, and little for who has done much.

With several interests (an option) an item scores by all of them, log sum exp(log weight + dot): a user of two tastes
need not be one in between. The first one's vector is `vector`.

`blend` says how much of a score is to come from what is popular now and from what follows what. It starts at zero and
is learnt from the stream (`training.online`), where there is a now. So is what the context is worth (hours, weekdays,
regions), which is read where a generation's states keep it; its weights begin at zero, too.

Gated blocks: Shazeer, GLU Variants Improve Transformer, 2020. Norm: Zhang and Sennrich, Root Mean Square Layer
Normalization, 2019.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from model_store.encoder.columns import (
    BANK,
    BLEND,
    CONTENT,
    CONTEXT,
    FEATURES,
    FOLLOWED,
    INTEREST,
    SOCIAL,
    VECTORS,
    WEIGHTS,
)
from model_store.encoder.layers import Drop, gated, normalised, nothing_dropped, ones, weights, zeros
from model_store.encoder.runtime import tf
from model_store.state.context import CONTEXT_WIDTH
from model_store.state.layout import DIM, FACET_DIM, LANES

_HIDDEN = 128
_BLOCKS = 2
_LOG_2 = 0.6931472  # log1p of one followee
_PULL_OF_NOTHING, _PULL_BY_LOG_WEIGHT = 1.0, -0.5
_CONTEXT_SCALE = np.full(CONTEXT_WIDTH, 2.0, np.float32)
_CONTEXT_SCALE[-3:] = 0.5  # logarithms
_FUSED_WIDTH = LANES * DIM + FACET_DIM + LANES + 1


class Interest(NamedTuple):
    """One of a user's interests: float32 [n, DIM] `vector`, float32 [n] `log_weight`."""

    vector: Any
    log_weight: Any


class ReadoutNetwork(tf.Module):
    """The trainable weights, and the computation for training and serving.

    `trainable_variables` are the weights; `outputs` is what is exported.
    """

    def __init__(self, topics: int, seed: int, interests: int = 1, *, context: bool = False) -> None:
        """`context`: read hours, weekdays and regions. Raises ValueError for more topics than the content lane has room
        for."""
        super().__init__(name="readout")
        if topics > FACET_DIM:
            raise ValueError(f"at most {FACET_DIM} topics fit the content lane, got {topics}")
        self.topic_count, self.interest_count, self.reads_context = topics, interests, context
        self.traces = 0
        rng = np.random.default_rng(seed)
        self._gate_in = weights(rng, _FUSED_WIDTH, 2 * _HIDDEN)
        self._gate_out = weights(rng, _HIDDEN, DIM)
        self._blocks = [(ones(DIM), weights(rng, DIM, 2 * _HIDDEN), weights(rng, _HIDDEN, DIM)) for _ in range(_BLOCKS)]
        self._bias_in = zeros(2 * _HIDDEN)
        self._bias_out = zeros(DIM)
        self._final_gain = ones(DIM)
        self._behaviour = weights(rng, LANES * DIM, DIM)
        self._behaviour_bias = zeros(DIM)
        self._content = weights(rng, FACET_DIM, DIM)
        self._content_bias = zeros(DIM)
        self._topics = weights(rng, DIM + 2 * FACET_DIM, topics)
        self._topics_bias = zeros(topics)
        self._blend = zeros(DIM + LANES + 1, BLEND)
        self._blend_bias = zeros(BLEND)
        self._further = [_Head(rng) for _ in range(interests - 1)]
        self._social = tf.Variable(np.eye(DIM, dtype=np.float32))
        self._context = [zeros(CONTEXT_WIDTH, 2 * _HIDDEN), zeros(CONTEXT_WIDTH, BLEND)] if context else []
        self._pull, self._pull_bias = tf.Variable(_usual_pull()), tf.Variable([_PULL_OF_NOTHING])

    @property
    def history_weights(self) -> list[Any]:
        """The weights that histories alone can train: all but those of the blend, of the context and of follows."""
        of_stream = (self._blend, self._blend_bias, *self._context)
        others = {id(weight) for weight in (*of_stream, *self.following_weights)}
        return [weight for weight in self.trainable_variables if id(weight) not in others]

    @property
    def following_weights(self) -> list[Any]:
        """The weights that say what followees are worth."""
        return [self._social, self._pull, self._pull_bias]

    def knows_follows(self) -> bool:
        """Whether what followees are worth was ever trained."""
        return not np.array_equal(self._social.numpy(), np.eye(DIM, dtype=np.float32))

    def vector(self, features: Any, dropped: Drop = nothing_dropped) -> Any:
        """float32 [n, DIM] of float32 [n, FEATURES]; `dropped` drops activations, in training."""
        return self.joined(self._first(self._stream(features, dropped)), features)

    def interests(self, features: Any, dropped: Drop = nothing_dropped) -> list[Interest]:
        """All of them; the first one's vector is `vector`, and its log weight 0."""
        stream = self._stream(features, dropped)
        first = Interest(self.joined(self._first(stream), features), tf.zeros_like(stream[:, 0]))
        others = (head(stream, dropped) for head in self._further)
        return [first, *(Interest(self.joined(vector, features), log_weight) for vector, log_weight in others)]

    def _first(self, stream: Any) -> Any:
        return normalised(stream) * self._final_gain

    def _stream(self, features: Any, dropped: Drop) -> Any:
        fused = tf.concat(
            [normalised_lanes(features), normalised(features[:, CONTENT]), 0.5 * features[:, WEIGHTS]], axis=1
        )
        wide = dropped(fused) @ self._gate_in + self._bias_in
        if self.reads_context:
            wide += _context(features) @ self._context[0]
        hidden = gated(wide)
        stream = dropped(hidden) @ self._gate_out + self._bias_out
        for gain, wide, narrow in self._blocks:
            stream += dropped(gated((normalised(stream) * gain) @ wide)) @ narrow
        return stream

    def behaviour(self, features: Any) -> Any:
        """float32 [n, DIM] from the bank alone."""
        return normalised_lanes(features) @ self._behaviour + self._behaviour_bias

    def content(self, features: Any) -> Any:
        """float32 [n, DIM] from the content lane alone."""
        return normalised(features[:, CONTENT]) @ self._content + self._content_bias

    def social(self, features: Any) -> Any:
        """float32 [n, DIM] from the followees alone; zeros for who has none."""
        return features[:, SOCIAL] @ self._social

    def pull(self, features: Any) -> Any:
        """float32 [n, 1]: how much of the vector is `social`; 0 for who follows nobody of whom something is known."""
        followed = features[:, FOLLOWED]
        weights = tf.concat([features[:, WEIGHTS], followed], axis=1)
        return tf.minimum(followed / _LOG_2, 1.0) * tf.sigmoid(weights @ self._pull + self._pull_bias)

    def joined(self, own: Any, features: Any) -> Any:
        """float32 [n, DIM]: a user's own vector and what their followees' make of it."""
        return own + self.pull(features) * (self.social(features) - own)

    def topic_logits(self, features: Any, vector: Any) -> Any:
        """float32 [n, topics]."""
        content = features[:, CONTENT]
        return tf.concat([vector, normalised(content), 4.0 * content], axis=1) @ self._topics + self._topics_bias

    def blend(self, features: Any, vector: Any) -> Any:
        """float32 [n, BLEND]: weights of the popularity columns and of transitions, of which nothing is bounded."""
        blend = tf.concat([vector, features[:, WEIGHTS]], axis=1) @ self._blend + self._blend_bias
        return blend + _context(features) @ self._context[1] if self.reads_context else blend

    def begin_blend(self, weights: Sequence[float]) -> bool:
        """Give the popularity columns these weights for everybody, unless a blend was learnt before: then False."""
        if self._blend_bias.numpy().any() or self._blend.numpy().any():
            return False
        self._blend_bias.assign([*weights, 0.0])
        return True

    def outputs(self, features: Any) -> Any:
        """float32 [n, VECTORS + topics + BLEND + further * INTEREST]: vector, behaviour, social, content, topic
        probabilities, blend, and each further interest."""
        self.traces += 1
        (vector, _), *further = self.interests(features)
        parts = [vector, self.behaviour(features), self.social(features), self.content(features)]
        if self.topic_count:
            parts.append(tf.nn.softmax(self.topic_logits(features, vector)))
        parts.append(self.blend(features, vector))
        for interest in further:
            parts += [interest.vector, interest.log_weight[:, None]]
        width = VECTORS + self.topic_count + BLEND + len(further) * INTEREST
        return tf.ensure_shape(tf.concat(parts, axis=1), [None, width])


class _Head(tf.Module):
    """What one further interest is read by."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(name="head")
        self._gain, self._final_gain = ones(DIM), ones(DIM)
        self._wide, self._narrow = weights(rng, DIM, 2 * _HIDDEN), weights(rng, _HIDDEN, DIM)
        self._counts, self._counts_bias = tf.Variable(np.zeros((DIM, 1), np.float32)), zeros(1)

    def __call__(self, stream: Any, dropped: Drop) -> Interest:
        steady = normalised(stream) * self._gain
        own = stream + dropped(gated(steady @ self._wide)) @ self._narrow
        log_weight = steady @ self._counts + self._counts_bias
        return Interest(normalised(own) * self._final_gain, log_weight[:, 0])


def signature() -> Any:
    """The one input signature of the exported graph."""
    return tf.TensorSpec([None, FEATURES], tf.float32, name="features")


def normalised_lanes(features: Any) -> Any:
    """float32 [n, LANES * DIM]: each lane's mean brought to the same size; its weight is told apart."""
    lanes = tf.reshape(features[:, BANK], [-1, LANES, DIM])
    return tf.reshape(normalised(lanes), [-1, LANES * DIM])


def _context(features: Any) -> Any:
    """float32 [n, CONTEXT_WIDTH] of about the same size in all columns."""
    return features[:, CONTEXT] * _CONTEXT_SCALE


def _usual_pull() -> np.ndarray[Any, np.dtype[np.float32]]:
    """float32 [log-weights, 1]: the less, the more a user has done; how many followees there are says nothing yet."""
    pull = np.full((LANES + 2, 1), _PULL_BY_LOG_WEIGHT, np.float32)
    pull[-1] = 0
    return pull
