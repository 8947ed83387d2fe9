"""An explanation on a terminal: pure functions to rich renderables."""

from collections.abc import Iterator

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stream_app.words.explanation import Explanation
from stream_app.words.facts import Facts, Recommended


def paragraph_panel(explanation: Explanation, user_id: str) -> Panel:
    """The paragraph, and who made it of what."""
    made = f"version {explanation.version}, by {explanation.made_by}"
    return Panel(Text(explanation.text), title=Text(f"user {user_id}"), subtitle=Text(made), padding=(1, 2))


def facts_table(facts: Facts) -> Table:
    """What it is made from, a line for each fact."""
    table = Table(box=None, pad_edge=False, title="made from", title_justify="left")
    table.add_column("", style="dim")
    table.add_column("")
    table.add_column("")
    for line in _lines(facts):
        table.add_row(*map(Text, line))
    return table


def _lines(facts: Facts) -> Iterator[tuple[str, str, str]]:
    for name, weight in facts.topics:
        yield "topic", name, f"{weight:.1%}"
    if facts.counts:
        counts = facts.counts
        yield "window", counts.window, f"{counts.clicks} clicks, {counts.ratings} ratings, {counts.follows} follows"
    for item in facts.clicked:
        yield "clicked", item.name, ""
    for one in facts.recommended:
        yield "recommended", one.item.name, _why(one)


def _why(one: Recommended) -> str:
    return ", ".join(filter(None, [one.facet, one.topic, f"clicked {one.because.name}" if one.because else ""]))
