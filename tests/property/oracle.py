"""The naive truth about a user's state: keeps every event, computes everything from the list, one user at a time.

Shares no code with `model_store.state` but the sizes of the layout and the hash-drawn vectors, which are data to it.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import isnan

import numpy as np

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
GRIDS = {"1h": (10 * MINUTE, 6), "24h": (3 * HOUR, 8), "7d": (DAY, 7), "30d": (DAY, 30)}


@dataclass(frozen=True)
class Event:
    kind: str  # click, follow, rating, erasure
    offset: int
    event_id: int
    ts: int
    item: int = 0
    value: float = 0.0
    region: int = 0  # bin + 1


@dataclass
class Oracle:
    """One user; `vectors(item)` and `contents(item)` give float64 write vectors."""

    vectors: object
    contents: object
    rank_half_lives: tuple[float, ...]
    time_half_lives: tuple[float, ...]
    content_half_life: float
    context_half_life: float = 0.0
    events_kept: int = 16
    ring_size: int = 50
    version: int = 0
    events: int = 0
    erased_at: int = 0
    event_ts: int = 0
    offsets: dict[str, int] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)
    clicks: list[Event] = field(default_factory=list)
    ratings: dict[int, Event] = field(default_factory=dict)
    follows: dict[int, Event] = field(default_factory=dict)

    def apply(self, event: Event) -> str:
        if event.offset <= self.offsets.get(event.kind, -1):
            return "replayed"
        self.offsets[event.kind] = event.offset
        self.version += 1
        if event.kind != "erasure" and event.ts <= self.erased_at:
            return "forgotten"
        if event.event_id in self.ids[-self.events_kept :]:
            return "duplicate"
        self.ids.append(event.event_id)
        outcome = getattr(self, "_" + event.kind)(event)
        if outcome == "applied":
            self.events += event.kind != "erasure"
            self.event_ts = max(self.event_ts, event.ts)
        return outcome

    def _click(self, event: Event) -> str:
        self.clicks.append(event)
        return "applied"

    def _rating(self, event: Event) -> str:
        return self._replace(self.ratings, event)

    def _follow(self, event: Event) -> str:
        return self._replace(self.follows, event)

    def _replace(self, register: dict[int, Event], event: Event) -> str:
        old = register.get(event.item)
        if old is not None and event.ts // 1000 < old.ts // 1000:
            return "superseded"
        register[event.item] = event
        return "applied"

    def _erasure(self, event: Event) -> str:
        self.clicks, self.ratings, self.follows = [], {}, {}
        self.ids, self.events, self.event_ts = [event.event_id], 0, 0
        self.erased_at = max(self.erased_at, event.ts)
        return "applied"

    # -- what the state must show

    def rated(self) -> list[Event]:
        """Ratings in force, at whole seconds and thousandths."""
        return [
            replace(event, ts=event.ts // 1000 * 1000, value=round(event.value * 1000) / 1000)
            for event in self.ratings.values()
            if not isnan(event.value)
        ]

    def followed(self) -> list[Event]:
        return [event for event in self.follows.values() if event.value > 0]

    def rank_mean(self, lane: int) -> np.ndarray:
        ages = np.arange(len(self.clicks))[::-1]
        return _mean(
            [2.0 ** (-age / self.rank_half_lives[lane]) for age in ages],
            [2.0 ** (-age / self.rank_half_lives[lane]) for age in ages],
            [self.vectors(event.item) for event in self.clicks],
        )

    def timed(self) -> list[tuple[float, Event]]:
        return [(1.0, event) for event in self.clicks] + [(event.value - 0.5, event) for event in self.rated()]

    def time_mean(self, lane: int) -> np.ndarray:
        return self._decayed(self.time_half_lives[lane], self.vectors, self.timed())

    def content_mean(self) -> np.ndarray:
        known = [(gain, event) for gain, event in self.timed() if np.any(self.contents(event.item))]
        return self._decayed(self.content_half_life, self.contents, known)

    def _decayed(self, half_life: float, vectors: object, timed: list[tuple[float, Event]]) -> np.ndarray:
        now = max((event.ts for _, event in timed), default=0)
        decays = [2.0 ** (-(now - event.ts) / half_life) for _, event in timed]
        return _mean(
            [gain * decay for (gain, _), decay in zip(timed, decays, strict=True)],
            [abs(gain) * decay for (gain, _), decay in zip(timed, decays, strict=True)],
            [vectors(event.item) for _, event in timed],
        )

    def context(self, now: int) -> dict[str, np.ndarray]:
        """Clicks by hour, weekday and region, each worth what is left of it at `now`; and of all of them."""
        counts = {"hour": np.zeros(24), "weekday": np.zeros(7), "region": np.zeros(8), "weight": np.zeros(())}
        for event in self.clicks:
            at, left = datetime.fromtimestamp(event.ts / 1000, UTC), 2.0 ** (-(now - event.ts) / self.context_half_life)
            counts["hour"][at.hour] += left
            counts["weekday"][at.weekday()] += left
            counts["weight"] += left
            if event.region:
                counts["region"][event.region - 1] += left
        return counts

    def last_region(self) -> int:
        return next((event.region for event in reversed(self.clicks) if event.region), 0)

    def windows(self) -> dict[str, dict[str, int]]:
        """As of the latest event time."""
        return {name: self._window(*grid) for name, grid in GRIDS.items()}

    def history(self) -> dict[str, list[int]]:
        """Events by bucket, oldest first, as of the latest event time."""
        times = [event.ts for event in (*self.clicks, *self.rated(), *self.followed())]
        return {
            name: [sum(ts // width == self.event_ts // width - age for ts in times) for age in reversed(range(buckets))]
            for name, (width, buckets) in GRIDS.items()
        }

    def _window(self, width: int, buckets: int) -> dict[str, int]:
        totals: dict[str, int] = defaultdict(int)

        def inside(ts: int) -> bool:
            return self.event_ts // width - buckets < ts // width <= self.event_ts // width

        for event in self.clicks:
            if inside(event.ts):
                totals["clicks"] += 1
                totals["dwell_ms"] += int(event.value)
        for event in self.rated():
            if inside(event.ts):
                totals["ratings"] += 1
                totals["rating_sum"] += round(event.value * 1000)
        for event in self.followed():
            totals["follows"] += inside(event.ts // 1000 * 1000)
        return totals

    def seen(self) -> set[int]:
        return {event.item for event in self.clicks} | {event.item for event in self.rated()}


def _mean(gains: list[float], weights: list[float], vectors: list[np.ndarray]) -> np.ndarray:
    if not vectors:
        return np.zeros(1)
    total = np.sum([gain * vector for gain, vector in zip(gains, vectors, strict=True)], axis=0)
    return np.asarray(total / max(sum(weights), 1e-3))
