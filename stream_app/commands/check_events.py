"""`interest check-events`."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

from stream_app.commands.options import ConfigOption, KafkaOption, settings_of
from stream_app.commands.output import FINDING, OK, err, out

if TYPE_CHECKING:
    from stream_app.checking.findings import Finding, Tally
    from stream_app.checking.sources import Helpings
    from stream_app.contracts.validity import Limits
    from stream_app.settings import Settings

QUIET_S, PLAIN_EVERY_S, TERMINAL_EVERY_S = 2.0, 5.0, 0.2
KindOption = Literal["click", "follow", "rating", "erasure", "item"]


def check_events(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="File with one JSON event a line, - for standard input, or a topic."),
    ],
    kafka: KafkaOption = None,
    config: ConfigOption = None,
    kind: Annotated[KindOption | None, typer.Option(help="Of all events; without it each tells.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Topic: about the last so many records, not all.")] = None,
    most: Annotated[int | None, typer.Option("--max", min=1, help="Stop after so many events.")] = None,
    show: Annotated[int, typer.Option(min=0, help="Show so many findings of each sort; all are counted.")] = 3,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 over warnings, too.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each finding, and one with the sum.")
    ] = False,
) -> None:
    """Say of each event whether a worker takes it, and if not, what is wrong and how to mend it.

    The verdicts are those of the workers' own decoder, with the limits of the settings. An event of a file tells its
    kind in a field `kind` or `topic`, or by its fields; a line may be a CloudEvent. Warnings are about what is taken,
    but probably not meant so. Exits with 1 if an event is not taken.

    Examples:

    - `interest check-events events.jsonl`
    - `my-producer --dry-run | interest check-events - --kind click`
    - `interest check-events interest.clicks --kafka localhost:9092 --last 10000`
    """
    from stream_app.checking.check import Check
    from stream_app.checking.findings import Severity, Tally

    settings = settings_of(kafka=kafka, config=config)
    tally, shown, started = Tally(), _Shown(show, as_json), time.monotonic()
    with _events(source, settings, kafka, kind or "", last, most) as (helpings, limits), _Telling(tally) as tell:
        check = Check(limits)
        for helping in helpings:
            found = check.findings(helping, int(time.time() * 1000))
            tally.add(len(helping), found)
            shown.add(found)
            tell()
    at_the_end = check.at_the_end()
    tally.add(0, at_the_end)
    shown.add(at_the_end)
    (_print_json if as_json else _print)(tally, time.monotonic() - started)
    warned = any(row.severity is Severity.WARNING for row in tally.rows.values())
    raise typer.Exit(FINDING if tally.bad or (strict and warned) else OK)


@contextmanager
def _events(
    source: str, settings: "Settings", kafka: str | None, kind: str, last: int | None, most: int | None
) -> "Iterator[tuple[Helpings, Limits]]":
    """The events, and what is valid there."""
    from dataclasses import replace

    from stream_app.checking import sources
    from stream_app.intake import limits_of

    limits = limits_of(settings)
    if kafka is None and (source == "-" or Path(source).is_file()):
        if last:
            raise typer.BadParameter("only a topic has a last part: use tail", param_hint="--last")
        with _opened(source) as lines:
            yield sources.of_lines(lines, kind, most), replace(limits, partitions=1)
        return
    kind = kind or sources.kind_of_topic(source, settings.kafka.topics)
    if not kind:
        what = "no file" if kafka is None else "no input topic of the settings"
        raise typer.BadParameter(f"{source} is {what}; of another topic give --kafka and --kind", param_hint="SOURCE")
    limits = sources.limits_in(settings, source, limits)
    yield sources.of_topic(settings, source, kind, last, most), limits


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        yield sys.stdin.buffer
    else:
        with Path(source).open("rb") as lines:
            yield lines


class _Shown:
    """Shows the first findings of each sort."""

    def __init__(self, most: int, as_json: bool) -> None:
        self._most, self._as_json = most, as_json
        self._counts: dict[str, int] = {}

    def add(self, findings: "Sequence[Finding]") -> None:
        """As they are found."""
        for one in findings:
            if self._as_json:
                sys.stdout.write(json.dumps(_document(one), ensure_ascii=False) + "\n")
                continue
            count = self._counts[one.fault.code] = self._counts.get(one.fault.code, 0) + 1
            if count <= self._most:
                _print_finding(one)


def _document(one: "Finding") -> dict[str, str]:
    fault = one.fault
    told = {"reason": fault.code, "field": fault.field, "message": fault.message, "mend": fault.mend}
    return {"severity": one.severity.value, "where": one.where, **told, "snippet": one.snippet}


def _print_finding(one: "Finding") -> None:
    from rich.markup import escape

    colour = "red" if one.severity.value == "error" else "yellow"
    head = f"[bold]{escape(one.where)}[/]  [{colour}]{one.severity.value}: {one.fault.code}[/]"
    out.print(f"{head}  {escape(one.fault.message)}", soft_wrap=True)
    out.print(f"  [green]mend:[/] {escape(one.fault.mend)}", soft_wrap=True)
    if one.snippet:
        out.print(f"  [dim]{escape(one.snippet)}[/]", soft_wrap=True)


def _print_json(tally: "Tally", seconds: float) -> None:
    rows = [
        {"severity": row.severity.value, "reason": row.code, "count": row.count, "first": row.first}
        for row in tally.sorted_rows()
    ]
    told = {"events": tally.events, "bad": tally.bad, "with_warnings": tally.odd, "seconds": round(seconds, 3)}
    sys.stdout.write(json.dumps({"summary": {**told, "reasons": rows}}, ensure_ascii=False) + "\n")


def _print(tally: "Tally", seconds: float) -> None:
    from rich.table import Table

    if tally.rows:
        table = Table("", "reason", "events", "first", box=None)
        for row in tally.sorted_rows():
            table.add_row(row.severity.value, row.code, f"{row.count:,}", row.first)
        out.print()
        out.print(table)
    rate = tally.events / max(seconds, 1e-9)
    colour = "red" if tally.bad else "yellow" if tally.rows else "green"
    told = f"{tally.events:,} events: {tally.events - tally.bad:,} good, {tally.bad:,} bad, {tally.odd:,} with warnings"
    out.print(f"[{colour}]{told}[/] [dim]({seconds:.1f} s, {rate:,.0f} events/s)[/]")


class _Telling:
    """How far it is, on standard error, once it takes longer: on a terminal in place, elsewhere a line now and then."""

    def __init__(self, tally: "Tally") -> None:
        self._tally, self._started = tally, time.monotonic()
        self._next = self._started + QUIET_S
        self._status = err.status("checking")
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> "_Telling":
        return self

    def __call__(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (TERMINAL_EVERY_S if self._terminal else PLAIN_EVERY_S)
        rate = self._tally.events / (now - self._started)
        told = f"{self._tally.events:,} events checked, {self._tally.bad:,} bad, {rate:,.0f} events/s"
        if self._terminal:
            self._status.update(told)
            self._status.start()
        else:
            err.print(told, markup=False)

    def __exit__(self, *_: object) -> None:
        self._status.stop()
