"""The weights that follow the stream: readout, item table, biases and blend, trained on what users have just clicked.

What states sum (the write table, the half-lives) is the generation's and stays. What reads them is trained every few
clicks: on the new ones, several times, and on rounds of earlier ones out of a replay buffer; each with the counts of
its own time, since a count that already holds the click to be predicted teaches the model to trust counts more than
they deserve.

An item's vector is what its content says (a projection that is trained with the rest) and what its own clicks have
added to that. So an item that the catalogue has just told of begins where others of such content are.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from model_store.catalog.index import ItemIndex, main_topic
from model_store.catalog.kin import Kin
from model_store.catalog.transitions import LAG_WEIGHTS, UNIT, Transitions
from model_store.encoder.columns import FACETS, FEATURES, FOLLOWED, POPULARITY_HALF_LIVES_DAYS, PRIORS
from model_store.encoder.layers import dropping
from model_store.encoder.network import Interest
from model_store.encoder.runtime import tf
from model_store.model import ModelParts
from model_store.state.content import Projection, Told
from model_store.state.hashing import hash_ids
from model_store.state.layout import RING
from model_store.training.harness import step_seed, trainable
from model_store.training.online.counts import FadingCounts, PairCounts
from model_store.training.online.examples import Clicks
from model_store.training.optimizer import table_adam

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]

_NEVER = -1e9  # a logit that no softmax notices
_ROOM = 256
_OF_LATE = POPULARITY_HALF_LIVES_DAYS.index(30.0)
_SOCIAL = FACETS[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineRecipe:
    """How to follow a stream. Defaults come from the fourth tenth of MovieTweetings 100K and a bit (42.5 to 50 % of its
    ratings), one seed, 30 settings.

    Attributes:
        rate: learning rate of the readout, constant.
        table_rate: of item vectors and biases, and of the projection from content to them; see `table_adam`.
        passes: steps on the new clicks.
        replays: steps on earlier rounds, after them.
        rounds_kept: in the replay buffer.
        dropout: share of activations dropped.
        facet_share: share of the clicks that trains facets and topics.
        popularity_weights: what the blend begins with, by half-life, in a model that never followed a stream.
        vectors_kept: share of its item vectors that such a model begins with, and it begins without biases: both say
            who was popular while it was trained, which is for the popularity columns to say now.
        seed: of the order of replays and of dropout.
    """

    rate: float = 5e-4
    table_rate: float = 4e-3
    passes: int = 2
    replays: int = 1
    rounds_kept: int = 50
    dropout: float = 0.2
    facet_share: float = 0.25
    popularity_weights: tuple[float, ...] = (0.0, 0.6, 0.2, 0.0)
    vectors_kept: float = 0.3
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Round:
    """n clicks to be predicted, and everything that was known just before.

    Attributes:
        user: uint64 [n], hashes of the users' keys.
        features: float32 [n, FEATURES].
        seen: int32 [n, RING], rows of the items clicked before, newest first; -1 for none.
        wanted: int32 [n], row of the item clicked.
        topics: float32 [n, topics], the item's topics, which sum to 1, or zeros.
        priors: float32 [items, PRIORS], popularity then.
        pair_at: int32 [pairs, 2], (click, item) where transitions add something; pair_added: float32 [pairs], how much
            with a weight of 1.
    """

    user: UInt64
    features: Float32
    seen: Int32
    wanted: Int32
    topics: Float32
    priors: Float32
    pair_at: Int32
    pair_added: Float32

    def __len__(self) -> int:
        return len(self.wanted)

    def without(self, users: UInt64) -> "Round":
        """What is left when these users are forgotten."""
        kept = ~np.isin(self.user, users)
        pairs, place = kept[self.pair_at[:, 0]], np.cumsum(kept) - 1
        at = np.stack([place[self.pair_at[pairs, 0]], self.pair_at[pairs, 1]], axis=1).astype(np.int32)
        return Round(
            self.user[kept], self.features[kept], self.seen[kept], self.wanted[kept], self.topics[kept],
            self.priors, at, self.pair_added[pairs],
        )  # fmt: skip


class OnlineLearner:
    """Weights, optimizer, counts and replay buffer, beginning where `base` stands. One thread."""

    def __init__(self, base: ModelParts, recipe: OnlineRecipe) -> None:
        self._base, self._recipe, self.network = base, recipe, base.network
        self.item_ids, self.titles = list(base.index.item_ids), list(base.index.titles)
        self._topic, self._shares = base.index.topic, _shares_of(base)
        self._hashes = base.index.hashes
        self.content = _content_of(base)
        self.pair_weight = base.index.transitions.weight if base.index.transitions else 0.0
        self._withdrawn: set[str] = set()
        self.kin = Kin(base.writes.space.mean)
        self.popularity, self.pairs = FadingCounts(len(self.item_ids)), PairCounts()
        self._rounds: deque[Round] = deque(maxlen=recipe.rounds_kept)
        self._rng = np.random.default_rng(recipe.seed)
        vectors, bias, told = base.index.vectors, base.index.bias, base.index.projection
        if self.network.begin_blend(recipe.popularity_weights):
            kept = np.float32(recipe.vectors_kept)
            vectors, bias, told = kept * vectors, np.zeros_like(bias), replace(told, vectors=kept * told.vectors)
            told = replace(told, bias=np.zeros_like(told.bias))
        self._told_vectors, self._told_bias = tf.Variable(told.vectors), tf.Variable(told.bias)
        own, own_bias = vectors - self.content @ told.vectors, bias - self.content @ told.bias
        self._build(_padded(own, _ROOM, 0.0), _padded(own_bias, _ROOM, _NEVER))
        self._index = self._new_index()

    def _build(self, own: Float32, own_bias: Float32) -> None:
        self._own, self._own_bias = tf.Variable(own), tf.Variable(own_bias)
        self._content = tf.Variable(_padded(self.content, len(own) - len(self.content), 0.0), trainable=False)
        tables = [self._own, self._own_bias, self._told_vectors, self._told_bias]
        network = trainable(self.network.trainable_variables)
        self._weights = [*tables, *network]
        self._optimizer = table_adam(tables, network, self._recipe.rate, self._recipe.table_rate)
        self._step = tf.function(self._train_step, input_signature=_round_signature(self.network.topic_count))
        self._read = tf.function(self.network.outputs, input_signature=[tf.TensorSpec([None, FEATURES], tf.float32)])

    # -- items

    def meet(self, ids: Sequence[str]) -> None:
        """Take in items that may be new, of which nothing but the id is known; one that was withdrawn stays so."""
        self._take_in(Told.nothing(ids, self._shares.shape[1]))

    def tell(self, told: Told) -> None:
        """Take in what a catalogue says of items, new ones and others.

        A new one begins with the vector that its content has, and with the bias of the rarest; its clicks do the rest.
        """
        self._withdrawn -= set(told.ids)
        self._take_in(told)

    def _take_in(self, told: Told) -> None:
        told = told.first_of_each()
        rows = self._index.rows_of(hash_ids(told.ids).hash)
        new, before = told.take(np.flatnonzero(rows < 0)), len(self.item_ids)
        self._describe(rows[rows >= 0], told.take(np.flatnonzero(rows >= 0)))
        if len(new.ids):
            self._add(new)
        if told.vectors.shape[1]:
            places = np.where(rows >= 0, rows, before + np.cumsum(rows < 0) - 1)
            self.kin.tell(places, told.vectors, len(self.item_ids))
        self._index = self._new_index()

    def withdraw(self, ids: Sequence[str]) -> None:
        """Recommend none of these items any more, until a catalogue tells of them again."""
        if ids:
            self._withdrawn |= set(ids)
            self._index = self._new_index()

    def _add(self, new: Told) -> None:
        lowest, before = float(self.vectors_and_bias()[1].min(initial=0.0)), len(self.item_ids)
        self.item_ids += new.ids
        self.titles += new.titles
        self._hashes = np.concatenate([self._hashes, hash_ids(new.ids).hash])
        self._topic = np.concatenate([self._topic, main_topic(new.shares)])
        self._shares = np.concatenate([self._shares, new.shares])
        self.content = np.concatenate([self.content, new.content])
        self.popularity.grow(len(self.item_ids))
        self._make_room()
        at = np.arange(before, len(self.item_ids))[:, None]
        self._own_bias.scatter_nd_update(at, np.full(len(new.ids), lowest, np.float32))
        self._content.scatter_nd_update(at, new.content)

    def _describe(self, rows: Int64, told: Told) -> None:
        """Items met before, of which there may be more to say now. What says nothing takes nothing away."""
        # Indexes that were handed out, and the base, have the columns as they stand.
        self._topic, self._shares = self._topic.copy(), self._shares.copy()
        for row, title in zip(rows.tolist(), told.titles, strict=True):
            self.titles[row] = title if title != self.item_ids[row] else self.titles[row]
        topical, contentful = told.shares.any(axis=1), told.content.any(axis=1)
        self._shares[rows[topical]] = told.shares[topical]
        self._topic[rows[topical]] = main_topic(told.shares[topical])
        self.content[rows[contentful]] = told.content[contentful]
        self._content.scatter_nd_update(rows[contentful, None], told.content[contentful])

    def _make_room(self) -> None:
        missing = len(self.item_ids) - int(self._own_bias.shape[0])
        if missing > 0:
            more = missing + _ROOM + len(self.item_ids) // 4
            kept = [variable.numpy() for variable in self._optimizer.variables]
            self._build(_padded(self._own.numpy(), more, 0.0), _padded(self._own_bias.numpy(), more, _NEVER))
            for variable, value in zip(self._optimizer.variables, kept, strict=True):
                variable.assign(value if variable.shape == value.shape else _padded(value, more, 0.0))

    def vectors_and_bias(self) -> tuple[Float32, Float32]:
        """float32 [items, DIM] and [items], as they stand."""
        count = len(self.item_ids)
        vectors, bias = self._table()
        return vectors.numpy()[:count], bias.numpy()[:count]

    def _table(self) -> tuple[Any, Any]:
        """float32 [room, DIM] and [room]."""
        vectors = self._own + tf.matmul(self._content, self._told_vectors)
        return vectors, self._own_bias + tf.linalg.matvec(self._content, self._told_bias)

    # -- learning

    def learn(self, clicks: Clicks, usual: int = 1 << 30) -> float:
        """Train on new clicks and on earlier rounds, then count the new ones. With more than `usual` clicks there are
        fewer steps, on the new ones at least one. Returns the loss before; NaN if there was nothing to learn: clicks on
        items that were never met, or that the user had clicked before."""
        new, loss = self._round(clicks), float("nan")
        if len(new):
            share = min(1.0, usual / len(new))
            loss, *_ = [self._train(new) for _ in range(max(1, round(self._recipe.passes * share)))]
            for _ in range(round(self._recipe.replays * share) if self._rounds else 0):
                self._train(self._rounds[int(self._rng.integers(len(self._rounds)))])
            self._rounds.append(new)
        self.count(clicks)
        return loss

    def count(self, clicks: Clicks) -> None:
        """Take clicks into popularity and transitions without learning from them."""
        wanted, last = self._index.rows_of(clicks.item), self._index.rows_of(clicks.ring[:, 0])
        known = wanted >= 0
        self.popularity.add(wanted[known].astype(np.int32), clicks.ts_ms[known])
        self.pairs.add(last[known].astype(np.int32), wanted[known].astype(np.int32))
        self.kin.count(last.astype(np.int32), wanted.astype(np.int32))
        self._index = self._new_index()

    def forget(self, users: UInt64) -> None:
        """Drop what is kept of users (hashes of their keys) who were erased."""
        rounds = [one.without(users) for one in self._rounds]
        self._rounds = deque((one for one in rounds if len(one)), maxlen=self._recipe.rounds_kept)

    def _round(self, clicks: Clicks) -> Round:
        wanted, seen = self._index.rows_of(clicks.item), self._index.rows_of(clicks.ring).astype(np.int32)
        new = (wanted >= 0) & ~(seen == wanted[:, None]).any(axis=1)
        wanted, seen, transitions = wanted[new], seen[new], self._index.transitions
        shares = transitions.shares(seen[:, : len(LAG_WEIGHTS)]) if transitions else np.zeros((len(wanted), 0))
        at = np.argwhere(shares)
        return Round(
            clicks.user[new],
            clicks.features[new],
            seen,
            wanted.astype(np.int32),
            self._shares[wanted],
            self._index.priors,
            at.astype(np.int32),
            np.log1p(shares[at[:, 0], at[:, 1]] / UNIT).astype(np.float32),
        )

    def _train(self, one: Round) -> float:
        priors = _padded(one.priors, int(self._own_bias.shape[0]) - len(one.priors), 0.0)
        columns = (one.features, one.seen, one.wanted, one.topics, priors, one.pair_at, one.pair_added)
        return float(self._step(*columns))

    # -- what it is worth now

    def index(self) -> ItemIndex:
        """All items met, with vectors, biases, popularity and transitions as they stand."""
        return self._index

    def outputs(self, features: Float32) -> Float32:
        """float32 [n, width], as the exported readout gives them."""
        outputs: Float32 = self._read(features).numpy()
        return outputs

    def parts(self, made: dict[str, Any]) -> ModelParts:
        """A version of the same generation, to be exported. `made`: notes for people."""
        return replace(self._base, index=self._index, made={**self._base.made, **made})

    def _new_index(self) -> ItemIndex:
        vectors, bias = self.vectors_and_bias()
        if self._withdrawn:
            bias[self._rows_of_withdrawn()] = _NEVER
        return ItemIndex(
            tuple(self.item_ids), tuple(self.titles), self._hashes, vectors, bias, self._topic,
            self._reasons(), self.pairs.transitions(len(self.item_ids), self.pair_weight),
            self.popularity.columns(), shares=self._shares,
            projection=Projection(self._told_vectors.numpy(), self._told_bias.numpy()), kin=self._kinship(),
        )  # fmt: skip

    def _reasons(self) -> tuple[str, ...]:
        """Follows may be given as a reason once something was learnt of them."""
        reasons = self._base.index.reasons
        return (*reasons, _SOCIAL) if self.network.knows_follows() and _SOCIAL not in reasons else reasons

    def _kinship(self) -> Transitions | None:
        return self.kin.transitions(self.popularity.counts[:, _OF_LATE]) if len(self.kin) else None

    def _rows_of_withdrawn(self) -> Int64:
        wanted = hash_ids(sorted(self._withdrawn)).hash
        return np.flatnonzero(np.isin(self._hashes, wanted))

    # -- to go on later

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Everything learnt, counted and kept, as named arrays."""
        self.pairs.merge()
        met = {"ids": self.item_ids, "titles": self.titles, "rng": self._rng.bit_generator.state}
        arrays = {
            "met": np.frombuffer(msgspec.json.encode(met), np.uint8),
            "content": self.content,
            "shares": self._shares,
            "own": self._own.numpy(),
            "own_bias": self._own_bias.numpy(),
            "told_vectors": self._told_vectors.numpy(),
            "told_bias": self._told_bias.numpy(),
            "popularity": self.popularity.counts,
            "popularity_at_ms": np.array(self.popularity.at_ms),
            "kin_occasions": self.kin.occasions,
            "kin_clicks": self.kin.clicks,
            "pair_codes": self.pairs.codes,
            "pair_times": self.pairs.times,
        }
        arrays |= _numbered("network", [weight.numpy() for weight in self.network.trainable_variables])
        arrays |= _numbered("optimizer", [variable.numpy() for variable in self._optimizer.variables])
        for number, one in enumerate(self._rounds):
            arrays |= {f"round-{number}-{name}": getattr(one, name) for name in Round.__slots__}
        return arrays

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on where `state` was taken, in a learner that began at the same base."""
        met = msgspec.json.decode(state["met"].tobytes())
        nothing = state["content"][:, :0]
        self.tell(Told(met["ids"], met["titles"], state["content"], state["shares"], nothing))
        self.kin.occasions, self.kin.clicks = state["kin_occasions"].copy(), state["kin_clicks"].copy()
        self._told_vectors.assign(state["told_vectors"])
        self._told_bias.assign(state["told_bias"])
        self._build(state["own"], state["own_bias"])
        for place, weight in enumerate(self.network.trainable_variables):
            weight.assign(state[f"network-{place}"])
        for place, variable in enumerate(self._optimizer.variables):
            variable.assign(state[f"optimizer-{place}"])
        self.popularity.counts, self.popularity.at_ms = state["popularity"].copy(), int(state["popularity_at_ms"])
        self.pairs.codes, self.pairs.times = state["pair_codes"], state["pair_times"]
        self._rounds.clear()
        while f"round-{len(self._rounds)}-user" in state:
            prefix = f"round-{len(self._rounds)}-"
            self._rounds.append(Round(*(state[prefix + name] for name in Round.__slots__)))
        self._rng.bit_generator.state = met["rng"]
        self._index = self._new_index()

    # -- the graph

    def _train_step(
        self, features: Any, seen: Any, wanted: Any, topics: Any, priors: Any, pair_at: Any, pair_added: Any
    ) -> Any:
        shape = [tf.shape(wanted)[0], tf.shape(priors)[0]]
        seed = step_seed(self._recipe.seed, self._optimizer)
        hidden, added = _hidden(seen, shape), tf.scatter_nd(pair_at, pair_added, shape)
        with tf.GradientTape() as tape:
            (vector, _), *further = self.network.interests(features, dropping(self._recipe.dropout, seed))
            blend = self.network.blend(features, vector)
            vectors, bias = self._table()
            logits = _dots(vector, further, vectors) + bias
            logits += tf.matmul(blend[:, :PRIORS], priors, transpose_b=True)
            logits += (self.pair_weight + blend[:, PRIORS:]) * added
            loss = _cross_entropy(logits + hidden, wanted)
            fixed = tf.stop_gradient(vector), tf.stop_gradient(vectors), tf.stop_gradient(bias)
            total = loss + self._facet_losses(features, fixed, wanted, topics, hidden)
        self._optimizer.apply(tape.gradient(total, self._weights), self._weights)
        return loss

    def _facet_losses(self, features: Any, fixed: tuple[Any, Any, Any], wanted: Any, topics: Any, hidden: Any) -> Any:
        """Of everything that reads the memory without shaping it, on the first clicks of the round. `fixed`: the users'
        vectors, the items' and their biases."""
        vector, items, bias = fixed
        count = tf.cast(tf.math.ceil(self._recipe.facet_share * tf.cast(tf.shape(wanted)[0], tf.float32)), tf.int32)
        features, vector, wanted, topics = features[:count], vector[:count], wanted[:count], topics[:count]
        loss, follows = 0.0, tf.cast(features[:, FOLLOWED][:, 0] > 0, tf.float32)
        everybody = tf.ones_like(follows)
        for facet, weight in (
            (self.network.behaviour(features), everybody),
            (self.network.content(features), everybody),
            (self.network.social(features), follows),
        ):
            logits = tf.matmul(facet, items, transpose_b=True) + bias + hidden[:count]
            loss += _weighted_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, logits), weight)
        if self.network.topic_count:
            log_probability = tf.nn.log_softmax(self.network.topic_logits(features, vector))
            loss -= tf.reduce_mean(tf.reduce_sum(topics * log_probability, axis=1))
        return loss


def _dots(vector: Any, further: Sequence[Interest], items: Any) -> Any:
    """float32 [n, items]: log sum over interests of exp(log weight + dot)."""
    dots = [tf.matmul(vector, items, transpose_b=True)]
    for more, log_weight in further:
        dots.append(tf.matmul(more, items, transpose_b=True) + log_weight[:, None])
    return tf.reduce_logsumexp(tf.stack(dots), axis=0) if further else dots[0]


def _cross_entropy(logits: Any, wanted: Any) -> Any:
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, logits))


def _weighted_mean(losses: Any, weight: Any) -> Any:
    """0 where nothing has a weight."""
    return tf.reduce_sum(losses * weight) / tf.maximum(tf.reduce_sum(weight), 1.0)


def _hidden(seen: Any, shape: Any) -> Any:
    """float32 [n, items]: what takes the items at `seen` (int32 [n, RING], -1 for none) out of a softmax."""
    place = tf.where(seen >= 0)
    at = tf.stack([tf.cast(place[:, 0], tf.int32), tf.gather_nd(seen, place)], axis=1)
    return tf.scatter_nd(at, tf.fill([tf.shape(at)[0]], np.float32(_NEVER)), shape)


def _content_of(base: ModelParts) -> Float32:
    """float32 [items, FACET_DIM]: what the write table knows of the index's items; zeros where it knows nothing."""
    rows = base.writes.rows(base.index.hashes)
    return np.where(rows[:, None] >= 0, base.writes.content[rows], np.float32(0))


def _shares_of(base: ModelParts) -> Float32:
    """float32 [items, topics]. In a version from before they were kept, content was shares of topics."""
    topics = base.network.topic_count
    return base.index.shares.copy() if base.index.shares.shape[1] == topics else _content_of(base)[:, :topics].copy()


def _numbered(name: str, arrays: Sequence[npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    return {f"{name}-{place}": array for place, array in enumerate(arrays)}


def _padded(rows: npt.NDArray[Any], more: int, value: float) -> npt.NDArray[Any]:
    """The rows, and `more` of a value."""
    return np.concatenate([rows, np.full((more, *rows.shape[1:]), value, rows.dtype)])


def _round_signature(topics: int) -> list[Any]:
    return [
        tf.TensorSpec([None, FEATURES], tf.float32),
        tf.TensorSpec([None, RING], tf.int32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None, topics], tf.float32),
        tf.TensorSpec([None, PRIORS], tf.float32),
        tf.TensorSpec([None, 2], tf.int32),
        tf.TensorSpec([None], tf.float32),
    ]
