"""What the live view looks like: pure functions from figures to rich renderables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stream_app.client import Window
from stream_app.contracts.recommendations import Item
from stream_app.demo.person import Person

BAR_CELLS = 30
TOP_TOPICS = 8
TOP_ITEMS = 6
EIGHTHS = " ▏▎▍▌▋▊▉█"
COUNTERS = (
    ("clicks", "clicks"),
    ("ratings", "ratings"),
    ("rating_mean", "mean rating (0 to 1)"),
    ("follows", "follows"),
)


@dataclass(frozen=True)
class Now:
    """Everything on the screen. Latencies in seconds, None while unknown; `total` None while it is open-ended."""

    sent: int
    accounted: int
    total: int | None
    events_per_second: float
    p50_s: float | None
    p99_s: float | None
    users: int
    recommendations: int
    person: Person | None


def screen(
    now: Now, titles: Mapping[str, str], notes: Sequence[str], above: RenderableType | None = None
) -> RenderableType:
    """The live view; `above`: what stands above the person."""
    parts: list[RenderableType] = [_headline(now), *([above] if above else [])]
    parts.append(person_panel(now.person, titles) if now.person else Panel("waiting for the first interests"))
    parts.append(Text("  ".join([*notes, "Ctrl-C ends everything."]), style="dim"))
    return Group(*parts)


def plain_line(now: Now) -> str:
    """The same in a line, for a log."""
    of = f" of {now.total:,}" if now.total is not None else ""
    line = (
        f"{now.accounted:,}{of} events, {now.events_per_second:,.0f} events/s, event to Redis "
        f"p50 {milliseconds(now.p50_s)}, p99 {milliseconds(now.p99_s)}, {now.users:,} users"
    )
    if now.person:
        topics = ", ".join(f"{name} {weight:.0%}" for name, weight in list(now.person.interest.topics.items())[:3])
        line += f"; user {now.person.interest.user_id}: {topics}"
    return line


def milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def person_panel(person: Person, titles: Mapping[str, str]) -> Panel:
    """A user's interests, windows and latest recommendations."""
    interest = person.interest
    moment = f"{_time(interest.event_ts_ms):%Y-%m-%d %H:%M}"
    top = Table.grid(padding=(0, 3))
    top.add_row(topic_bars(interest.topics), windows_table(interest.windows))
    body: list[RenderableType] = [top]
    if person.recommendation:
        body += [Text(), items_table(person.recommendation.items, titles)]
    title = f"user {escape(interest.user_id)}: {interest.events:,} events, the last of {moment}"
    return Panel(Group(*body), title=title, subtitle=f"version {interest.version}, model {escape(interest.model)}")


def topic_bars(topics: Mapping[str, float]) -> Table:
    """Named interests as bars; the longest possible bar is a weight of 1, stretched so that the largest fills it."""
    table = Table.grid(padding=(0, 1))
    largest = max(topics.values(), default=1.0) or 1.0
    for name, weight in list(topics.items())[:TOP_TOPICS]:
        table.add_row(Text(name), Text(bar(weight / largest), style="cyan"), Text(f"{weight:6.1%}"))
    return table


def bar(share: float, cells: int = BAR_CELLS) -> str:
    """A bar of `share` (0..1) of the cells, to an eighth of a cell, padded to all of them."""
    eighths = round(min(max(share, 0.0), 1.0) * cells * 8)
    full, rest = divmod(eighths, 8)
    return (EIGHTHS[8] * full + (EIGHTHS[rest] if rest else "")).ljust(cells)


def windows_table(windows: Mapping[str, Window]) -> Table:
    """Rolling counters: one column a window."""
    table = Table(box=None, pad_edge=False, title="windows up to the last event")
    table.add_column("")
    for name in windows:
        table.add_column(name, justify="right")
    for key, label in COUNTERS:
        table.add_row(label, *(_counter(getattr(window, key)) for window in windows.values()))
    return table


def _counter(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.2f}"


def items_table(items: Sequence[Item], titles: Mapping[str, str]) -> Table:
    """Recommended items, best first, with reasons."""
    table = Table(box=None, pad_edge=False, title="recommended now", title_justify="left", expand=True)
    table.add_column("", justify="right")
    table.add_column("item", ratio=3, no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("because", ratio=4, no_wrap=True)
    for place, item in enumerate(items[:TOP_ITEMS], start=1):
        title = escape(titles.get(item.item_id, item.item_id))
        table.add_row(str(place), title, f"{item.score:.2f}", escape(because(item, titles)))
    return table


def because(item: Item, titles: Mapping[str, str]) -> str:
    """The reason of a recommendation, in words."""
    words: list[str] = [item.reason.facet]
    if item.reason.topic:
        words.append(item.reason.topic)
    if item.reason.because_item:
        words.append(f"clicked {titles.get(item.reason.because_item, item.reason.because_item)}")
    return ", ".join(words)


def _headline(now: Now) -> Table:
    """Figures above their names: side by side they would need more than 80 columns."""
    progress = f"{now.accounted:,}" + (f" of {now.total:,}" if now.total is not None else "")
    figures = {
        "events": progress,
        "events/s": f"{now.events_per_second:,.0f}",
        "to Redis, p50": milliseconds(now.p50_s),
        "p99": milliseconds(now.p99_s),
        "users": f"{now.users:,}",
        "recommendations": f"{now.recommendations:,}",
    }
    table = Table.grid(padding=(0, 2))
    table.add_row(*(Text(value, "bold green", no_wrap=True) for value in figures.values()))
    table.add_row(*(Text(name, "dim", no_wrap=True) for name in figures))
    return table


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
