"""Is this worker alive, and is it at work? Written by the event loop, read by the thread that answers `/healthz` and
`/readyz`, so that it answers when the loop does not."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stream_app.settings import Health as Bounds


class Check(NamedTuple):
    """One question, the answer, and what it rests on."""

    name: str
    passed: bool
    says: str


def loop_check(beat_at_s: float | None, now_s: float, max_age_s: float) -> Check:
    """Whether a service's loop, which last turned at `beat_at_s` (None before it starts), turns still."""
    if beat_at_s is None:
        return Check("loop", True, "not started yet")
    age_s = now_s - beat_at_s
    return Check("loop", age_s <= max_age_s, f"turned {age_s:.1f} s ago, at most {max_age_s:g}")


class Health:
    """What the loop last said of itself. Each attribute is one value that is replaced whole.

    Attributes:
        beat_at_s: when the loop last turned; None before it starts, while the model is loaded.
        assigned: whether the group has said which partitions are this worker's. They may be none: then it is as ready
            as it can be, and takes over when another leaves.
        recovered: whether the states of those partitions are here.
        warm: whether the model has done its work once.
        group_at_s: when the group last answered a heartbeat as a member's; None before it has.
        unacked_since_s: since when the oldest event waits that is applied and not yet durable; None if there is none.
    """

    def __init__(self, bounds: Bounds, clock: Callable[[], float] = time.monotonic) -> None:
        self._bounds, self._clock = bounds, clock
        self.beat_at_s: float | None = None
        self.assigned = self.recovered = self.warm = False
        self.unacked_since_s: float | None = None
        self.group_at_s: float | None = None

    def hear_group(self) -> None:
        """The group takes this worker for a member. Called by the consumer's thread."""
        self.group_at_s = self._clock()

    def beat(self) -> None:
        """The event loop turns."""
        self.beat_at_s = self._clock()

    def beat_age_s(self) -> float:
        """Seconds since the loop last turned, 0 before it starts."""
        beat_at_s = self.beat_at_s
        return 0.0 if beat_at_s is None else self._clock() - beat_at_s

    def commit_age_s(self) -> float:
        """Age of the oldest event that is applied and not durable, 0 if there is none."""
        since_s = self.unacked_since_s
        return 0.0 if since_s is None else max(0.0, self._clock() - since_s)

    def live(self) -> list[Check]:
        """`/healthz`: does the loop turn? A worker that fails this for long is to be killed."""
        return [loop_check(self.beat_at_s, self._clock(), self._bounds.max_beat_age_s)]

    def ready(self) -> list[Check]:
        """`/readyz`: does it take in its share of the events, and make them durable?"""
        return [*self.live(), *self._at_work()]

    def _at_work(self) -> Iterator[Check]:
        age_s, most_s = self.commit_age_s(), self._bounds.max_commit_age_s
        yield Check("model", self.warm, "warm" if self.warm else "loading")
        yield self._group()
        yield Check("assigned", self.assigned, "yes" if self.assigned else "waiting for the group")
        yield Check("recovered", self.recovered, "yes" if self.recovered else "reading the changelog")
        yield Check("commit_age", age_s <= most_s, f"{age_s:.1f} s, at most {most_s:g}")

    def _group(self) -> Check:
        """A worker that is cut off from Kafka has nothing to commit, and would look idle."""
        at_s, most_s = self.group_at_s, self._bounds.max_group_age_s
        if at_s is None:
            return Check("group", False, "no answer yet")
        age_s = self._clock() - at_s
        return Check("group", age_s <= most_s, f"answered {age_s:.1f} s ago, at most {most_s:g}")
