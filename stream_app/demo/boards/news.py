"""The newsroom's board: how old what is recommended is, what breaks, and that nothing withdrawn is recommended."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from stream_app.demo.boards.board import HOUR_MS, Board, hours
from stream_app.demo.ledger import Ledger, Trace
from stream_app.demo.view import bar
from stream_app.scenarios.story import Story

BOUNDS_H = (0, 1, 2, 4, 8, 16, 24)
BREAKS = 1.5
"""A topic that draws so many times as much as on a quiet day is one that breaks."""


class NewsBoard(Board):
    title = "newsroom"

    def __init__(self, ledger: Ledger, story: Story) -> None:
        super().__init__(ledger)
        self._story = story

    def figures(self) -> Mapping[str, str]:
        ages = self.ledger.ages_ms((0.5, 0.9))
        p50, p90 = map(hours, ages) if ages else ("-", "-")
        return {
            "articles now": f"{self.ledger.alive():,}",
            "median age of what is recommended": p50,
            "90 % are younger than": p90,
            **self.withdrawals(),
        }

    def document(self) -> dict[str, Any]:
        ages = self.ledger.ages_ms((0.5, 0.9, 1.0))
        p50, p90, oldest = (round(age / HOUR_MS, 2) for age in ages) if ages else (None, None, None)
        return {
            "new_items": len(self.ledger.new()),
            "age_p50_h": p50,
            "age_p90_h": p90,
            "age_oldest_h": oldest,
            **self.withdrawals_document(),
        }

    def picture(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        table.add_row(self._ages(), self._breaking())
        return table

    def label(self, _item_id: str, trace: Trace) -> str:
        return f"{trace.title}  ({hours(max(0, self.ledger.now_ms - trace.published_ms))} old)"

    def _ages(self) -> Table:
        ages = self.ledger.recent_ages_ms()
        counts = [
            sum(low * HOUR_MS <= age < high * HOUR_MS for age in ages) / max(1, len(ages))
            for low, high in pairwise(BOUNDS_H)
        ]
        table = Table.grid(padding=(0, 1))
        table.add_row(Text("age of what is recommended now", style="italic"))
        for (low, high), share in zip(pairwise(BOUNDS_H), counts, strict=True):
            table.add_row(Text(f"{low} to {high} h"), Text(bar(share), style="cyan"), Text(f"{share:6.1%}"))
        return table

    def _breaking(self) -> Text:
        topic, height = self._story.hottest(self.ledger.now_ms)
        if height < BREAKS:
            return Text("nothing breaks", style="dim")
        return Text.assemble(
            "breaking: ", (topic, "bold red"), f", drawing {height:.1f} times as much as on a quiet day"
        )
