"""`interest catalog`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from stream_app.commands.options import (
    ConfigOption,
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
from stream_app.commands.output import err
from stream_app.commands.serving import require_topics, served_model

SAY_S = 3.0


def catalog(
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    models: ModelsOption = None,
    group: GroupOption = None,
    partitions: PartitionsOption = None,
    config: ConfigOption = None,
    encoder: Annotated[
        str | None, typer.Option(metavar="KIND", help="hashing, sentence, multilingual or endpoint.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when all items that there are now are described.")] = False,
    refill_redis: Annotated[
        bool, typer.Option("--refill-redis", help="Write all that is known into Redis first; it had lost it.")
    ] = False,
    metrics_port: MetricsPortOption = None,
    log_level: LogLevelOption = None,
    json_logs: JsonLogsOption = False,
) -> None:
    """Find out what items are about: follow the items topic, and tell workers, the trainer and Redis.

    A text is encoded once, and asked about once: what was found out before is read back from the knowledge topic. Start
    more of them for more items; Kafka shares them out. Topics are those of the served model, or of the taxonomy that
    INTEREST_CATALOG__TAXONOMY names.

    Examples:

    - `interest catalog --kafka kafka:9092 --redis redis://redis:6379/0`
    - `interest catalog --encoder sentence --once`
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
        catalog={"encoder": {"kind": encoder} if encoder else None},
    )
    from stream_app import logs

    logs.configure(settings.log)
    require_topics(settings)
    topics: tuple[str, ...] = ()
    if settings.catalog.taxonomy is None:
        from model_store.card import read_card

        topics = read_card(served_model(settings)).topics
    from stream_app.catalog.start import run_catalog

    with _progress() as report:
        run_catalog(settings, topics, once=once, refill_redis=refill_redis, report=report)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; elsewhere a line in the log every few seconds."""
    import time

    import structlog
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if err.is_terminal:
        columns = (TextColumn("items"), BarColumn(), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn())
        with Progress(*columns, console=err) as bars:
            task = bars.add_task("items", total=None)
            yield lambda done, left: bars.update(task, completed=done, total=done + left)
        return
    log, said_s = structlog.get_logger(__name__), [time.monotonic(), -1.0]

    def say(done: int, left: int) -> None:
        now_s = time.monotonic()
        if now_s - said_s[0] >= SAY_S and done != said_s[1]:
            log.info("items", done=done, left=left)
            said_s[:] = now_s, done

    yield say
