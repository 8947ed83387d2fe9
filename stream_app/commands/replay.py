"""`interest replay`."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.commands.data import SCENARIO_NAMES, FieldOption, KindOption, load_data
from stream_app.commands.options import ConfigOption, JsonOption, KafkaOption, settings_of
from stream_app.commands.output import err, out, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.event_files import Shape
    from stream_app.replay import Replayed
    from stream_app.sources import Source

PLAIN_EVERY_S = 5.0


def replay(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Folder of a data set; FILE.jsonl with one event a line; ml-100k, fetched if need be; synthetic; or"
            " shop, social, news: the late part of a scenario, which is made up, its items ahead and among the events.",
        ),
    ],
    kafka: KafkaOption = None,
    config: ConfigOption = None,
    name: Annotated[str | None, typer.Option(help="Which data set, where the folder holds several.")] = None,
    events: Annotated[int | None, typer.Option(min=1, help="Stop after so many events.")] = None,
    rate: Annotated[float, typer.Option(min=0, help="Events a second; 0 is as fast as possible.")] = 0.0,
    speedup: Annotated[float, typer.Option(min=0, help="As many times as fast as the events happened.")] = 0.0,
    run_id: Annotated[str, typer.Option(help="Another id makes the same events new ones, not duplicates.")] = "1",
    follows: Annotated[bool, typer.Option(help="Simulate follows, which no public data set has times for.")] = True,
    catalogue: Annotated[
        bool,
        typer.Option(
            "--with-items/--without-items", help="Send a data set's items first, for `interest catalog` to describe."
        ),
    ] = False,
    field: FieldOption = None,
    kind: KindOption = None,
    users: Annotated[int, typer.Option(min=1, help="Synthetic: users.")] = 20_000,
    items: Annotated[int, typer.Option(min=1, help="Synthetic: items.")] = 5_000,
    zipf: Annotated[float, typer.Option(min=0, help="Synthetic: skew of users and items; 0 is uniform.")] = 1.1,
    seed: Annotated[int, typer.Option(min=0, help="Synthetic: of the random numbers.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Send events to Kafka: real data, a file, or synthetic ones.

    Each interaction of a data set becomes a click and a rating. Event ids are the same in each replay; a user
    remembers the last 16, so only the end of a second one is duplicates. --run-id makes all of them new.

    Examples:

    - `interest replay ml-100k --events 20000 --rate 2000`
    - `interest replay ./movietweetings --name movietweetings-10k --speedup 10000`
    - `interest replay ml-100k --with-items`
    - `interest replay news --rate 500`
    - `interest replay events.jsonl`
    - `interest replay log.jsonl --field user_id=uid --field item_id=product --field ts=time`
    - `interest replay synthetic --events 1000000 --users 50000 --zipf 1.2`
    """
    if rate and speedup:
        raise typer.BadParameter("give --rate or --speedup, not both", param_hint="--rate")
    from stream_app.event_files import shape_of
    from stream_app.replay import Pace
    from stream_app.replay import replay as send
    from stream_app.sources import synthetic

    settings = settings_of(kafka=kafka, config=config)
    if source == "synthetic":
        chosen = synthetic(events or 100_000, users, items, zipf, seed, run_id)
    else:
        chosen = open_source(
            source, name, run_id, follows, settings.data_dir, items=catalogue, shape=shape_of(field or [], kind)
        ).first(events)
    for note in chosen.notes:
        err.print(f"[dim]{note}[/]", soft_wrap=True)
    with progress_of(chosen) as progress:
        done = send(chosen, settings, Pace(rate, speedup), progress=progress)
    _report(chosen, done, as_json)


def open_source(
    source: str,
    name: str | None,
    run_id: str,
    follows: bool,
    data_dir: Path,
    *,
    items: bool = False,
    shape: "Shape | None" = None,
) -> "Source":
    """A file of events, whose lines have that `shape`; or a data set: in a folder, or MovieLens 100K from wherever it
    can be had."""
    from stream_app.event_files import AS_THEY_ARE, from_jsonl
    from stream_app.sources import from_interactions

    if Path(source).is_file():
        return from_jsonl(Path(source), shape or AS_THEY_ARE, run_id)
    if source in SCENARIO_NAMES and not Path(source).is_dir():
        from stream_app.scenarios.known import SCENARIOS

        return SCENARIOS[source].story().whole(run_id)
    return from_interactions(load_data(source, name, data_dir), run_id, follows=follows, items=items)


class progress_of:  # noqa: N801  # reads as a function: `with progress_of(source) as progress`
    """A bar with rate and time left on a terminal, a line now and then elsewhere; yields what `replay` calls."""

    def __init__(self, source: "Source") -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>9,.0f} events/s"),
            TimeRemainingColumn(),
            console=err,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task(source.name, total=source.events, rate=0.0)
        self._name = source.name
        self._started = self._said = time.monotonic()

    def __enter__(self) -> "Callable[[int], None]":
        self._bar.start()
        return self._advance

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _advance(self, sent: int) -> None:
        now = time.monotonic()
        rate = sent / max(now - self._started, 1e-9)
        self._bar.update(self._task, completed=sent, rate=rate)
        if self._bar.disable and now - self._said >= PLAIN_EVERY_S:
            self._said = now
            err.print(f"{self._name}: {sent:,} events sent, {rate:,.0f} events/s", markup=False)


def _report(source: "Source", done: "Replayed", as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "source": source.name,
                "events": done.events,
                "by_kind": done.by_kind,
                "seconds": round(done.seconds, 3),
                "events_per_second": round(done.events_per_second, 1),
            }
        )
        return
    kinds = ", ".join(f"{count:,} {kind}s" for kind, count in done.by_kind.items())
    out.print(f"sent {done.events:,} events ({kinds}) in {done.seconds:.1f} s: {done.events_per_second:,.0f} events/s")
