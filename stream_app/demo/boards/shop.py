"""The shop's board: new products, recommended before anybody has clicked them, and discounts that end."""

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from stream_app.demo.boards.board import Board, median, seconds
from stream_app.demo.ledger import Trace

SHOWN = 6


class ShopBoard(Board):
    title = "shop"

    def figures(self) -> Mapping[str, str]:
        new = self.ledger.new()
        took = median(_took_ms(trace) for trace in new if trace.offered_ms is not None)
        return {
            "new products": f"{len(new):,}",
            "recommended before their first click": f"{sum(trace.offered_first for trace in new):,}",
            "recommended at all": f"{sum(trace.offered_ms is not None for trace in new):,}",
            "from the word to the first recommendation, median": seconds(took) if took is not None else "-",
            **self.withdrawals(),
        }

    def document(self) -> dict[str, Any]:
        new = self.ledger.new()
        return {
            "new_items": len(new),
            "new_items_recommended": sum(trace.offered_ms is not None for trace in new),
            "new_items_recommended_before_first_click": sum(trace.offered_first for trace in new),
            "told_to_first_recommendation_p50_ms": median(
                _took_ms(trace) for trace in new if trace.offered_ms is not None
            ),
            **self.withdrawals_document(),
        }

    def picture(self) -> RenderableType:
        title = "new products recommended before their first click, the latest, and others"
        table = Table(box=None, pad_edge=False, title=title, title_justify="left", expand=True)
        table.add_column("product", ratio=4, no_wrap=True)
        table.add_column("category", ratio=1, no_wrap=True)
        table.add_column("first recommended", justify="right")
        table.add_column("first click", justify="right")
        for trace in sorted(self.ledger.new(), key=_told_of, reverse=True)[:SHOWN]:
            table.add_row(
                escape(trace.title), ", ".join(trace.topics), _since(trace, trace.offered_ms),
                _since(trace, trace.clicked_ms),
            )  # fmt: skip
        return table

    def label(self, _item_id: str, trace: Trace) -> str:
        if trace.is_new and trace.clicked_ms is None:
            return f"{trace.title}  (new, nobody has clicked it)"
        return f"{trace.title}  (new)" if trace.is_new else trace.title


def _told_of(trace: Trace) -> tuple[bool, int]:
    """What is worth more to be shown, and is later."""
    return trace.offered_first, (trace.offered_ms if trace.offered_first else trace.told_ms) or 0


def _took_ms(trace: Trace) -> int:
    return (trace.offered_ms or 0) - (trace.told_ms or 0)


def _since(trace: Trace, moment_ms: int | None) -> str:
    return "not yet" if moment_ms is None else f"after {seconds(moment_ms - (trace.told_ms or 0))}"
