"""What a peer's process is told, and how it tells what it measured."""

import sys
import time
from pathlib import Path

import msgspec

from stream_app.settings import Topics
from tests.bench.load import topics_named


class Spec(msgspec.Struct, frozen=True):
    """One peer's run: `events` are in the three topics; the clock runs from event `warm_up` on."""

    name: str
    bootstrap: str
    redis_url: str
    model_url: str
    folder: str
    prefix: str
    partitions: int
    events: int
    warm_up: int

    @property
    def topics(self) -> Topics:
        return topics_named(self.prefix)

    @property
    def inputs(self) -> tuple[str, str, str]:
        """Clicks, follows, ratings: in the order of `Kind`."""
        return self.topics.inputs[:3]


class Measured(msgspec.Struct, frozen=True):
    """Events within the clock, its seconds, and the process's CPU seconds meanwhile."""

    events: int
    seconds: float
    cpu_seconds: float

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_seconds_per_million_events(self) -> float:
        return self.cpu_seconds / self.events * 1e6


def read_spec() -> Spec:
    """From the file that the first argument names."""
    return msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Spec)


class Meter:
    """Counts events whose effects are done. Writes `measured.json` once all of them are."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._done = 0
        self._from = 0
        self._began: tuple[float, float] | None = None

    def add(self, events: int) -> bool:
        """True once all events are done; the peer then ends in its own way."""
        self._done += events
        if self._began is None and self._done >= self._spec.warm_up:
            self._from, self._began = self._done, _clocks()
        if self._done < self._spec.events:
            return False
        self._write()
        return True

    def _write(self) -> None:
        assert self._began is not None
        wall, cpu = (now - then for now, then in zip(_clocks(), self._began, strict=True))
        measured = Measured(self._done - self._from, wall, cpu)
        (Path(self._spec.folder) / "measured.json").write_bytes(msgspec.json.encode(measured))


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
