"""`interest topics`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.commands.options import (
    ConfigOption,
    GenerationOption,
    GroupOption,
    JsonOption,
    KafkaOption,
    PartitionsOption,
    settings_of,
)
from stream_app.commands.output import FINDING, out, print_json

if TYPE_CHECKING:
    from stream_app.topics import Finding

app = typer.Typer(no_args_is_help=True, help="Make the Kafka topics, or check that they are as they must be.")


@app.command()
def create(
    kafka: KafkaOption = None,
    group: GroupOption = None,
    generation: GenerationOption = None,
    partitions: PartitionsOption = None,
    config: ConfigOption = None,
    replication: Annotated[int | None, typer.Option(min=1, help="Replicas of each partition; 3 in production.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Also set wrong topic configurations right.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the topics that are missing. Exits with 1 if something is still wrong afterwards.

    Existing topics are left as they are, unless --repair is given; partition counts are never changed.

    Example: `interest topics create --kafka kafka:9092 --partitions 48 --replication 3`
    """
    from stream_app import topics

    settings = settings_of(
        kafka=kafka,
        group=group,
        generation=generation,
        partitions=partitions,
        replication=replication,
        config=config,
    )
    created = topics.create(settings)
    repaired = topics.repair(settings) if repair else []
    findings = topics.check(settings)
    if as_json:
        print_json({"created": created, "repaired": repaired, "findings": [asdict(finding) for finding in findings]})
    else:
        _say("created", created)
        _say("repaired", repaired)
        _print_findings(findings)
    raise typer.Exit(FINDING if findings else 0)


@app.command()
def check(
    kafka: KafkaOption = None,
    group: GroupOption = None,
    generation: GenerationOption = None,
    partitions: PartitionsOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the topics: existence, partition counts, configurations. Exits with 1 if something is wrong."""
    from stream_app import topics

    findings = topics.check(
        settings_of(kafka=kafka, group=group, generation=generation, partitions=partitions, config=config)
    )
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print_findings(findings)
    raise typer.Exit(FINDING if findings else 0)


def _say(what: str, names: list[str]) -> None:
    for name in names:
        out.print(f"{what} {name}")


def _print_findings(findings: "list[Finding]") -> None:
    if not findings:
        out.print("[green]topics are as they must be[/]")
    for finding in findings:
        out.print(f"[bold red]{', '.join(finding.topics)}[/]: {finding.problem}", soft_wrap=True)
        out.print(f"  mend: {finding.mend}", soft_wrap=True)
