"""One real worker process, started as users start it, and watched from outside: metrics, CPU, log."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

import psutil
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from stream_app.local import LeashedProcess
from stream_app.local.leash import ProcessGroup
from stream_app.settings import Settings, environment

STOP_S = 30.0


class Scrape:
    """What `/metrics` said at one moment."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines(keepends=True)

    def total(self, name: str, **labels: str) -> float:
        """Sum over the samples of that name which carry these labels; 0 if there are none."""
        return sum(sample.value for sample in self._samples(name) if labels.items() <= sample.labels.items())

    def by(self, name: str, label: str) -> dict[str, float]:
        """The same, for each value of one label."""
        out: dict[str, float] = {}
        for sample in self._samples(name):
            if label in sample.labels:
                out[sample.labels[label]] = out.get(sample.labels[label], 0.0) + sample.value
        return out

    def _samples(self, name: str) -> Iterator[Sample]:
        # Only what was asked for is parsed: a benchmark looks often, and shares the worker's cores.
        text = "".join(line for line in self._lines if line.startswith(name))
        for family in text_string_to_metric_families(text):
            yield from (sample for sample in family.samples if sample.name == name)


class Worker:
    """`interest worker` with these settings, as a context manager."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._env = environment(settings, os.environ)
        self._url = f"http://{settings.metrics.host}:{settings.metrics.port}/metrics"
        self.log = log

    def __enter__(self) -> Self:
        self._process = self._launch()
        self.seen = psutil.Process(self._process.pid)
        return self

    def _launch(self) -> ProcessGroup:
        return LeashedProcess([sys.executable, "-m", "stream_app", "worker"], self.log, self._env)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.stop(STOP_S)

    def scrape(self) -> Scrape | None:
        """None while it does not answer yet. Raises RuntimeError with the end of its log once it has ended."""
        self.check()
        try:
            with urlopen(self._url, timeout=5) as answer:
                return Scrape(answer.read().decode())
        except OSError:
            return None

    def check(self) -> None:
        """Raises RuntimeError with the end of its log if it has ended."""
        code = self._process.exit_code()
        if code is not None:
            raise RuntimeError(f"the worker ended with status {code}:\n{self._process.log_tail(30)}")

    def cpu_seconds(self) -> float:
        """User and system time of the process and all its threads so far."""
        times = self.seen.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> tuple[int, int]:
        """Resident bytes of the process: the most that they were, and what they are now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        kib = {line.split()[0]: int(line.split()[1]) for line in status.splitlines() if line.startswith("Vm")}
        return 1024 * kib["VmHWM:"], 1024 * kib["VmRSS:"]

    def wait(self, what: str, condition: Any, timeout_s: float, poll_s: float = 0.1) -> Scrape:
        """The first scrape for which `condition(scrape)` holds. Raises TimeoutError that says what did not happen."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            scrape = self.scrape()
            if scrape is not None and condition(scrape):
                return scrape
            time.sleep(poll_s)
        raise TimeoutError(f"{what}: not within {timeout_s:.0f} s. The end of the log:\n{self._process.log_tail(30)}")
