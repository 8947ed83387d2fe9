"""States, weights and counts as they were some time ago, for measuring what freshness is worth."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model_store.catalog.transitions import Transitions
from model_store.encoder.columns import FEATURES
from model_store.encoder.network import ReadoutNetwork
from model_store.encoder.runtime import tf
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable
from model_store.training.interactions import Interactions
from model_store.training.online.counts import FadingCounts, PairCounts
from model_store.training.online.examples import read_before
from model_store.training.online.learner import OnlineLearner
from model_store.training.states import Events

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]

NEVER_MS = 1 << 60
"""The age of what is frozen where scoring begins."""


class AgedStates:
    """Users' states as they were `age_ms` before a moment; frozen ones hold what came before `frozen_from`."""

    def __init__(self, data: Interactions, writes: WriteTable, decays: Decays, age_ms: int, frozen_from: int) -> None:
        self._data, self._events, self._age_ms = data, Events(data), age_ms
        self._writes, self._decays = writes, decays
        self._arena, self._done = Arena(len(data.users)), 0
        self._keys = [user.encode() for user in data.users]
        self._end = frozen_from if age_ms == NEVER_MS else len(data)
        if age_ms == NEVER_MS:
            self._advance(frozen_from)

    def read(self, start: int, stop: int) -> tuple[Float32, UInt64]:
        """float32 [n, FEATURES] and uint64 [n, RING] of the users of the interactions start..stop, each `age_ms` before
        its own."""
        parts = []
        for place in range(start, stop):
            until_ms = self._data.ts_ms[place] - self._age_ms
            self._advance(min(place, self._end, int(np.searchsorted(self._data.ts_ms, until_ms, side="right"))))
            rows = self._arena.rows_of([self._keys[self._data.user[place]]])
            parts.append(read_before(self._arena.records, rows))
        features, rings = zip(*parts, strict=True)
        return np.concatenate(features), np.concatenate(rings)

    def _advance(self, until: int) -> None:
        if until > self._done:
            batch = self._events.batch(self._done, until)
            advance(self._arena, self._arena.rows_of(batch.keys), batch, self._writes, self._decays)
            self._done = until


class AgedCounts:
    """Popularity and transitions as they were `age_ms` before a moment; frozen ones from the first moment asked for."""

    def __init__(self, age_ms: int) -> None:
        self._age_ms, self._delay_ms = age_ms, 0 if age_ms == NEVER_MS else age_ms
        self._popularity, self._pairs = FadingCounts(0), PairCounts()
        self._waiting: deque[tuple[int, int, int]] = deque()
        self._columns: Float32 | None = None

    def add(self, ts_ms: int, last: int, item: int) -> None:
        """A click on `item` (its row) of a user whose last item was `last` (-1 for none)."""
        self._waiting.append((ts_ms, last, item))

    def columns(self, now_ms: int, items: int) -> Float32:
        """float32 [items, PRIORS] as of `age_ms` before `now_ms`, which never falls."""
        self._take_in(now_ms, items)
        if self._columns is None:
            self._columns = self._popularity.columns()
        return self._columns

    def transitions(self, now_ms: int, items: int) -> Transitions:
        """Likewise."""
        self._take_in(now_ms, items)
        return self._pairs.transitions(items)

    def _take_in(self, now_ms: int, items: int) -> None:
        if items > len(self._popularity.counts):
            self._popularity.grow(items)
            self._columns = None
        due = []
        while self._waiting and self._waiting[0][0] <= now_ms - self._delay_ms:
            due.append(self._waiting.popleft())
        if self._age_ms == NEVER_MS:
            self._delay_ms = NEVER_MS
        if due:
            ts_ms, last, item = (np.array(column) for column in zip(*due, strict=True))
            self._popularity.add(item.astype(np.int32), ts_ms)
            self._pairs.add(last.astype(np.int32), item.astype(np.int32))
            self._columns = None


@dataclass(frozen=True, slots=True)
class Weights:
    """What a learner had learnt at a moment."""

    at_ms: int
    vectors: Float32
    bias: Float32
    network: list[Any]

    @staticmethod
    def of(learner: OnlineLearner, at_ms: int) -> "Weights":
        """A copy of what it has learnt by now."""
        vectors, bias = learner.vectors_and_bias()
        return Weights(at_ms, vectors, bias, [weight.numpy() for weight in learner.network.trainable_variables])


class AgedWeights:
    """The latest weights that are `age_ms` old."""

    def __init__(self, like: ReadoutNetwork, age_ms: int) -> None:
        self._age_ms = age_ms
        self._known: deque[Weights] = deque()
        self._network = ReadoutNetwork(like.topic_count, 0, like.interest_count, context=like.reads_context)
        self._read = tf.function(self._network.outputs, input_signature=[tf.TensorSpec([None, FEATURES], tf.float32)])
        self._loaded: Weights | None = None

    def add(self, weights: Weights) -> None:
        """Weights that were learnt later than those before."""
        if self._age_ms < NEVER_MS or not self._known:
            self._known.append(weights)

    def at(self, now_ms: int) -> Weights:
        """Those of `age_ms` before `now_ms`, which never falls; the oldest there are, where none is so old."""
        while len(self._known) > 1 and self._known[1].at_ms <= now_ms - self._age_ms:
            self._known.popleft()
        return self._known[0]

    def outputs(self, weights: Weights, features: Float32) -> Float32:
        """float32 [n, width]: the readout with these weights."""
        if weights is not self._loaded:
            for variable, value in zip(self._network.trainable_variables, weights.network, strict=True):
                variable.assign(value)
            self._loaded = weights
        outputs: Float32 = self._read(features).numpy()
        return outputs
