"""Runs a demo from start to summary."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from model_store.registry import ModelRegistry
from model_store.training import datasets
from model_store.training.interactions import Interactions
from stream_app.client import InterestReader
from stream_app.demo.errors import DemoError
from stream_app.demo.performance import Performance
from stream_app.demo.person import Person
from stream_app.demo.spotlight import Spotlight
from stream_app.demo.stage import Servers, Stage
from stream_app.demo.summary import Account
from stream_app.event_files import AS_THEY_ARE, Shape, from_jsonl
from stream_app.recorded_file import of_file
from stream_app.settings import Settings
from stream_app.sources import Source, from_interactions


@dataclass(frozen=True)
class Plan:
    """What to show: the data's folder, or a file whose lines have that `shape`; how many events (None: all), how fast,
    on whose servers, and whether on the page, too."""

    data: Path
    events: int | None
    rate: float
    servers: Servers
    web: bool = True
    shape: Shape = AS_THEY_ARE


def run(plan: Plan, settings: Settings, console: Console) -> Account:
    """Show everything, and return the account once every event was waited for. Raises `DemoError` and what the
    parts raise. Nothing is left running, however it ends."""
    say = teller(console)
    data, whole = _loaded(plan)
    source = whole.first(plan.events)
    with Stage(settings, plan.servers, say) as stage:
        _a_model(stage, plan, data.name, say)
        stage.start_worker()
        say("starting a worker")
        for note in source.notes:
            say(note)
        if plan.servers.redis:
            say(f"the {len(data.users):,} users of the data set are written into that Redis and stay until they expire")
        say_if_short(source, plan.events, say)
        with console.status("the worker loads TensorFlow and its model"):
            stage.wait_for_worker()
        if plan.web:
            stage.start_web()
        rows_per_event = len(data) / (whole.events or 1)
        return Performance(stage, _DataSet(data, source, rows_per_event), console).play(plan.rate)


def _loaded(plan: Plan) -> tuple[Interactions, Source]:
    """What a model is trained on, and what is played: of a file its own lines, of a data set its interactions. Raises
    `DataSetError` and what `of_file` raises."""
    run = f"demo-{int(time.time())}"  # servers of yours may hold an earlier demo's events: other ids make these new
    if plan.data.is_file():
        source = from_jsonl(plan.data, plan.shape, run)
        return of_file(source, time.time_ns() // 1_000_000), source.counted()
    data = datasets.load(plan.data)
    return data, from_interactions(data, run)


def say_if_short(source: Source, wanted: int | None, say: Callable[[str], None]) -> None:
    """A word where there are fewer events than asked for."""
    if wanted is not None and source.events != wanted:
        say(f"the data set makes only {source.events:,} events")


class _DataSet:
    """The act of a data set: one user after another, nothing else."""

    def __init__(self, data: Interactions, source: Source, rows_per_event: float) -> None:
        self.source = source
        self._titles = dict(zip(data.items, data.titles, strict=True))
        self._spotlight = Spotlight(data)
        self._rows_per_event = rows_per_event

    def look(self, _reader: InterestReader) -> None:
        """There is nothing else to read."""

    def watched(self, accounted: int) -> str:
        return self._spotlight.user_id(int(accounted * self._rows_per_event))

    def titles(self, _person: Person | None) -> Mapping[str, str]:
        return self._titles

    def panel(self) -> None:
        return None

    def line(self) -> str:
        return ""

    def pending(self) -> int:
        return 0


def _a_model(stage: Stage, plan: Plan, name: str, say: Callable[[str], None]) -> None:
    """A first model if none is served. Where the one that is was trained on other data: one in a store of that data
    set's own, so that whoever serves from the other notices nothing; a word alone if the user has named the store."""
    version = ModelRegistry(stage.settings.models.url).current()
    if version is not None and not of_data(version, name):
        if "url" in stage.settings.models.model_fields_set:
            say(f"the model {version} seems to be of other data than {name}, whose items it will not know")
        else:
            say(f"{stage.settings.models.url} serves {version}, of other data than {name}, and is left as it is")
            version = ModelRegistry(stage.keep_models_aside(name)).current()
    if version is None:
        say("training a first model (a minute or two, kept for the next start)")
        stage.train(str(plan.data), *plan.shape.options())
        version = ModelRegistry(stage.settings.models.url).current()
    say(f"model {version}")


def of_data(version: str, name: str) -> bool:
    """Whether a model's version says that it was trained on the data set of that name."""
    return version.startswith(f"{name.removesuffix('-recbole')}-")


def teller(console: Console) -> Callable[[str], None]:
    """Says what goes on."""
    return lambda text: console.print(text, markup=False, soft_wrap=True, style="dim")


__all__ = ["DemoError", "Plan", "run"]
