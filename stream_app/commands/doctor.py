"""`interest doctor`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

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
from stream_app.commands.output import FINDING, out, print_json
from stream_app.commands.serving import for_serving

if TYPE_CHECKING:
    from stream_app.doctor import Check

SIGNS = {True: "[green]ok  [/]", False: "[bold red]bad [/]", None: "[dim]--  [/]"}


def doctor(
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    models: ModelsOption = None,
    group: GroupOption = None,
    generation: GenerationOption = None,
    partitions: PartitionsOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Is everything there that a worker needs? One line each, with the mend. Exits with 1 if something is wrong.

    Kafka, its topics, Redis, the clock, and a published model whose checksums match.
    """
    from stream_app.doctor import examine

    settings = for_serving(
        generation,
        settings_of(kafka=kafka, redis=redis, models=models, group=group, partitions=partitions, config=config),
    )
    checks = []
    for check in examine(settings):
        checks.append(check)
        if not as_json:
            _print(check)
    if as_json:
        print_json([asdict(check) for check in checks])
    raise typer.Exit(FINDING if any(check.ok is False for check in checks) else 0)


def _print(check: "Check") -> None:
    out.print(f"{SIGNS[check.ok]}[bold]{check.name:<21}[/] {escape(check.detail)}", soft_wrap=True)
    if check.mend:
        out.print(f"    {'':<21} [yellow]mend:[/] {escape(check.mend)}", soft_wrap=True)
