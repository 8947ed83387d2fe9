"""The end of a demo: are all events accounted for?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from stream_app.demo.meter import NOT_NEW, Reading, quantile
from stream_app.demo.view import milliseconds
from stream_app.replay import Replayed

SKIPPED = ("duplicate", "superseded", "forgotten")


@dataclass(frozen=True)
class Tally:
    """What a scenario counts beside events: items of which something was said, those of which the catalogue service has
    not told what was said last, and its own figures, for people and for scripts."""

    items: int
    unheard: int
    figures: Mapping[str, str]
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Account:
    """What was sent against what became of it."""

    sent: Replayed
    end: Reading
    tally: Tally | None = None

    @property
    def applied(self) -> int:
        return self.end.outcomes.get("applied", 0)

    @property
    def skipped(self) -> int:
        """Duplicates, and events overtaken by a newer rating, follow or erasure."""
        return sum(self.end.outcomes.get(outcome, 0) for outcome in SKIPPED)

    @property
    def dead_lettered(self) -> int:
        return self.end.outcomes.get("dead_lettered", 0)

    @property
    def accounted(self) -> int:
        return self.applied + self.skipped + self.dead_lettered

    @property
    def complete(self) -> bool:
        return self.accounted == self.sent.user_events and not (self.tally and self.tally.unheard)

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        p50, p99 = (quantile(self.end.latency, share) for share in (0.5, 0.99))
        return {
            "complete": self.complete,
            "sent": self.sent.events,
            "sent_by_kind": self.sent.by_kind,
            "applied": self.applied,
            "skipped": self.skipped,
            "dead_lettered": self.dead_lettered,
            "redelivered": self.end.outcomes.get(NOT_NEW, 0),
            "users": self.end.users,
            "recommendations": self.end.recommendations,
            "seconds": round(self.sent.seconds, 3),
            "event_to_redis_p50_ms": p50 and round(p50 * 1000, 2),
            "event_to_redis_p99_ms": p99 and round(p99 * 1000, 2),
            **self._tallied(),
        }

    def table(self) -> Table:
        """For people."""
        kinds = ", ".join(f"{count:,} {kind}s" for kind, count in self.sent.by_kind.items())
        p50, p99 = (milliseconds(quantile(self.end.latency, share)) for share in (0.5, 0.99))
        table = Table(title="summary", show_header=False)
        table.add_column(style="dim")
        table.add_column(justify="right")
        table.add_row("sent", f"{self.sent.events:,}")
        table.add_row("", kinds)
        table.add_row("applied", f"{self.applied:,}")
        table.add_row("skipped: duplicate, superseded, forgotten", f"{self.skipped:,}")
        table.add_row("dead-lettered", f"{self.dead_lettered:,}")
        table.add_section()
        sign = "[green]all accounted for[/]" if self.complete else "[bold red]not all accounted for[/]"
        table.add_row(sign, f"{self.accounted:,} of {self.sent.user_events:,}")
        if self.tally:
            heard = self.tally.items - self.tally.unheard
            table.add_row("items that the catalogue service has told of", f"{heard:,} of {self.tally.items:,}")
        table.add_row("events/s, as sent", f"{self.sent.events_per_second:,.0f}")
        table.add_row("event to Redis, p50 and p99", f"{p50}, {p99}")
        table.add_row("users, recommendations", f"{self.end.users:,}, {self.end.recommendations:,}")
        if self.tally:
            table.add_section()
            for name, value in self.tally.figures.items():
                table.add_row(name, value)
        return table

    def _tallied(self) -> dict[str, Any]:
        if self.tally is None:
            return {}
        return {"items": self.tally.items, "items_unheard": self.tally.unheard, "scenario": dict(self.tally.document)}
