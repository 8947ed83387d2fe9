"""A replay and what it does, watched from beginning to end."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, RenderableType
from rich.live import Live

from stream_app.client import InterestReader
from stream_app.demo import meter
from stream_app.demo.meter import Meter, Reading
from stream_app.demo.person import Person, read_person, reader_of
from stream_app.demo.stage import Stage
from stream_app.demo.summary import Account
from stream_app.demo.view import Now, plain_line, screen
from stream_app.replay import Pace, Replayed, replay
from stream_app.sources import Source

REFRESH_S = 0.25
PLAIN_EVERY_S = 2.0
# How long the account may stand still after the last event was sent before it is given up.
STALLED_S = 60.0


class Act(Protocol):
    """What is played, and what is to be seen of it."""

    @property
    def source(self) -> Source:
        """What is sent."""

    def look(self, reader: InterestReader) -> None:
        """Called before each picture: what is shown besides a person may be read here."""

    def watched(self, accounted: int) -> str:
        """Id of the user to show when so many events are accounted for."""

    def titles(self, person: Person | None) -> Mapping[str, str]:
        """Of the items on the screen."""

    def panel(self) -> RenderableType | None:
        """What stands above the person; None for nothing."""

    def line(self) -> str:
        """The same in a few words, for a log; empty for nothing."""

    def pending(self) -> int:
        """What is still to be waited for beside the worker's events."""


class Performance:
    """One act on one stage."""

    def __init__(self, stage: Stage, act: Act, console: Console) -> None:
        self._stage, self._act, self._console = stage, act, console
        self._meter = Meter()
        self._sent = 0

    def play(self, rate: float) -> Account:
        """Returns the account once every event was waited for. Raises `DemoError` and what the parts raise."""
        stop = threading.Event()
        settings = self._stage.settings
        with ThreadPoolExecutor(1, "replay") as pool, reader_of(settings) as reader, self._show() as show:
            work = pool.submit(replay, self._act.source, settings, Pace(rate), progress=self._count, stop=stop)
            try:
                self._watch(work, reader, show)
            finally:
                stop.set()
            return Account(work.result(), self._meter.latest)

    def _watch(self, work: "Future[Replayed]", reader: InterestReader, show: Callable[[Now], None]) -> None:
        """Returns when all that was sent is accounted for, or nothing has been for long."""
        moved_at, left = time.monotonic(), (-1, -1)
        while True:
            self._stage.check()
            reading = self._look()
            now_left = reading.accounted, self._act.pending()
            if now_left != left or not work.done():
                moved_at, left = time.monotonic(), now_left
            show(self._now(reading, reader))
            if work.done() and (_is_over(work.result(), *left) or time.monotonic() - moved_at > STALLED_S):
                return
            time.sleep(REFRESH_S)

    def _look(self) -> Reading:
        reading = meter.read(self._stage.metrics_url, time.monotonic())
        if reading is not None:
            self._meter.add(reading)
        return self._meter.latest

    def _now(self, reading: Reading, reader: InterestReader) -> Now:
        p50, p99 = self._meter.latency_s((0.5, 0.99))
        self._act.look(reader)
        return Now(
            self._sent,
            reading.accounted,
            self._act.source.events,
            self._meter.events_per_second(),
            p50,
            p99,
            reading.users,
            reading.recommendations,
            read_person(reader, self._act.watched(reading.accounted)) if reading.accounted else None,
        )

    def _count(self, sent: int) -> None:
        self._sent = sent

    @contextmanager
    def _show(self) -> Iterator[Callable[[Now], None]]:
        """A live view on a terminal, lines elsewhere."""
        act = self._act
        if not self._console.is_terminal:
            yield _every(PLAIN_EVERY_S, lambda now: self._say(plain_line(now), act.line()))
            return
        with Live(console=self._console, auto_refresh=False) as live:
            yield lambda now: live.update(
                screen(now, act.titles(now.person), act.source.notes, act.panel()), refresh=True
            )

    def _say(self, *lines: str) -> None:
        self._console.print("; ".join(filter(None, lines)), markup=False, soft_wrap=True)


def _is_over(sent: Replayed, accounted: int, pending: int) -> bool:
    return accounted >= sent.user_events and not pending


def _every(seconds: float, show: Callable[[Now], None]) -> Callable[[Now], None]:
    shown_at = float("-inf")

    def maybe(now: Now) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= seconds:
            shown_at = time.monotonic()
            show(now)

    return maybe
