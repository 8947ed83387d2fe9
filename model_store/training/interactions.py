"""One shape for every data set: who interacted with what, when, and what is known of the items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from model_store.catalog.index import topic_shares

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Times = Literal["recorded", "reconstructed", "synthetic"]

MAX_TOPICS = 24
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Interactions:
    """A data set, in order of time.

    Attributes:
        name, terms: for people; the terms under which the data may be used.
        users, items: ids as the publisher gives them.
        user, item: int32 [n], indices into `users` and `items`.
        ts_ms: int64 [n], ascending; strictly ascending within a user (ties are moved apart by 1 ms, in file order).
        rating: float32 [n], share of the scale in 0..1; NaN where the set has none.
        scale_max: the best rating on the publisher's scale.
        times: whether the times were recorded, reconstructed by somebody, or made up here.
        titles: one for each item; the id where none is known.
        topics: names of topics, at most `MAX_TOPICS`.
        item_topics: float32 [m, len(topics)], 1 where the item has the topic.
        follows: (follower, followee) ids; no set has times for them.
    """

    name: str
    terms: str
    users: tuple[str, ...]
    items: tuple[str, ...]
    user: Int32
    item: Int32
    ts_ms: Int64
    rating: Float32
    scale_max: float
    times: Times
    titles: tuple[str, ...]
    topics: tuple[str, ...]
    item_topics: Float32
    follows: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.ts_ms)

    def topic_shares(self) -> Float32:
        """float32 [m, len(topics)]: each item's topics as shares that sum to 1; zeros for an item without any."""
        return topic_shares(self.item_topics)

    def take(self, rows: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "Interactions":
        """The same users and items with only these interactions (ascending rows or a mask)."""
        return Interactions(
            self.name, self.terms, self.users, self.items, self.user[rows], self.item[rows], self.ts_ms[rows],
            self.rating[rows], self.scale_max, self.times, self.titles, self.topics, self.item_topics, self.follows,
        )  # fmt: skip

    def from_last(self) -> Int32:
        """int32 [n]: 0 for a user's last interaction, 1 for the one before, and so on."""
        order = np.argsort(self.user[::-1], kind="stable")
        rank = _rank_in_group(self.user[::-1][order])
        result = np.empty(len(self), np.int32)
        result[order] = rank
        return result[::-1].copy()

    def from_first(self) -> Int32:
        """int32 [n]: 0 for a user's first interaction, 1 for the next one, and so on."""
        order = np.argsort(self.user, kind="stable")
        result = np.empty(len(self), np.int32)
        result[order] = _rank_in_group(self.user[order])
        return result

    def without_last(self, count: int) -> "Interactions":
        """All but each user's last `count` interactions."""
        return self.take(self.from_last() >= count)

    def last(self, back: int = 0) -> Int32:
        """int32 [users]: the item of each user's last interaction (or `back` before it); -1 where there is none."""
        result = np.full(len(self.users), -1, np.int32)
        rows = np.flatnonzero(self.from_last() == back)
        result[self.user[rows]] = self.item[rows]
        return result


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """What a set says about items, by item id."""

    titles: Mapping[str, str] = field(default_factory=dict)
    topics: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Log:
    """Interactions as they stand in a file: ids, time in ms and raw rating (NaN unknown), in file order."""

    users: Sequence[str]
    items: Sequence[str]
    ts_ms: Int64
    rating: Float32
    scale_max: float
    times: Times = "recorded"


def assemble(
    name: str, terms: str, log: Log, facts: ItemFacts, follows: tuple[tuple[str, str], ...] = ()
) -> Interactions:
    """Number the ids in order of appearance, sort by time, move ties apart. Items known only by `facts` are kept."""
    if len(log.ts_ms) == 0:
        raise ValueError(f"{name} holds no interactions: check that its files are complete")
    users, user = _number(log.users)
    items, item = _number([*log.items, *facts.titles])
    item = item[: len(log.ts_ms)]
    ts_ms = spread_ties(user, log.ts_ms)
    order = np.argsort(ts_ms, kind="stable")
    topics = _topic_names(facts.topics, items)
    return Interactions(
        name=name,
        terms=terms,
        users=users,
        items=items,
        user=user[order],
        item=item[order],
        ts_ms=ts_ms[order],
        rating=np.clip(log.rating / log.scale_max, 0, 1).astype(np.float32)[order],
        scale_max=log.scale_max,
        times=log.times,
        titles=tuple(facts.titles.get(name, name) for name in items),
        topics=topics,
        item_topics=_multi_hot(facts.topics, items, topics),
        follows=follows,
    )


def spread_ties(user: Int32, ts_ms: Int64) -> Int64:
    """Times that ascend strictly within each user: t[i] = max(t[i], t[i - 1] + 1), in order of time and file."""
    order = np.lexsort((np.arange(len(user)), ts_ms, user))
    sorted_user = user[order].astype(np.int64)
    rank = _rank_in_group(user[order])
    floor = ts_ms.min() - len(ts_ms)
    # One running maximum serves all users: each lies in a band of its own.
    band = sorted_user * (int(ts_ms.max()) - int(floor) + 1)
    running = np.maximum.accumulate(ts_ms[order] - rank - floor + band)
    result = np.empty_like(ts_ms)
    result[order] = running - band + floor + rank
    return result


def hourly(users: Sequence[str], start_ms: int = 1_356_998_400_000) -> Int64:
    """Made-up times for sets that have only an order: a user's events are an hour apart (from 2013-01-01)."""
    _, user = _number(users)
    order = np.argsort(user, kind="stable")
    result = np.empty(len(user), np.int64)
    result[order] = start_ms + _rank_in_group(user[order]).astype(np.int64) * _HOUR_MS
    return result


def _number(names: Sequence[str]) -> tuple[tuple[str, ...], Int32]:
    index: dict[str, int] = {}
    numbers = np.fromiter((index.setdefault(name, len(index)) for name in names), np.int32, len(names))
    return tuple(index), numbers


def _rank_in_group(groups: Int32) -> Int64:
    """0, 1, 2, ... within each run of equal values."""
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    lengths = np.diff(np.r_[starts, len(groups)])
    return np.arange(len(groups)) - np.repeat(starts, lengths)


def _topic_names(topics: Mapping[str, Sequence[str]], items: tuple[str, ...]) -> tuple[str, ...]:
    """The topics that most items have, at most `MAX_TOPICS`, in order of their names."""
    count: dict[str, int] = {}
    for item in items:
        for topic in topics.get(item, ()):
            count[topic] = count.get(topic, 0) + 1
    return tuple(sorted(sorted(count, key=lambda topic: (-count[topic], topic))[:MAX_TOPICS]))


def _multi_hot(topics: Mapping[str, Sequence[str]], items: tuple[str, ...], names: tuple[str, ...]) -> Float32:
    column = {name: index for index, name in enumerate(names)}
    result = np.zeros((len(items), len(names)), np.float32)
    for row, item in enumerate(items):
        result[row, [column[topic] for topic in topics.get(item, ()) if topic in column]] = 1
    return result
