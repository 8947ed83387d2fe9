"""`interest offsets`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from stream_app.commands.options import (
    ConfigOption,
    GenerationOption,
    GroupOption,
    JsonOption,
    KafkaOption,
    settings_of,
)
from stream_app.commands.output import FINDING, out, print_json

if TYPE_CHECKING:
    from stream_app.contracts.standing import Standing

ANSWER_S = 5.0

app = typer.Typer(no_args_is_help=True, help="Where the group stands in the input topics, and what it has missed.")


@app.command()
def show(
    kafka: KafkaOption = None,
    group: GroupOption = None,
    generation: GenerationOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Next offset, first and end of every input partition. Exits with 1 if records are gone that were not read."""
    from stream_app import offsets
    from stream_app.contracts.standing import fault_of

    found = offsets.standings(settings_of(kafka=kafka, group=group, generation=generation, config=config))
    if as_json:
        print_json([{**asdict(one), "gone": one.gone} for one in found])
    else:
        _print(found)
        out.print(fault_of(found) or "[green]nothing is missing[/]", soft_wrap=True)
    raise typer.Exit(FINDING if fault_of(found) else 0)


@app.command("accept-loss")
def accept_loss(
    kafka: KafkaOption = None,
    group: GroupOption = None,
    generation: GenerationOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on without the records that Kafka deleted before they were read. All workers must be stopped.

    It moves the committed offsets of just those partitions to the first record that is left, and holds for no later
    loss. It waits until workers that stopped themselves have left the group.
    """
    from stream_app import offsets

    settings = settings_of(kafka=kafka, group=group, generation=generation, config=config)
    accepted = offsets.accept_loss(settings, settings.kafka.session_timeout_s + ANSWER_S)
    if as_json:
        print_json([{**asdict(one), "gone": one.gone} for one in accepted])
        return
    for one in accepted:
        out.print(
            f"{one.topic}[{one.partition}]: {one.gone:,} records given up, from offset {one.next} to {one.first - 1}",
            markup=False,
        )
    if not accepted:
        out.print("nothing is missing")


def _print(found: "list[Standing]") -> None:
    from rich.table import Table

    table = Table("topic", "partition", "next", "first", "end", "gone", box=None)
    for one in found:
        table.add_row(one.topic, *map(str, (one.partition, one.next, one.first, one.end, one.gone)))
    out.print(table)
