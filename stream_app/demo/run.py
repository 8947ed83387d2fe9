"""Runs a demo from start to summary."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live

from model_store.registry import ModelRegistry
from model_store.training import datasets
from model_store.training.interactions import Interactions
from stream_app.client import InterestReader
from stream_app.demo import meter
from stream_app.demo.errors import DemoError
from stream_app.demo.meter import Meter, Reading
from stream_app.demo.person import Person, read_person, reader_of
from stream_app.demo.spotlight import Spotlight
from stream_app.demo.stage import Servers, Stage
from stream_app.demo.summary import Account
from stream_app.demo.view import Now, plain_line, screen
from stream_app.replay import Pace, Replayed, replay
from stream_app.settings import Settings
from stream_app.sources import Source, from_interactions

REFRESH_S = 0.25
PLAIN_EVERY_S = 2.0
# How long the account may stand still after the last event was sent before it is given up.
STALLED_S = 60.0


@dataclass(frozen=True)
class Plan:
    """What to show: the data's folder, how many events (None: all), how fast, and on whose servers."""

    data: Path
    events: int | None
    rate: float
    servers: Servers


def run(plan: Plan, settings: Settings, console: Console) -> Account:
    """Show everything, and return the account once every event was waited for. Raises `DemoError` and what the
    parts raise. Nothing is left running, however it ends."""
    say = _teller(console)
    with Stage(settings, plan.servers, say) as stage:
        _a_model(stage, plan.data, say)
        stage.start_worker()
        say("starting a worker")
        data = datasets.load(plan.data)
        # External servers may hold an earlier demo's events: other ids make these new.
        source = from_interactions(data, run=f"demo-{int(time.time())}").first(plan.events)
        for note in source.notes:
            say(note)
        if plan.servers.redis:
            say(f"the {len(data.users):,} users of the data set are written into that Redis and stay until they expire")
        if plan.events is not None and source.events != plan.events:
            say(f"the data set makes only {source.events:,} events")
        with console.status("the worker loads TensorFlow and its model"):
            stage.wait_for_worker()
        return _Performance(stage, data, source, console).play(plan.rate)


class _Performance:
    """A replay and what it does, watched."""

    def __init__(self, stage: Stage, data: Interactions, source: Source, console: Console) -> None:
        self._stage, self._data, self._source, self._console = stage, data, source, console
        self._titles = dict(zip(data.items, data.titles, strict=True))
        self._spotlight = Spotlight(data)
        self._meter = Meter()
        self._rows_per_event = len(data) / (from_interactions(data).events or 1)
        self._sent = 0

    def play(self, rate: float) -> Account:
        stop = threading.Event()
        settings = self._stage.settings
        with ThreadPoolExecutor(1, "replay") as pool, reader_of(settings) as reader, self._show() as show:
            work = pool.submit(replay, self._source, settings, Pace(rate), progress=self._count, stop=stop)
            try:
                self._watch(work, reader, show)
            finally:
                stop.set()
            return Account(work.result(), self._meter.latest)

    def _watch(self, work: "Future[Replayed]", reader: InterestReader, show: Callable[[Now], None]) -> None:
        """Returns when all that was sent is accounted for, or nothing has been for long."""
        moved_at, accounted = time.monotonic(), -1
        while True:
            self._stage.check_worker()
            reading = self._look()
            if reading.accounted != accounted or not work.done():
                moved_at, accounted = time.monotonic(), reading.accounted
            show(self._now(reading, reader))
            if work.done() and (accounted >= work.result().events or time.monotonic() - moved_at > STALLED_S):
                return
            time.sleep(REFRESH_S)

    def _look(self) -> Reading:
        reading = meter.read(self._stage.metrics_url, time.monotonic())
        if reading is not None:
            self._meter.add(reading)
        return self._meter.latest

    def _now(self, reading: Reading, reader: InterestReader) -> Now:
        p50, p99 = self._meter.latency_s((0.5, 0.99))
        return Now(
            self._sent,
            reading.accounted,
            self._source.events,
            self._meter.events_per_second(),
            p50,
            p99,
            reading.users,
            reading.recommendations,
            self._person(reading, reader),
        )

    def _person(self, reading: Reading, reader: InterestReader) -> Person | None:
        if not reading.accounted:
            return None
        return read_person(reader, self._spotlight.user_id(int(reading.accounted * self._rows_per_event)))

    def _count(self, sent: int) -> None:
        self._sent = sent

    @contextmanager
    def _show(self) -> Iterator[Callable[[Now], None]]:
        """A live view on a terminal, lines elsewhere."""
        if not self._console.is_terminal:
            yield _every(PLAIN_EVERY_S, lambda now: self._console.print(plain_line(now), markup=False, soft_wrap=True))
            return
        with Live(console=self._console, auto_refresh=False) as live:
            yield lambda now: live.update(screen(now, self._titles, self._source.notes), refresh=True)


def _every(seconds: float, show: Callable[[Now], None]) -> Callable[[Now], None]:
    shown_at = float("-inf")

    def maybe(now: Now) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= seconds:
            shown_at = time.monotonic()
            show(now)

    return maybe


def _a_model(stage: Stage, data: Path, say: Callable[[str], None]) -> None:
    """A first model if none is served; a word if the one that is was trained on other data."""
    registry = ModelRegistry(stage.settings.models.url)
    version = registry.current()
    name = datasets.detect(data).name
    if version is None:
        say("training a first model (a minute or two, kept for the next start)")
        stage.train(data)
        version = registry.current()
    elif not version.startswith(name.removesuffix("-recbole")):
        say(f"the model {version} seems to be of other data than {name}, whose items it will not know (interest train)")
    say(f"model {version}")


def _teller(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(text, markup=False, soft_wrap=True, style="dim")


__all__ = ["DemoError", "Plan", "run"]
