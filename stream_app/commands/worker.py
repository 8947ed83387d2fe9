"""`interest worker`."""

from importlib.util import find_spec

from stream_app.commands.errors import CommandError
from stream_app.commands.options import (
    ConfigOption,
    GenerationOption,
    GroupOption,
    JsonLogsOption,
    KafkaOption,
    LogLevelOption,
    MetricsPortOption,
    ModelsOption,
    PartitionsOption,
    RedisOption,
    settings_of,
)
from stream_app.commands.serving import ready_model


def worker(
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    models: ModelsOption = None,
    group: GroupOption = None,
    generation: GenerationOption = None,
    partitions: PartitionsOption = None,
    config: ConfigOption = None,
    metrics_port: MetricsPortOption = None,
    log_level: LogLevelOption = None,
    json_logs: JsonLogsOption = False,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C: events in, interests and recommendations out.

    Start more of them for more load; Kafka shares the partitions out among them. Exit code 70: the worker stopped
    itself because going on would have lost data; start it again once what it says is mended.

    A worker of another generation builds states of its own beside those that serve, and publishes nothing until
    `interest generations promote`.

    Example: `interest worker --kafka kafka:9092 --redis redis://redis:6379/0`
    """
    settings = settings_of(
        kafka=kafka,
        redis=redis,
        models=models,
        group=group,
        generation=generation,
        partitions=partitions,
        config=config,
        metrics={"port": metrics_port},
        log={"level": log_level, "json_lines": json_logs or None},
    )
    if settings.traces.endpoint and find_spec("opentelemetry.exporter") is None:
        raise CommandError(
            "INTEREST_TRACES__ENDPOINT is set, and what sends traces is not installed: pip install"
            " 'interest-updater[traces]'"
        )
    model = ready_model(settings)
    # TensorFlow is imported by now, Faust by this command and no other.
    from stream_app.app import run_worker

    run_worker(settings, model)
