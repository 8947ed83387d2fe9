"""The items that can be recommended, and the exact search for the best unseen ones of many users at once.

    score(user, item) = vector . item vector + bias                     what the item is to this user
                      + sum over half-lives of weight * popularity      what everybody takes up now
                      + weight * what transitions add                   what follows the user's last items
                      + what kinship adds                               what is like them by its text

The vector and the weights are the user's, from the readout; the rest is the index's, and fresh with every version. With
several interests the first line is the logarithm of a sum over them, of exp(log weight + vector . item vector).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from model_store.catalog.candidates import Candidates
from model_store.catalog.picking import add_interest, fill_scores, fill_seen, pick, pick_among
from model_store.catalog.transitions import Transitions, recent_rows
from model_store.encoder.columns import FACETS, PRIORS, VECTORS, Outputs
from model_store.state.content import Projection, Told
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM
from model_store.state.lookup import HashRows

Float32 = npt.NDArray[np.float32]

_ARRAYS = "items.npz"
_TEXTS = "items.json"
# 4 MiB of scores at a time: enough users for a matrix product at full speed, few enough for a shared cache to hold.
_CHUNK_SCORES = 1 << 20
_CANDIDATES, _FOLLOWERS = 800, 64  # of a user: by the search, and of each of the last items by transitions
_CANDIDATE_USERS = 256
_NEXT = ("bounds", "after", "share", "weight")


@dataclass(frozen=True, slots=True)
class Picks:
    """The best k items of n users, best first. Where fewer than k are left, the rest are -1.

    Attributes:
        item: int32 [n, k], rows of the index.
        score: float32 [n, k]; -inf where there is no item.
        facet: int8 [n, k], index into `FACETS` of the one whose vector has the largest dot product with the item.
        topic: int16 [n, k], the item's main topic; -1 where it has none.
    """

    item: npt.NDArray[np.int32]
    score: Float32
    facet: npt.NDArray[np.int8]
    topic: npt.NDArray[np.int16]

    def put(self, users: npt.NDArray[np.int64], picks: "Picks") -> None:
        """Replace the picks of some users (indices)."""
        self.item[users], self.score[users], self.facet[users] = picks.item, picks.score, picks.facet
        self.topic[users] = picks.topic


class _Texts(msgspec.Struct, frozen=True):
    ids: list[str]
    titles: list[str]
    reasons: list[str]


@dataclass(frozen=True, slots=True)
class ItemIndex:
    """m items, as the module scores them.

    Attributes:
        item_ids, titles: m strings each.
        hashes: uint64 [m], `hash_id` of the ids.
        vectors: float32 [m, DIM], output vectors.
        bias: float32 [m].
        topic: int16 [m], index of the main topic in the model's topics, -1 for none.
        reasons: the facets that may be given as the reason of a pick: those the model was trained for.
        transitions: which item follows which.
        candidates: what finds the items worth scoring, where there are too many to score all; see `searched`.
        priors: float32 [m, PRIORS], logarithms of how popular the items are, by half-life; zeros where nobody counted.
        shares: float32 [m, topics], each item's topics as shares that sum to 1; zeros for an item without any. Without
            columns in a version from before they were kept.
        projection: from content to vectors and biases, for items of which only the content is known.
        kin: what is added to items that are alike by their text to the user's last ones (`catalog.kin`).
    """

    item_ids: tuple[str, ...]
    titles: tuple[str, ...]
    hashes: npt.NDArray[np.uint64]
    vectors: Float32
    bias: Float32
    topic: npt.NDArray[np.int16]
    reasons: tuple[str, ...] = FACETS
    transitions: Transitions | None = None
    priors: Float32 = field(default_factory=lambda: np.zeros((0, PRIORS), np.float32))
    candidates: Candidates | None = None
    shares: Float32 = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    projection: Projection = field(default_factory=Projection.nothing)
    kin: Transitions | None = None
    _factors: Float32 = field(init=False, repr=False)
    _rows: HashRows = field(init=False, repr=False)
    _allowed: npt.NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        count = len(self.item_ids)
        shapes = (len(self.titles), self.hashes.shape, self.vectors.shape, self.bias.shape, self.topic.shape)
        if shapes != (count, (count,), (count, DIM), (count,), (count,)):
            raise ValueError(f"columns of {count} items disagree: titles, hashes, vectors, bias, topic are {shapes}")
        if not len(self.priors):
            object.__setattr__(self, "priors", np.zeros((count, PRIORS), np.float32))
        if not len(self.shares):
            object.__setattr__(self, "shares", np.zeros((count, 0), np.float32))
        if len(self.shares) != count:
            raise ValueError(f"{count} items need a row of topics each, got {len(self.shares)}")
        if self.priors.shape != (count, PRIORS):
            raise ValueError(f"priors of {count} items have the shape {(count, PRIORS)}, got {self.priors.shape}")
        for pairs in (self.transitions, self.kin):
            if pairs is not None and len(pairs.bounds) != count + 1:
                raise ValueError(f"transitions or kin are of {len(pairs.bounds) - 1} items, not of {count}")
        if not self.reasons or not set(self.reasons) <= set(FACETS):
            raise ValueError(f"reasons must be some of {FACETS}, got {self.reasons}")
        object.__setattr__(self, "_factors", np.concatenate([self.vectors, self.priors], axis=1))
        object.__setattr__(self, "_allowed", np.array([facet in self.reasons for facet in FACETS]))
        object.__setattr__(self, "_rows", HashRows(self.hashes))

    def __len__(self) -> int:
        return len(self.item_ids)

    def is_finite(self) -> bool:
        """Whether all that scores are made of are numbers."""
        return all(bool(np.isfinite(column).all()) for column in (self.vectors, self.bias, self.priors))

    def recommend(
        self,
        records: npt.NDArray[np.void],
        rows: npt.NDArray[np.int64],
        outputs: Float32,
        k: int,
        skip_last: npt.NDArray[np.bool_],
    ) -> Picks:
        """The k best items that a user has not seen, for the users in `records[rows]` (n of them); with `candidates`
        about the best ones.

        `outputs`: float32 [n, width] from the readout. `skip_last`: bool [n], whether to leave out what
        was recommended last (`rec_item`) too. Seen is what the state's filter says (`state.seen` on its errors).
        Runs without the GIL but for numpy's matrix product, which releases it too; thread-safe.
        """
        if self.candidates is None:
            return self._best_of_all(records, rows, outputs, k, skip_last)
        picks = self._best_of_candidates(self.candidates, records, rows, outputs, k, skip_last)
        short = np.flatnonzero(picks.item[:, min(k, len(self)) - 1] < 0)
        if len(short):  # they have seen most of their candidates
            picks.put(short, self._best_of_all(records, rows[short], outputs[short], k, skip_last[short]))
        return picks

    def searched(self, outputs: Float32) -> "ItemIndex":
        """The same items with `candidates`, for users such as these (`outputs`: float32 [n, width]). 15 s for a million
        items. Raises ImportError without the extra `large`."""
        users = np.concatenate(_factors_by_interest(outputs))
        return replace(self, candidates=Candidates.of(self._factors, self.bias, users))

    def _best_of_candidates(
        self,
        candidates: Candidates,
        records: npt.NDArray[np.void],
        rows: npt.NDArray[np.int64],
        outputs: Float32,
        k: int,
        skip_last: npt.NDArray[np.bool_],
    ) -> Picks:
        picks = _no_picks(len(rows), k)
        for start in range(0, len(rows), _CANDIDATE_USERS):
            part = slice(start, min(len(rows), start + _CANDIDATE_USERS))
            items = self._candidates_of(candidates, records, rows[part], outputs[part])
            pick_among(
                items, self.scores_of(items, records, rows[part], outputs[part]), self.hashes, self.vectors, self.topic,
                self._allowed, records, rows[part], np.ascontiguousarray(outputs[part, DIM:VECTORS]), skip_last[part],
                picks.item[part], picks.score[part], picks.facet[part], picks.topic[part],
            )  # fmt: skip
        return picks

    def _candidates_of(
        self, candidates: Candidates, records: npt.NDArray[np.void], rows: npt.NDArray[np.int64], outputs: Float32
    ) -> npt.NDArray[np.int32]:
        """int32 [n, c], each item once; -1 for none."""
        found = [candidates.search(of, _CANDIDATES).astype(np.int32) for of in _factors_by_interest(outputs)]
        if len(self) > len(candidates):
            unknown = np.arange(len(candidates), len(self), dtype=np.int32)
            found.append(np.broadcast_to(unknown, (len(outputs), len(unknown))))
        found += [
            pairs.followers(self._recent(records, rows), _FOLLOWERS)
            for pairs in (self.transitions, self.kin)
            if pairs is not None
        ]
        return _distinct(np.concatenate(found, axis=1)) if len(found) > 1 else found[0]

    def _best_of_all(
        self,
        records: npt.NDArray[np.void],
        rows: npt.NDArray[np.int64],
        outputs: Float32,
        k: int,
        skip_last: npt.NDArray[np.bool_],
    ) -> Picks:
        count, wanted = len(rows), min(k, len(self))
        picks = _no_picks(count, k)
        step = max(1, min(count, _CHUNK_SCORES // max(1, len(self))))
        buffer = np.empty((step, len(self)), np.float32)
        for start in range(0, count if wanted else 0, step):
            part = slice(start, min(count, start + step))
            scores = self._dots(outputs[part], buffer[: part.stop - start])
            self._add_transitions(scores, self._recent(records, rows[part]), outputs[part])
            pick(
                scores, self.bias, self.hashes, self.vectors, self.topic, self._allowed,
                records, rows[part], np.ascontiguousarray(outputs[part, DIM:VECTORS]), skip_last[part],
                picks.item[part], picks.score[part], picks.facet[part], picks.topic[part],
            )  # fmt: skip
        return picks

    def seen(self, records: npt.NDArray[np.void], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """bool [n, m]: which items the users in `records[rows]` have seen, as `recommend` takes it."""
        out = np.empty((len(rows), len(self)), np.bool_)
        fill_seen(records, rows, self.hashes, out)
        return out

    def scores(self, records: npt.NDArray[np.void], rows: npt.NDArray[np.int64], outputs: Float32) -> Float32:
        """float32 [n, m] of the users in `records[rows]`, `outputs` being theirs from the readout."""
        return self.score(outputs, self._recent(records, rows))

    def score(self, outputs: Float32, recent: npt.NDArray[np.int32]) -> Float32:
        """float32 [n, m] of the readout's `outputs` and the users' last items (int32 [n, 3], newest first, -1 for
        none)."""
        scores = self._dots(outputs, np.empty((len(outputs), len(self)), np.float32)) + self.bias
        self._add_transitions(scores, recent, outputs)
        return scores

    def scores_of(
        self,
        items: npt.NDArray[np.int32],
        records: npt.NDArray[np.void],
        rows: npt.NDArray[np.int64],
        outputs: Float32,
    ) -> Float32:
        """float32 [n, k], the same of chosen items only: int32 [n, k] rows of the index, -inf where one is -1."""
        scores = np.empty(items.shape, np.float32)
        fill_scores(_factors(outputs), items, self._factors, self.bias, scores)
        for factors, log_weight in _further(outputs):
            more = np.empty_like(scores)
            fill_scores(factors, items, self._factors, self.bias, more)
            add_interest(scores, more, log_weight)
        if self.transitions is not None:
            self.transitions.add_to_items(scores, items, self._recent(records, rows), Outputs.of(outputs).transitions)
        if self.kin is not None:
            self.kin.add_to_items(scores, items, self._recent(records, rows))
        return scores

    def rows_of(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """int64 of the same shape: rows of items by the hashes of their ids, -1 for those not here."""
        return self._rows.rows(hashes)

    def _dots(self, outputs: Float32, out: Float32) -> Float32:
        """`out`, float32 [n, m], filled with everything but biases and transitions."""
        np.matmul(_factors(outputs), self._factors.T, out=out)
        for factors, log_weight in _further(outputs):
            add_interest(out, factors @ self._factors.T, log_weight)
        return out

    def _recent(self, records: npt.NDArray[np.void], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        return recent_rows(records, rows, self.hashes, self._rows.slots)

    def _add_transitions(self, scores: Float32, recent: npt.NDArray[np.int32], outputs: Float32) -> None:
        if self.transitions is not None:
            self.transitions.add_to(scores, recent, Outputs.of(outputs).transitions)
        if self.kin is not None:
            self.kin.add_to(scores, recent)

    def save(self, folder: Path) -> None:
        """Write `items.npz` and `items.json` into `folder`."""
        arrays = {
            "hashes": self.hashes,
            "vectors": self.vectors,
            "bias": self.bias,
            "topic": self.topic,
            "priors": self.priors,
            "shares": self.shares,
            "told_vectors": self.projection.vectors,
            "told_bias": self.projection.bias,
        }
        for prefix, pairs in (("next", self.transitions), ("kin", self.kin)):
            if pairs is not None:
                arrays |= {f"{prefix}_{name}": np.asarray(getattr(pairs, name)) for name in _NEXT}
        np.savez(folder / _ARRAYS, **arrays)  # type: ignore[arg-type]  # numpy's other options are not arrays
        texts = _Texts(list(self.item_ids), list(self.titles), list(self.reasons))
        (folder / _TEXTS).write_bytes(msgspec.json.encode(texts))

    @staticmethod
    def load(folder: Path) -> "ItemIndex":
        """Read what `save` wrote."""
        texts = msgspec.json.decode((folder / _TEXTS).read_bytes(), type=_Texts)
        with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
            hashes, vectors, bias, topic, priors = (
                arrays[name] for name in ("hashes", "vectors", "bias", "topic", "priors")
            )
            transitions, kin = _pairs(arrays, "next"), _pairs(arrays, "kin")
            shares = arrays["shares"] if "shares" in arrays else np.zeros((len(hashes), 0), np.float32)
            projection = _projection(arrays)
        return ItemIndex(
            tuple(texts.ids),
            tuple(texts.titles),
            hashes,
            vectors,
            bias,
            topic,
            tuple(texts.reasons),
            transitions,
            priors,
            shares=shares,
            projection=projection,
            kin=kin,
        )

    @staticmethod
    def of(
        item_ids: tuple[str, ...],
        titles: tuple[str, ...],
        vectors: Float32,
        bias: Float32,
        item_topics: Float32,
        reasons: tuple[str, ...] = FACETS,
    ) -> "ItemIndex":
        """An index with hashes made from the ids, and topics from item_topics (float32 [m, topics], 0 or more).

        An item's main topic is the rarest of those it has most of: "Film-Noir" says more than "Drama".
        """
        return ItemIndex(
            item_ids,
            titles,
            hash_ids(list(item_ids)).hash,
            vectors,
            bias,
            main_topic(item_topics),
            reasons,
            shares=topic_shares(item_topics),
        )

    def joined(self, told: Told) -> "ItemIndex":
        """With items more (none of which it has), of which only what a catalogue says is known: their vectors are what
        their content says, their biases that of the rarest, and nothing was counted of them yet.

        The search does not know them: they are among the candidates of every user.
        """
        more = len(told.ids)
        lowest = np.float32(self.bias.min(initial=0.0))
        return replace(
            self,
            item_ids=(*self.item_ids, *told.ids),
            titles=(*self.titles, *told.titles),
            hashes=np.concatenate([self.hashes, hash_ids(told.ids).hash]),
            vectors=np.concatenate([self.vectors, told.content @ self.projection.vectors]),
            bias=np.concatenate([self.bias, lowest + told.content @ self.projection.bias]),
            topic=np.concatenate([self.topic, main_topic(told.shares)]),
            priors=np.concatenate([self.priors, np.zeros((more, PRIORS), np.float32)]),
            shares=np.concatenate([self.shares, told.shares]) if self.shares.shape[1] else self.shares[:0],
            transitions=self.transitions and self.transitions.with_room(more),
            kin=self.kin and self.kin.with_room(more),
        )

    def without(self, rows: npt.NDArray[np.int64]) -> "ItemIndex":
        """The same that never recommends the items in `rows`."""
        bias = self.bias.copy()
        bias[rows] = -np.inf
        return replace(self, bias=bias)

    def take(self, kept: npt.NDArray[np.bool_]) -> "ItemIndex":
        """Some of the items (bool [m]), without transitions and kin."""
        ids, titles = (tuple(np.array(texts, object)[kept].tolist()) for texts in (self.item_ids, self.titles))
        return replace(
            self,
            item_ids=ids,
            titles=titles,
            hashes=self.hashes[kept],
            vectors=self.vectors[kept],
            bias=self.bias[kept],
            topic=self.topic[kept],
            priors=self.priors[kept],
            shares=self.shares[kept],
            transitions=None,
            kin=None,
            candidates=None,
        )


def _factors(outputs: Float32) -> Float32:
    """float32 [n, DIM + PRIORS]: a user's side of the product with the items' vectors and priors."""
    of = Outputs.of(outputs)
    return np.concatenate([of.vector, of.priors], axis=1)


def _further(outputs: Float32) -> list[tuple[Float32, Float32]]:
    """The same of each further interest, and float32 [n], the logarithm of how much it counts."""
    of = Outputs.of(outputs)
    return [
        (np.concatenate([of.further[:, place], of.priors], axis=1), np.ascontiguousarray(of.log_weights[:, place]))
        for place in range(of.further.shape[1])
    ]


def _factors_by_interest(outputs: Float32) -> list[Float32]:
    """Of the first interest and of each further one."""
    return [_factors(outputs), *(factors for factors, _ in _further(outputs))]


def _distinct(items: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Sorted, with -1 for what comes again."""
    items = np.sort(items, axis=1)
    items[:, 1:][items[:, 1:] == items[:, :-1]] = -1
    return items


def topic_shares(item_topics: Float32) -> Float32:
    """float32 [m, topics] of float32 [m, topics], 1 where an item has the topic: shares that sum to 1, zeros for an
    item without any."""
    shares: Float32 = item_topics / np.maximum(item_topics.sum(axis=1, keepdims=True), np.float32(1))
    return shares


def main_topic(item_topics: Float32) -> npt.NDArray[np.int16]:
    """int16 [m]: for each item the rarest of the topics it has most of, -1 where it has none."""
    if item_topics.shape[1] == 0:
        return np.full(len(item_topics), -1, np.int16)
    share = item_topics.sum(axis=0) / max(1.0, float(item_topics.sum()))
    best = item_topics == item_topics.max(axis=1, keepdims=True)
    topic = np.where(best, -share, -np.inf).argmax(axis=1).astype(np.int16)
    topic[item_topics.max(axis=1) <= 0] = -1
    return topic


def _pairs(arrays: Mapping[str, Any], prefix: str) -> Transitions | None:
    """None for a version that has none."""
    if f"{prefix}_bounds" not in arrays:
        return None
    bounds, after, share, weight = (arrays[f"{prefix}_{name}"] for name in _NEXT)
    return Transitions(bounds, after, share, float(weight))


def _projection(arrays: Mapping[str, Any]) -> Projection:
    """Nothing for a version from before there was one."""
    if "told_vectors" not in arrays:
        return Projection.nothing()
    return Projection(arrays["told_vectors"], arrays["told_bias"])


def _no_picks(count: int, k: int) -> Picks:
    return Picks(
        item=np.full((count, k), -1, np.int32),
        score=np.full((count, k), -np.inf, np.float32),
        facet=np.zeros((count, k), np.int8),
        topic=np.full((count, k), -1, np.int16),
    )
