"""`interest rebuild-redis`."""

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.commands.options import (
    ConfigOption,
    GenerationOption,
    GroupOption,
    JsonOption,
    KafkaOption,
    ModelsOption,
    PartitionsOption,
    RedisOption,
    settings_of,
)
from stream_app.commands.output import err, out, print_json
from stream_app.commands.serving import for_serving, ready_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.rebuild import Rebuilt

PLAIN_EVERY_S = 5.0


def rebuild_redis(
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    models: ModelsOption = None,
    group: GroupOption = None,
    generation: GenerationOption = None,
    partitions: PartitionsOption = None,
    config: ConfigOption = None,
    recommendations: Annotated[
        bool, typer.Option(help="Also each user's latest recommendation, from its topic, which is read whole.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be written, and write nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Refill Redis from the state table: after it came back empty, or from an older replica or backup.

    Workers may run meanwhile: what they write is newer, and stays. Run it as often as you like; only what Redis lacks,
    or has in an older version or by another model, is written.

    Examples:

    - `interest rebuild-redis --dry-run`
    - `interest rebuild-redis --redis redis://new-primary:6379/0`
    """
    settings = for_serving(
        generation,
        settings_of(kafka=kafka, redis=redis, models=models, group=group, partitions=partitions, config=config),
    )
    model = ready_model(settings)
    from stream_app.rebuild import rebuild

    with _Progress() as progress:
        done = rebuild(settings, model, recommendations=recommendations, dry_run=dry_run, progress=progress)
    _report(done, dry_run, as_json)


class _Progress:
    """A bar on a terminal, a line now and then elsewhere; yields what `rebuild` calls."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._bar = Progress(
            TextColumn("changelog"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[written]:,} users written, {task.fields[rate]:,.0f} users/s"),
            console=err,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("changelog", total=None, written=0, rate=0.0)
        self._said_s = time.monotonic()

    def __enter__(self) -> "Callable[[Rebuilt], None]":
        self._bar.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _show(self, done: "Rebuilt") -> None:
        self._bar.update(
            self._task, completed=done.records, total=done.of, written=done.written, rate=done.users_per_second
        )
        now_s = time.monotonic()
        if self._bar.disable and now_s - self._said_s >= PLAIN_EVERY_S:
            self._said_s = now_s
            err.print(
                f"changelog {done.records:,} of {done.of:,} records, {done.written:,} users written, "
                f"{done.users_per_second:,.0f} users/s",
                markup=False,
            )


def _report(done: "Rebuilt", dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(done), "users_per_second": round(done.users_per_second, 1), "dry_run": dry_run})
        return
    verb = "would be written" if dry_run else "written"
    asides = (done.erased, "erased"), (done.expired, "expired"), (done.unknown, "in Redis alone")
    others = "".join(f", {count:,} {what}" for count, what in asides if count)
    out.print(
        f"{done.users:,} users in the state table{others}: {done.written:,} {verb}, "
        f"{done.recommendations:,} recommendations found; {done.seconds:.1f} s, {done.users_per_second:,.0f} users/s"
    )
