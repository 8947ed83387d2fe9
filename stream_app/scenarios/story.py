"""What happened in a made-up world, and how it is learnt from and played."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from operator import attrgetter

import msgspec
import numpy as np
import numpy.typing as npt

from model_store.training.interactions import Interactions, ItemFacts, Log, assemble
from stream_app.contracts.events import Click, Follow, Rating
from stream_app.contracts.items import Item
from stream_app.sources import Record, Source

Event = Click | Rating | Follow

KIND = {Click: "click", Rating: "rating", Follow: "follow"}
SCALE_MAX = 5.0

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Life:
    """An item and when it is withdrawn, milliseconds UTC; None for one that stays."""

    item: Item
    withdrawn_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """All that happened, in order of time (UTC, milliseconds).

    Attributes:
        name, seed: of the world, and what it was drawn from.
        topics: names.
        lives: items by publication.
        events: their ids are their places, "0", "1", ...
        early_ms, late_ms: what was before the first is learnt from, what was since the second is played.
        silent: users who only follow.
        heat: float64 [steps, topics], how many times as much a topic draws as on a quiet day; `step_ms` a step, the
            first one at `start_ms`.
    """

    name: str
    seed: int
    topics: tuple[str, ...]
    lives: tuple[Life, ...]
    events: tuple[Event, ...]
    early_ms: int
    late_ms: int
    silent: frozenset[str]
    heat: npt.NDArray[np.float64]
    start_ms: int
    step_ms: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said to who looks on."""
        return (f"synthetic: everything in this {self.name} is made up (seed {self.seed}).",)

    def hottest(self, ts_ms: int) -> tuple[str, float]:
        """The topic that draws most at that time, and how many times as much as on a quiet day."""
        step = min(max(0, (ts_ms - self.start_ms) // self.step_ms), len(self.heat) - 1)
        topic = int(self.heat[step].argmax())
        return self.topics[topic], float(self.heat[step, topic])

    def early(self) -> Interactions:
        """What a model learns from: the early clicks, with the ratings that came of them, and who followed whom."""
        early = [event for event in self.events if event.ts < self.early_ms]
        return replace(self._clicks(early), follows=tuple(_users_followed(early)))

    def late_clicks(self) -> Interactions:
        """The clicks of the part that is played, likewise."""
        return self._clicks([event for event in self.events if event.ts >= self.late_ms])

    def standing(self) -> Source:
        """Words on all items from before what is played: what is there, and what is no more."""
        words = [self._standing(life) for life in self.lives if life.item.published_at < self.late_ms]
        return Source(f"{self.name} items", len(words), self.notes, lambda: iter(words))

    def late(self, run: str = "1") -> Source:
        """What is played: events and words on items, after all follows and unfollows from before. Another `run` has
        other event ids."""
        events = [event for event in self.events if event.ts >= self.late_ms or isinstance(event, Follow)]
        words = sorted(self._words(), key=attrgetter("ts_ms"))

        def records() -> Iterator[Record]:
            return merge(words, self._told(events, run), key=attrgetter("ts_ms"))

        return Source(self.name, len(events) + len(words), self.notes, records)

    def whole(self, run: str = "1") -> Source:
        """The standing items, and then what is played."""
        standing, late = self.standing(), self.late(run)
        ahead, events = standing.events or 0, late.events or 0

        def records() -> Iterator[Record]:
            yield from standing.records()
            yield from late.records()

        return Source(self.name, ahead + events, self.notes, records, ahead)

    def _standing(self, life: Life) -> Record:
        gone = life.withdrawn_ms is not None and life.withdrawn_ms <= self.late_ms
        return _withdrawn(life, self.late_ms) if gone else _published(life, self.late_ms)

    def _words(self) -> Iterator[Record]:
        for life in self.lives:
            if life.item.published_at >= self.late_ms:
                yield _published(life, life.item.published_at)
            if life.withdrawn_ms is not None and self.late_ms < life.withdrawn_ms < self._end_ms:
                yield _withdrawn(life, life.withdrawn_ms)

    def _clicks(self, events: Sequence[Event]) -> Interactions:
        rated = {(one.user_id, one.item_id): one.rating for one in events if isinstance(one, Rating)}
        clicks = [event for event in events if isinstance(event, Click)]
        stars = [rated.get((click.user_id, click.item_id)) for click in clicks]
        log = Log(
            [click.user_id for click in clicks],
            [click.item_id for click in clicks],
            np.array([click.ts for click in clicks], np.int64),
            np.array([np.nan if one is None else one for one in stars], np.float32),
            SCALE_MAX,
            "synthetic",
        )
        until_ms = max(event.ts for event in events)
        items = [life.item for life in self.lives if life.item.published_at <= until_ms]
        facts = ItemFacts({one.item_id: one.title for one in items}, {one.item_id: one.tags for one in items})
        return assemble(self.name, "; ".join(self.notes), log, facts)

    @property
    def _end_ms(self) -> int:
        return self.start_ms + len(self.heat) * self.step_ms

    def _told(self, events: list[Event], run: str) -> Iterator[Record]:
        prefix = f"{self.name}/{run}/"
        for event in events:
            sent = msgspec.structs.replace(event, event_id=prefix + event.event_id)
            yield Record(KIND[type(event)], event.user_id.encode(), _encode(sent), event.ts)


def _users_followed(events: list[Event]) -> dict[tuple[str, str], None]:
    """Follower and followee, of users who follow users in the end."""
    follows: dict[tuple[str, str], None] = {}
    for event in events:
        if isinstance(event, Follow) and event.target_type == "user":
            if event.action == "follow":
                follows[event.user_id, event.target_id] = None
            else:
                follows.pop((event.user_id, event.target_id), None)
    return follows


def numbered(events: list[Event]) -> tuple[Event, ...]:
    """In order of time, each with its place as its id."""
    ordered = sorted(events, key=attrgetter("ts"))
    return tuple(msgspec.structs.replace(event, event_id=str(place)) for place, event in enumerate(ordered))


def _published(life: Life, ts_ms: int) -> Record:
    return Record("item", life.item.item_id.encode(), _encode(life.item), ts_ms)


def _withdrawn(life: Life, ts_ms: int) -> Record:
    word: Mapping[str, str | bool] = {"item_id": life.item.item_id, "deleted": True}
    return Record("item", life.item.item_id.encode(), _encode(word), ts_ms)
