"""When and how dirty states become durable, and which slabs may then be acknowledged.

The order that everything rests on: applied in memory -> effects done (Redis, recommendations, dead letters) -> states
acknowledged by the changelog -> slabs done -> offsets committed. A crash anywhere repeats what is not committed, and
the offsets inside the states tell the repeated events from new ones.
"""

from dataclasses import dataclass

from stream_app.settings import Flush

MAX_REST_S = 5.0
"""Longest wait between flushes, whatever the last one took: bounds what a crash repeats."""


@dataclass(frozen=True, slots=True)
class LastFlush:
    """When the last flush ended, and how long it took."""

    ended_at_s: float
    took_s: float


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """Flush every interval; under a backlog less often, so that only a share of the time is spent on it.

    Users are then dirty again at once, and frequent flushes would write each of them many times, while nobody waits
    for a commit.
    """

    interval_s: float
    max_touched_users: int
    duty: float

    @staticmethod
    def of(settings: Flush) -> "FlushPolicy":
        return FlushPolicy(settings.interval_s, settings.max_touched_users, settings.duty)

    def due_at(self, ended_at_s: float, took_s: float, behind: bool) -> float:
        """When the next flush is due, after one that ended at `ended_at_s` (any monotonic clock) and took `took_s`.

        `behind`: whether events are waiting.
        """
        rest = took_s * (1.0 - self.duty) / self.duty if behind else 0.0
        return ended_at_s + min(max(self.interval_s, rest), MAX_REST_S)

    def should_flush(self, now_s: float, last: LastFlush, unacked_events: int, touched: int, behind: bool) -> bool:
        """Whether to flush now.

        Args:
            unacked_events: applied since the last snapshot.
            touched: users touched since the last snapshot, repeats counted; an upper bound of the dirty ones. Some may
                be without an event: their states are to be written again.
            behind: whether events are waiting.
        """
        if unacked_events == 0 and touched == 0:
            return False
        return now_s >= self.due_at(last.ended_at_s, last.took_s, behind) or touched >= self.max_touched_users
