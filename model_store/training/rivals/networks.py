"""Networks over whole histories that the model is compared with: they re-read everything, and keep no state.

Both are trained by the harness with the model's own recipe: the same table, loss, batches and steps.

SASRec: Kang and McAuley, Self-Attentive Sequential Recommendation, 2018, here with the full softmax instead of sampled
negatives (which is much stronger) and pre-norm blocks. GRU4Rec: Hidasi et al., Session-based Recommendations with
Recurrent Neural Networks, 2016, likewise.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from model_store.encoder.layers import Drop, dropping, normalised, nothing_dropped, ones, weights
from model_store.encoder.runtime import tf
from model_store.state.layout import DIM
from model_store.training.harness import Encoded, Harness, HistoryEncoder, Recipe, Report, Tables, Tensors
from model_store.training.interactions import Interactions
from model_store.training.sequences import History, histories, pad

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

_SCALE = 10.0  # the table begins with a deviation of 0.1
_SCORED_TOKENS = 20_000


class Sasrec(tf.Module):
    """A causal transformer with learned positions."""

    def __init__(self, longest: int, recipe: Recipe, layers: int = 2, heads: int = 2) -> None:
        super().__init__(name="sasrec")
        rng = np.random.default_rng(recipe.seed)
        self._dropout, self._heads = recipe.dropout, heads
        self._start = tf.Variable(_normal(rng, 1, DIM) * 0.1)
        self._places = tf.Variable(_normal(rng, longest + 1, DIM) * 0.1)
        self._blocks = [
            {
                "attend": weights(rng, DIM, 3 * DIM),
                "mix": weights(rng, DIM, DIM),
                "wide": weights(rng, DIM, 4 * DIM),
                "narrow": weights(rng, 4 * DIM, DIM),
                "gains": tf.Variable(np.ones((2, DIM), np.float32)),
            }
            for _ in range(layers)
        ]
        self._gain = ones(DIM)

    @property
    def weights(self) -> list[Any]:
        return list(self.trainable_variables)

    def encode(self, batch: Tensors, tables: Tables, seed: Any) -> Encoded:
        return Encoded(self.vectors(batch.item, tables, dropping(self._dropout, seed)))

    def vectors(self, item: Any, tables: Tables, dropped: Drop = nothing_dropped) -> Any:
        """float32 [b, l, DIM] of int32 [b, l]."""
        stream = _before(item, tables, self._start) + self._places[: tf.shape(item)[1]]
        stream = dropped(stream)
        for block in self._blocks:
            stream += dropped(self._attended(normalised(stream) * block["gains"][0], block))
            hidden = tf.nn.gelu((normalised(stream) * block["gains"][1]) @ block["wide"])
            stream += dropped(dropped(hidden) @ block["narrow"])
        return normalised(stream) * self._gain

    def _attended(self, stream: Any, block: dict[str, Any]) -> Any:
        shape = tf.shape(stream)
        split = tf.reshape(stream @ block["attend"], [shape[0], shape[1], 3, self._heads, DIM // self._heads])
        query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]))
        scores = tf.matmul(query, key, transpose_b=True) * (DIM // self._heads) ** -0.5
        places = tf.range(shape[1])
        scores = tf.where(places[:, None] >= places[None, :], scores, -1e9)
        mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores), value), [0, 2, 1, 3])
        return tf.reshape(mixed, [shape[0], shape[1], DIM]) @ block["mix"]


class Gru4Rec(tf.Module):
    """One gated recurrent layer."""

    def __init__(self, recipe: Recipe, units: int = 128) -> None:
        super().__init__(name="gru4rec")
        rng = np.random.default_rng(recipe.seed)
        self._dropout = recipe.dropout
        self._start = tf.Variable(_normal(rng, 1, DIM) * 0.1)
        starts = tf.keras.initializers.GlorotUniform(recipe.seed), tf.keras.initializers.Orthogonal(recipe.seed)
        self._layer = tf.keras.layers.GRU(
            units, kernel_initializer=starts[0], recurrent_initializer=starts[1], return_sequences=True
        )
        self._layer.build((None, None, DIM))
        self._out = weights(rng, units, DIM)

    @property
    def weights(self) -> list[Any]:
        return [self._start, self._out, *(weight.value for weight in self._layer.trainable_variables)]

    def encode(self, batch: Tensors, tables: Tables, seed: Any) -> Encoded:
        return Encoded(self.vectors(batch.item, tables, dropping(self._dropout, seed)))

    def vectors(self, item: Any, tables: Tables, dropped: Drop = nothing_dropped) -> Any:
        """float32 [b, l, DIM] of int32 [b, l]."""
        stream = dropped(_before(item, tables, self._start))
        return dropped(self._layer(stream)) @ self._out


class Network(HistoryEncoder, Protocol):
    """One that reads item ids alone."""

    def vectors(self, item: Any, tables: Tables, dropped: Drop = nothing_dropped) -> Any:
        """float32 [b, l, DIM] of int32 [b, l]: at each position from the items before it."""


class TrainedNetwork:
    """A network and its tables, after training on `train`; scores users by their histories."""

    def __init__(self, train: Interactions, recipe: Recipe, network: Network, report: Report | None = None) -> None:
        harness = Harness(train, recipe, network)
        harness.run(report)
        self._tables, self._longest = harness.tables, recipe.longest
        self._items, self._bias = harness.tables.items.numpy(), harness.tables.bias.numpy()
        self._read = tf.function(
            lambda item: network.vectors(item, self._tables),
            input_signature=[tf.TensorSpec([None, None], tf.int32)],
            reduce_retracing=True,
        )

    def after(self, before: Interactions) -> Callable[[Int64], Float32]:
        """Of users, int64 [n], the scores float32 [n, m] of what comes after their interactions in `before`."""
        return partial(self._scores, _last_histories(before, self._longest))

    def _scores(self, last: Mapping[int, History], users: Int64) -> Float32:
        lengths = [len(last[user].item) if user in last else 0 for user in users.tolist()]
        vectors = np.zeros((len(users), DIM), np.float32)
        known = sorted((place for place, length in enumerate(lengths) if length), key=lambda place: lengths[place])
        for part in _parts_of(known, lengths):
            batch = pad([_longer(last[int(users[place])]) for place in part])
            ends = [lengths[place] for place in part]
            vectors[part] = self._read(batch.item).numpy()[np.arange(len(part)), ends]
        scores: Float32 = vectors @ self._items.T + self._bias
        return scores


def _last_histories(data: Interactions, longest: int) -> dict[int, History]:
    """Each user's last `longest` interactions."""
    order = np.lexsort((data.ts_ms, data.user))
    firsts = data.user[order][np.unique(data.user[order], return_index=True)[1]]
    whole = histories(data, len(data))
    return {
        int(user): History(one.item[-longest:], one.ts_ms[-longest:], one.gain[-longest:])
        for user, one in zip(firsts, whole, strict=True)
    }


def _longer(history: History) -> History:
    """With one place more, whose vector comes after everything."""
    return History(np.append(history.item, history.item[-1:]), np.append(history.ts_ms, history.ts_ms[-1:]),
                   np.append(history.gain, history.gain[-1:]))  # fmt: skip


def _parts_of(places: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """The places, the shortest first, in parts that are small enough to be read at once."""
    part: list[int] = []
    for place in places:
        if part and (lengths[place] + 1) * (len(part) + 1) > _SCORED_TOKENS:
            yield part
            part = []
        part.append(place)
    if part:
        yield part


def _before(item: Any, tables: Tables, start: Any) -> Any:
    """float32 [b, l, DIM]: at position t the vector of item t - 1, at the first one `start`."""
    vectors = tf.gather(tables.items, item[:, :-1]) * _SCALE
    first = tf.broadcast_to(start * _SCALE, [tf.shape(item)[0], 1, DIM])
    return tf.concat([first, vectors], axis=1)


def _normal(rng: np.random.Generator, *shape: int) -> Float32:
    return rng.normal(size=shape).astype(np.float32)
