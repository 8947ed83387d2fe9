"""`interest trainer`."""

from typing import Annotated

import typer

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
    settings_of,
)
from stream_app.commands.serving import ready_model, version_folder


def trainer(
    kafka: KafkaOption = None,
    models: ModelsOption = None,
    group: GroupOption = None,
    generation: GenerationOption = None,
    partitions: PartitionsOption = None,
    config: ConfigOption = None,
    publish_interval_s: Annotated[
        float | None, typer.Option("--publish-interval-s", min=0.1, help="Seconds between versions.")
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Forget what was learnt, and begin at the oldest events with what is served.")
    ] = False,
    metrics_port: MetricsPortOption = None,
    log_level: LogLevelOption = None,
    json_logs: JsonLogsOption = False,
) -> None:
    """Keep the model learning: follow the event topics, and publish a version every minute, which workers take up.

    One for each generation. It begins with the version that is served and the oldest events, and goes on from its last
    snapshot. A version that ranks held-out clicks worse than the served one is not promoted. If somebody promotes
    another version or rolls back, the trainer publishes on, but promotes nothing until the version it promoted last is
    served again.

    Examples:

    - `interest trainer --kafka kafka:9092 --models s3://bucket/models`
    - `interest trainer --anew`
    """
    settings = settings_of(
        kafka=kafka,
        models=models,
        group=group,
        generation=generation,
        partitions=partitions,
        config=config,
        trainer={"publish_interval_s": publish_interval_s},
        metrics={"port": metrics_port},
        log={"level": log_level, "json_lines": json_logs or None},
    )
    model = ready_model(settings)
    from stream_app.trainer.start import run_trainer

    run_trainer(settings, model, lambda version: version_folder(settings, version), anew=anew)
