"""Options that several commands take, and the settings that they override."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import typer

if TYPE_CHECKING:
    from stream_app.settings import Settings

KafkaOption = Annotated[
    str | None,
    typer.Option("--kafka", metavar="HOST:PORT", help="Kafka to use, several with commas.", rich_help_panel="Where"),
]
RedisOption = Annotated[
    str | None,
    typer.Option("--redis", metavar="URL", help="Redis to use: redis://HOST:PORT/0.", rich_help_panel="Where"),
]
ModelsOption = Annotated[
    str | None,
    typer.Option(
        "--models", metavar="URL", help="Model store: a folder, or s3:// and the like.", rich_help_panel="Where"
    ),
]
GroupOption = Annotated[
    str | None,
    typer.Option("--group", help="Consumer group; names the state's changelog too.", rich_help_panel="Where"),
]
GenerationOption = Annotated[
    int | None,
    typer.Option("--generation", min=1, help="Which generation's.", rich_help_panel="Where"),
]
PartitionsOption = Annotated[
    int | None,
    typer.Option("--partitions", min=1, help="Partitions of the inputs and the changelog.", rich_help_panel="Where"),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="TOML file of settings; also INTEREST_CONFIG.", rich_help_panel="Where"
    ),
]
MetricsPortOption = Annotated[int | None, typer.Option("--metrics-port", help="Port of /metrics; 0 takes a free one.")]
LogLevelOption = Annotated[
    Literal["debug", "info", "warning", "error"] | None, typer.Option("--log-level", help="What is logged at least.")
]
JsonLogsOption = Annotated[bool, typer.Option("--json-logs", help="One JSON object a log line.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]


def settings_of(
    *,
    kafka: str | None = None,
    redis: str | None = None,
    models: str | None = None,
    group: str | None = None,
    partitions: int | None = None,
    replication: int | None = None,
    generation: int | None = None,
    config: Path | None = None,
    **sections: dict[str, Any],
) -> "Settings":
    """Settings with what was given on the command line on top; None leaves a setting as it is."""
    import os

    from stream_app.settings import load

    if config is not None:
        if not config.is_file():
            raise typer.BadParameter(f"{config} is not a file", param_hint="--config")
        os.environ["INTEREST_CONFIG"] = str(config)
    if redis and urlsplit(redis).password:
        raise typer.BadParameter(
            "no password on the command line, where all can read it: set INTEREST_REDIS__PASSWORD",
            param_hint="--redis",
        )
    tree = {
        "kafka": _given(
            bootstrap=kafka, group=group, partitions=partitions, replication=replication, generation=generation
        ),
        "redis": _given(url=redis),
        "models": _given(url=models),
        **{name: _given(**values) for name, values in sections.items()},
    }
    return load(**{name: values for name, values in tree.items() if values})


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
