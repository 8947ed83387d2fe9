"""`interest catalog`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from stream_app.catalog.loop import Progress
    from stream_app.catalog.metrics import Cost

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
    once: Annotated[
        bool, typer.Option("--once", help="End when nothing is left to describe, in any of the group's processes.")
    ] = False,
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
    from stream_app.signals import process_name

    logs.configure(settings.log, worker=process_name())
    require_topics(settings)
    topics: tuple[str, ...] = ()
    if settings.catalog.taxonomy is None:
        from model_store.card import read_card

        topics = read_card(served_model(settings)).topics
    from stream_app.catalog.start import run_catalog

    with _progress() as report:
        run_catalog(settings, topics, once=once, refill_redis=refill_redis, report=report)


@contextmanager
def _progress() -> "Iterator[Callable[[Progress], None]]":
    """A bar on a terminal; elsewhere a line in the log every few seconds."""
    import time

    import structlog
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    if err.is_terminal:
        speed, cost = TextColumn("{task.fields[speed]} left"), TextColumn("{task.fields[cost]}")
        columns = (TextColumn("items"), BarColumn(), MofNCompleteColumn(), speed, TimeRemainingColumn(), cost)
        with Bars(*columns, console=err) as bars:
            task = bars.add_task("items", total=None, speed="", cost="")

            def show(now: "Progress") -> None:
                bars.update(task, completed=now.done, total=now.done + now.left, cost=cost_in_words(now.cost))
                bars.update(task, speed=f"{bars.tasks[0].speed or 0:,.0f}/s,")

            yield show
        return
    log, said = structlog.get_logger(__name__), [(time.monotonic(), 0)]

    def say(now: "Progress") -> None:
        (then_s, then), now_s = said[-1], time.monotonic()
        if now_s - then_s >= SAY_S and now.done != then:
            rate = (now.done - then) / (now_s - then_s)
            log.info(
                "items", done=now.done, left=now.left, items_per_s=round(rate), seconds_left=round(now.left / rate),
                cost=cost_in_words(now.cost),
            )  # fmt: skip
            said[:] = [(now_s, now.done)]

    yield say


def cost_in_words(cost: "Cost") -> str:
    """What the items so far have cost; of a language model only where there is one."""
    found = []
    if cost.encoded + cost.unencoded:
        found.append(f"{cost.unencoded / (cost.encoded + cost.unencoded):.0%} were known")
    if cost.looked_up:
        found.append(
            f"language model: {cost.requests:,} requests, {cost.tokens:,} tokens, "
            f"{cost.remembered / cost.looked_up:.0%} remembered"
        )
    return "; ".join(found)
