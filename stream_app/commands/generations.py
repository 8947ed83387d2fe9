"""`interest generations`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_app.commands.options import (
    ConfigOption,
    GroupOption,
    JsonOption,
    KafkaOption,
    ModelsOption,
    RedisOption,
    settings_of,
)
from stream_app.commands.output import out, print_json

if TYPE_CHECKING:
    from stream_app.generations.compare import Comparison, Side
    from stream_app.generations.overview import Generation

Number = Annotated[int, typer.Argument(metavar="GENERATION", min=1, help="Its number; the first one is 1.")]

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "States and models that belong together: list, compare, serve another one, go back.\n\n"
        "A model whose write table or half-lives differ, or another layout of the states, is a new generation: its "
        "workers build its states from the topics, beside the one that serves. Versions within one: `interest models`."
    ),
)


@app.command("list")
def list_(
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    models: ModelsOption = None,
    group: GroupOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the generations: who serves, versions, group, lag, users in the state topic (which is read whole)."""
    from stream_app.generations.overview import overview

    settings = settings_of(kafka=kafka, redis=redis, models=models, group=group, config=config)
    found = overview(settings)
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        _print_overview(found)


@app.command()
def compare(
    one: Number,
    other: Number,
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    models: ModelsOption = None,
    group: GroupOption = None,
    config: ConfigOption = None,
    sample: Annotated[int, typer.Option(min=1, help="Users to look at, of those that both know.")] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Compare two generations: lag, users, and how alike they see the same users. Refuses nothing.

    Example: `interest generations compare 1 2`
    """
    from stream_app.generations.compare import compare as compare_

    settings = settings_of(kafka=kafka, redis=redis, models=models, group=group, config=config)
    found = compare_(settings, one, other, sample)
    if as_json:
        print_json(asdict(found))
    else:
        _print_comparison(found)


@app.command()
def promote(
    generation: Number,
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    group: GroupOption = None,
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Also while it lags or lacks users.")] = False,
) -> None:
    """Let readers read this generation, and let its workers publish: one write to Redis, and no restart.

    Refuses while it lags, or lacks users whom readers are shown now. Keep the workers of the other one: roll-back then
    leads to what is up to date.
    """
    from stream_app.generations.switch import promote as promote_

    settings = settings_of(kafka=kafka, redis=redis, group=group, config=config)
    after = promote_(settings, generation, _now_ms(), force=force)
    out.print(
        f"generation {after.generation} serves; back with: interest generations roll-back. Generation {after.previous} "
        f"goes on publishing for {settings.kafka.handover_s:g} s",
        soft_wrap=True,
    )


@app.command("roll-back")
def roll_back(
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    group: GroupOption = None,
    config: ConfigOption = None,
) -> None:
    """Let readers read the generation that served before this one; twice is there and back again."""
    from stream_app.generations.in_kafka import lag, members
    from stream_app.generations.switch import roll_back as roll_back_

    settings = settings_of(kafka=kafka, redis=redis, group=group, config=config)
    after = roll_back_(settings, _now_ms())
    mine = settings.of_generation(after.generation)
    out.print(f"generation {after.generation} serves again: {members(mine)} workers, {lag(mine):,} events behind")


@app.command()
def drop(
    generation: Number,
    kafka: KafkaOption = None,
    redis: RedisOption = None,
    group: GroupOption = None,
    config: ConfigOption = None,
) -> None:
    """Delete a generation's group, state topic and keys in Redis. Its workers must be stopped. Model versions stay."""
    from stream_app.generations.switch import drop as drop_

    settings = settings_of(kafka=kafka, redis=redis, group=group, config=config)
    keys = drop_(settings, generation, _now_ms())
    out.print(f"generation {generation} is gone: its group, its state topic and {keys:,} keys in Redis")


def _now_ms() -> int:
    import time

    return time.time_ns() // 1_000_000


def _print_overview(found: "list[Generation]") -> None:
    from datetime import UTC, datetime

    from rich.table import Table

    table = Table("", "role", "model", "versions", "group", "workers", "lag", "users", "last written (UTC)", box=None)
    for one in found:
        written = datetime.fromtimestamp(one.written_ms / 1000, UTC).strftime("%F %T") if one.written_ms else "never"
        kafka = [f"{one.workers}", f"{one.lag:,}", f"{one.users:,}", written] if one.topic else ["not built"]
        table.add_row(str(one.generation), one.role, one.version or "none", str(one.versions), one.group, *kafka)
    out.print(table)


def _print_comparison(found: "Comparison") -> None:
    from rich.table import Table

    table = Table("generation", *(str(side.generation) for side in found.sides), box=None)
    table.add_row("model", *(side.version or "none" for side in found.sides))
    table.add_row("events behind", *(f"{side.lag:,}" for side in found.sides))
    table.add_row("users in Redis", *(f"{side.users:,}" for side in found.sides))
    for name, figures in _figures(found.sides).items():
        table.add_row(name, *figures)
    out.print(table)
    out.print(f"{found.both:,} users in both; of {found.sampled:,} of them:")
    out.print(f"  cosine of topics       {_share(found.topics_cosine)}")
    out.print(f"  latest items in common {_share(found.items_overlap)} ({found.lists:,} users with two lists)")


def _figures(sides: "tuple[Side, Side]") -> dict[str, list[str]]:
    """What the notes say of the tests: the model's row of each, by name."""
    rows = [side.figures[0] if isinstance(side.figures, list) and side.figures else {} for side in sides]
    names = [name for name in rows[0] if isinstance(rows[0][name], int | float)]
    return {f"test {name}": [_number(row.get(name)) for row in rows] for name in names}


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
