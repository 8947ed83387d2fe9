"""`interest worker`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stream_app.commands.errors import CommandError
from stream_app.commands.options import (
    ConfigOption,
    GroupOption,
    KafkaOption,
    ModelsOption,
    PartitionsOption,
    RedisOption,
    settings_of,
)
from stream_app.commands.quiet import native_messages_hidden

if TYPE_CHECKING:
    from stream_app.settings import Settings


def worker(
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    models: ModelsOption = None,
    group: GroupOption = None,
    partitions: PartitionsOption = None,
    config: ConfigOption = None,
    metrics_port: Annotated[int | None, typer.Option(help="Port of /metrics; 0 takes a free one.")] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None, typer.Option(help="What is logged at least.")
    ] = None,
    json_logs: Annotated[bool, typer.Option("--json-logs", help="One JSON object a log line.")] = False,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C: events in, interests and recommendations out.

    Start more of them for more load; Kafka shares the partitions out among them. Exit code 70: the worker stopped
    itself because going on would have lost data; start it again once what it says is mended.

    Example: `interest worker --kafka kafka:9092 --redis redis://redis:6379/0`
    """
    settings = settings_of(
        kafka=kafka,
        redis=redis,
        models=models,
        group=group,
        partitions=partitions,
        config=config,
        metrics={"port": metrics_port},
        log={"level": log_level, "json_lines": json_logs or None},
    )
    from stream_app import logs

    logs.configure(settings.log)
    require_topics(settings)
    folder = served_model(settings)
    # OpenBLAS reads it when numpy is loaded, and would take every core of the machine for each matrix product.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(settings.models.threads))
    # TensorFlow and Faust are imported by this command and no other.
    with native_messages_hidden():
        from model_store.encoder.runtime import use_threads
        from model_store.model import load_model
        from stream_app.app import run_worker

    use_threads(settings.models.threads)
    run_worker(settings, load_model(folder))


def require_topics(settings: "Settings") -> None:
    """A user's events and state must meet in one partition. Raises `CommandError`, `KafkaUnreachableError`."""
    from stream_app import topics

    wrong = [finding for finding in topics.check(settings) if finding.stops]
    if wrong:
        lines = [f"{', '.join(finding.topics)}: {finding.problem}; mend: {finding.mend}" for finding in wrong]
        raise CommandError("the topics are not as they must be\n" + "\n".join(lines))


def served_model(settings: "Settings") -> Path:
    """A local copy of the model version that is served, checksums compared. Raises `CommandError`, `ModelError`."""
    from model_store.registry import ModelRegistry

    registry = ModelRegistry(settings.models.url)
    version = registry.current()
    if version is None:
        raise CommandError(
            f"no model is served in {settings.models.url}: train one (interest train), or name your store with --models"
        )
    return registry.fetch(version, settings.data_dir / "fetched" / version)
