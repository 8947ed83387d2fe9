"""What all boards have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stream_app.client import InterestReader
from stream_app.contracts.recommendations import Recommendation
from stream_app.demo.ledger import WORD_MS, Ledger, Trace
from stream_app.sources import Record

SECOND_MS, HOUR_MS = 1_000, 3_600_000


class Board(ABC):
    """Figures of a scenario, from what was sent and what came back."""

    title: str

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def sent(self, _record: Record) -> None:
        """A record of the part that is played goes out. Called by the thread that sends."""
        return

    def offered(self, _made: Recommendation) -> None:
        """A worker has recommended. Called by the thread that listens."""
        return

    def look(self, _reader: InterestReader) -> None:
        """Called before each picture."""
        return

    def watched(self, active: str) -> str:
        """Whom to show; `active` is somebody who does much just now."""
        return active

    @abstractmethod
    def figures(self) -> Mapping[str, str]:
        """For people: what -> how much."""

    @abstractmethod
    def document(self) -> dict[str, Any]:
        """The same for scripts."""

    @abstractmethod
    def picture(self) -> RenderableType:
        """What is worth looking at now."""

    @abstractmethod
    def label(self, item_id: str, trace: Trace) -> str:
        """An item in a list of recommendations: its title, and what this scenario says of it."""

    def panel(self) -> Panel:
        """Picture and figures."""
        now = datetime.fromtimestamp(self.ledger.now_ms / 1000, UTC)
        return Panel(
            Group(pairs(self.figures()), Text(), self.picture()), title=f"{self.title}, {now:%A %d %B %H:%M}, synthetic"
        )

    def line(self) -> str:
        """Figures for a log."""
        return ", ".join(f"{name}: {value}" for name, value in self.figures().items())

    def labels(self, item_ids: Iterable[str]) -> dict[str, str]:
        """Of those items that are known."""
        traces = self.ledger.traces
        return {item: self.label(item, traces[item]) for item in item_ids if item in traces}

    def withdrawals(self) -> dict[str, str]:
        """What became of items that were withdrawn."""
        ledger = self.ledger
        return {
            "withdrawn": f"{ledger.withdrawn:,}",
            f"recommended more than {WORD_MS // SECOND_MS} s after withdrawal": f"{ledger.after_withdrawal:,}",
            "recommended before, the word on its way": f"{ledger.before_heard:,}",
            "longest way of a word": seconds(ledger.slowest_word_ms),
        }

    def withdrawals_document(self) -> dict[str, int]:
        ledger = self.ledger
        return {
            "withdrawn": ledger.withdrawn,
            "recommended_after_withdrawal": ledger.after_withdrawal,
            "recommended_before_word_arrived": ledger.before_heard,
            "slowest_word_ms": ledger.slowest_word_ms,
        }


def pairs(figures: Mapping[str, str]) -> Table:
    """Names and values, two pairs a line."""
    table = Table.grid(padding=(0, 3))
    cells = [Text.assemble((value, "bold green"), " ", (name, "dim")) for name, value in figures.items()]
    for start in range(0, len(cells), 2):
        table.add_row(*cells[start : start + 2])
    return table


def seconds(ms: float) -> str:
    return f"{ms / SECOND_MS:.1f} s"


def hours(ms: float) -> str:
    return f"{ms / HOUR_MS:.1f} h"


def median(values: Iterable[float]) -> float | None:
    """None of nothing."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else None
