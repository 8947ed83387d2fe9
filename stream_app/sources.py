"""Where replayed events come from: public data sets, a file of events, or made-up ones.

Every event has an id that depends only on the source, its place in it and the run's name: a second replay under the
same name is all duplicates, and is counted as such.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

import msgspec
import numpy as np

from model_store.training.interactions import Interactions
from stream_app.settings import Topics

CHUNK = 10_000
# Of synthetic events: what sites see, mostly clicks.
CLICK_SHARE, RATING_SHARE = 0.80, 0.18
SYNTHETIC_START_MS = 1_735_689_600_000
KEY_FIELD = {"click": "user_id", "follow": "user_id", "rating": "user_id", "erasure": "user_id", "item": "item_id"}

_encode = msgspec.json.Encoder().encode


class SourceError(ValueError):
    """The source cannot be read. The message says where and what to do."""


class Record(NamedTuple):
    """One Kafka record to be: `ts_ms` is event time, the record's own time is when it is sent."""

    kind: str
    key: bytes
    value: bytes
    ts_ms: int


@dataclass(frozen=True)
class Source:
    """A stream of records that can be read again and again.

    `events` is how many there are, `items` ahead of them among them; None while unknown. `notes` are said to the person
    who replays it: terms of use, what is simulated.
    """

    name: str
    events: int | None
    notes: tuple[str, ...]
    records: Callable[[], Iterator[Record]]
    items: int = 0

    def first(self, count: int | None) -> "Source":
        """The same source cut after `count` events, not counting the items ahead of them; all of it for None."""
        if count is None:
            return self
        most = self.items + count
        events = most if self.events is None else min(most, self.events)
        return Source(self.name, events, self.notes, lambda: islice(self.records(), most), self.items)

    def counted(self) -> "Source":
        """The same source, which was read once to know how many there are."""
        return replace(self, events=sum(1 for _ in self.records()))


def topic_of(kind: str, topics: Topics) -> str:
    """The Kafka topic of a record's kind."""
    return {
        "click": topics.clicks,
        "follow": topics.follows,
        "rating": topics.ratings,
        "erasure": topics.erasures,
        "item": topics.items,
    }[kind]


def from_interactions(data: Interactions, run: str = "1", *, follows: bool = True, items: bool = False) -> Source:
    """Each interaction as a click and, where it is rated, a rating of the same item right after it.

    No data set tells when somebody followed somebody, so follows are simulated: all of a user's known trust or
    friendship at the user's first event; where the set has none, the first topic of the first item that has one.

    With `items` all of the set's items come first, topics as tags.
    """
    simulated = _simulated_follows(data) if follows else {}
    rated = int(np.count_nonzero(~np.isnan(data.rating)))
    notes = [f"{data.name}, terms of use: {data.terms}"]
    if data.times != "recorded":
        notes.append(f"event times are {data.times}")
    if simulated:
        notes.append("follows are simulated: no public data set has their times")
    ahead = len(data.items) if items else 0
    events = ahead + len(data) + rated + sum(map(len, simulated.values()))

    def records() -> Iterator[Record]:
        if items:
            yield from _item_records(data)
        yield from _interaction_records(data, run, simulated)

    return Source(data.name, events, tuple(notes), records, ahead)


def _item_records(data: Interactions) -> Iterator[Record]:
    """At the time of the first interaction, so that a pace by event time sends them at once."""
    first_ms = int(data.ts_ms[0])
    for item, title, row in zip(data.items, data.titles, np.asarray(data.item_topics), strict=True):
        tags = [data.topics[topic] for topic in np.flatnonzero(row)]
        yield Record("item", item.encode(), _encode({"item_id": item, "title": title, "tags": tags}), first_ms)


def _interaction_records(data: Interactions, run: str, follows: dict[int, list[tuple[str, str]]]) -> Iterator[Record]:
    prefix = f"{data.name}/{run}/"
    stars = np.round(data.rating.astype(np.float64) * data.scale_max, 3)
    keys = [user.encode() for user in data.users]
    for row, (user, item, ts, rating) in enumerate(
        zip(data.user.tolist(), data.item.tolist(), data.ts_ms.tolist(), stars.tolist(), strict=True)
    ):
        common = {"user_id": data.users[user], "item_id": data.items[item], "ts": ts}
        yield Record("click", keys[user], _encode({"event_id": f"{prefix}{row}c", **common}), ts)
        if rating == rating:
            body = {"event_id": f"{prefix}{row}r", **common, "rating": rating, "scale_max": data.scale_max}
            yield Record("rating", keys[user], _encode(body), ts)
        for number, (target_type, target) in enumerate(follows.get(row, ())):
            body = {
                "event_id": f"{prefix}{row}f{number}",
                "user_id": data.users[user],
                "target_id": target,
                "target_type": target_type,
                "action": "follow",
                "ts": ts,
            }
            yield Record("follow", keys[user], _encode(body), ts)


def _simulated_follows(data: Interactions) -> dict[int, list[tuple[str, str]]]:
    """Follow targets (type, id) by the row of the interaction after which they are sent."""
    if data.follows:
        return _known_follows(data)
    topical = np.asarray(data.item_topics).sum(axis=1) > 0
    rows = np.flatnonzero(topical[data.item])
    _, first = np.unique(data.user[rows], return_index=True)
    firsts = rows[first]
    topics = data.item_topics[data.item[firsts]].argmax(axis=1) if len(firsts) else firsts
    return {int(row): [("topic", data.topics[topic])] for row, topic in zip(firsts, topics, strict=True)}


def _known_follows(data: Interactions) -> dict[int, list[tuple[str, str]]]:
    users, firsts = np.unique(data.user, return_index=True)
    row_of = {data.users[user]: int(row) for user, row in zip(users, firsts, strict=True)}
    follows: dict[int, list[tuple[str, str]]] = {}
    for follower, followee in data.follows:
        if follower in row_of:
            follows.setdefault(row_of[follower], []).append(("user", followee))
    return follows


def synthetic(events: int, users: int, items: int, zipf: float, seed: int, run: str = "1") -> Source:
    """Made-up clicks, ratings and follows in a fixed mix, 1 ms of event time apart.

    `zipf` is how skewed users and items are: 0 uniform, 1.2 like a busy site (a few users make most events).
    """
    notes = ("all events are synthetic",)
    name = f"synthetic {users} users, {items} items, zipf {zipf:g}, seed {seed}"
    return Source(name, events, notes, lambda: _synthetic_records(events, users, items, zipf, seed, run))


def _synthetic_records(events: int, users: int, items: int, zipf: float, seed: int, run: str) -> Iterator[Record]:
    random = np.random.default_rng(seed)
    user_share, item_share = _cumulative_zipf(users, zipf), _cumulative_zipf(items, zipf)
    for start in range(0, events, CHUNK):
        count = min(CHUNK, events - start)
        user = np.searchsorted(user_share, random.random(count), side="right").tolist()
        item = np.searchsorted(item_share, random.random(count), side="right").tolist()
        kind = random.random(count).tolist()
        stars = random.integers(1, 6, count).tolist()
        for place in range(count):
            number = start + place
            yield _synthetic_record(
                f"s{seed}/{run}/{number}", user[place], item[place], kind[place], stars[place], number
            )


def _synthetic_record(event_id: str, user: int, item: int, kind: float, stars: int, number: int) -> Record:
    user_id, ts = f"u{user}", SYNTHETIC_START_MS + number
    body: dict[str, Any] = {"event_id": event_id, "user_id": user_id, "ts": ts}
    if kind < CLICK_SHARE:
        return Record("click", user_id.encode(), _encode({**body, "item_id": f"i{item}"}), ts)
    if kind < CLICK_SHARE + RATING_SHARE:
        return Record("rating", user_id.encode(), _encode({**body, "item_id": f"i{item}", "rating": stars}), ts)
    follow = {**body, "target_id": f"i{item}", "target_type": "creator", "action": "follow"}
    return Record("follow", user_id.encode(), _encode(follow), ts)


def _cumulative_zipf(count: int, exponent: float) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """float64 [count], ascending to 1: shares of the first, second, ... are 1, 2**-exponent, 3**-exponent, ..."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    total = np.cumsum(weights)
    return np.asarray(total / total[-1])
