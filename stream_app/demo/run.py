"""Runs a demo from start to summary."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from model_store.registry import ModelRegistry
from model_store.training.interactions import Interactions
from stream_app.client import InterestReader
from stream_app.demo.errors import DemoError
from stream_app.demo.performance import Performance
from stream_app.demo.person import Person
from stream_app.demo.spotlight import Spotlight
from stream_app.demo.stage import Servers, Stage
from stream_app.demo.summary import Account
from stream_app.recorded_file import of_path
from stream_app.settings import Settings
from stream_app.sources import Source, from_interactions


@dataclass(frozen=True)
class Plan:
    """What to show: the data's folder or file, how many events (None: all), how fast, on whose servers, and whether on
    the page, too."""

    data: Path
    events: int | None
    rate: float
    servers: Servers
    web: bool = True


def run(plan: Plan, settings: Settings, console: Console) -> Account:
    """Show everything, and return the account once every event was waited for. Raises `DemoError` and what the
    parts raise. Nothing is left running, however it ends."""
    say = teller(console)
    with Stage(settings, plan.servers, say) as stage:
        data = of_path(plan.data, time.time_ns() // 1_000_000)
        _a_model(stage, plan.data, data.name, say)
        stage.start_worker()
        say("starting a worker")
        # External servers may hold an earlier demo's events: other ids make these new.
        source = from_interactions(data, run=f"demo-{int(time.time())}").first(plan.events)
        for note in source.notes:
            say(note)
        if plan.servers.redis:
            say(f"the {len(data.users):,} users of the data set are written into that Redis and stay until they expire")
        say_if_short(source, plan.events, say)
        with console.status("the worker loads TensorFlow and its model"):
            stage.wait_for_worker()
        if plan.web:
            stage.start_web()
        return Performance(stage, _DataSet(data, source), console).play(plan.rate)


def say_if_short(source: Source, wanted: int | None, say: Callable[[str], None]) -> None:
    """A word where there are fewer events than asked for."""
    if wanted is not None and source.events != wanted:
        say(f"the data set makes only {source.events:,} events")


class _DataSet:
    """The act of a data set: one user after another, nothing else."""

    def __init__(self, data: Interactions, source: Source) -> None:
        self.source = source
        self._titles = dict(zip(data.items, data.titles, strict=True))
        self._spotlight = Spotlight(data)
        self._rows_per_event = len(data) / (from_interactions(data).events or 1)

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


def _a_model(stage: Stage, data: Path, name: str, say: Callable[[str], None]) -> None:
    """A first model if none is served; a word if the one that is was trained on other data."""
    registry = ModelRegistry(stage.settings.models.url)
    version = registry.current()
    if version is None:
        say("training a first model (a minute or two, kept for the next start)")
        stage.train(str(data))
        version = registry.current()
    elif not version.startswith(name.removesuffix("-recbole")):
        say(f"the model {version} seems to be of other data than {name}, whose items it will not know (interest train)")
    say(f"model {version}")


def teller(console: Console) -> Callable[[str], None]:
    """Says what goes on."""
    return lambda text: console.print(text, markup=False, soft_wrap=True, style="dim")


__all__ = ["DemoError", "Plan", "run"]
