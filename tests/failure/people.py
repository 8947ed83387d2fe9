"""Users who act at random, in a way whose outcome does not depend on how Kafka interleaves the topics.

What one user does is bounded by what a state remembers exactly: a retry follows within three of the user's events, a
user rates at most RATED items and follows at most TARGETS targets, and sends at most MOST events in any MEMORY_MS. The
last since a state remembers 16 event ids: after a time without any worker, which must be shorter than that, everything
waiting in one topic may be applied before what waits in another. Three kinds of users:

plain (80 %)    clicks, follows, unfollows, ratings, re-ratings, withdrawals, late events, retries
erased (10 %)   the same, then an erasure, then only events from before it
reborn (10 %)   the same, then an erasure, then nothing until that is committed, then the same again
"""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

ITEMS = 80
RATED, TARGETS = 10, 12
RETRY = 0.05
ERASE_AFTER = 4
MOST, MEMORY_MS = 12, 45_000
HOUR_MS = 3_600_000

Event = dict[str, Any]
"""`kind` and the fields of the wire contract."""


def life_of(user: str) -> str:
    """Which kind of user an id stands for."""
    return {8: "erased", 9: "reborn"}.get(int(user.rsplit("-", 1)[1]) % 10, "plain")


def user_ids(count: int) -> list[str]:
    return [f"person-{number}" for number in range(count)]


@dataclass
class Person:
    """One user; `act` gives what is sent next. `silent` until its erasure is committed."""

    user: str
    dice: random.Random
    silent: bool = False
    sent: int = 0
    erased_at: int = 0
    recent: list[Event] = field(default_factory=list)
    acted_ms: deque[int] = field(default_factory=lambda: deque(maxlen=MOST))

    def may_act(self, now_ms: int) -> bool:
        """Whether anything may be sent now."""
        often = len(self.acted_ms) == MOST and now_ms - self.acted_ms[0] < MEMORY_MS
        return not (self.silent or often)

    def act(self, now_ms: int) -> Event:
        """The next event."""
        self.acted_ms.append(now_ms)
        if self.recent and self.dice.random() < RETRY:
            return self.dice.choice(self.recent)
        self.sent += 1
        event = self._event(now_ms)
        self.recent = [*self.recent[-2:], event]
        return event

    def _event(self, now_ms: int) -> Event:
        common = {"event_id": f"{self.user}/{self.sent}", "user_id": self.user}
        if not self.erased_at and life_of(self.user) != "plain" and self.sent > ERASE_AFTER:
            self.erased_at, self.silent, self.recent = now_ms, life_of(self.user) == "reborn", []
            return {"kind": "erasure", **common, "ts": now_ms}
        kind, body = self._body()
        return {"kind": kind, **common, **body, "ts": self._ts(now_ms)}

    def _body(self) -> tuple[str, Event]:
        draw, dice = self.dice.random(), self.dice
        if draw < 0.6:
            return "click", {"item_id": f"i{dice.randrange(ITEMS)}", "dwell_ms": dice.randrange(500, 60_000)}
        if draw < 0.8:
            rating = None if dice.random() < 0.1 else dice.randint(0, 10) / 2
            return "rating", {"item_id": f"i{dice.randrange(RATED)}", "rating": rating}
        action = "follow" if dice.random() < 0.7 else "unfollow"
        return "follow", {"target_id": f"c{dice.randrange(TARGETS)}", "target_type": "creator", "action": action}

    def _ts(self, now_ms: int) -> int:
        late = self.dice.randrange(50 * HOUR_MS) if self.dice.random() < 0.1 else 0
        if life_of(self.user) == "erased" and self.erased_at:
            return self.erased_at - late
        # A reborn user's late events are from before the erasure, too, and are forgotten.
        return now_ms - late


def crowd(count: int, seed: int) -> Iterator[Person]:
    """The people, each with dice of their own."""
    for number, user in enumerate(user_ids(count)):
        yield Person(user, random.Random(f"{seed}/{number}"))
