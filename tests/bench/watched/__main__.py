"""What being looked at costs a worker: open pages, a Prometheus that scrapes it, and what open dashboards ask.

    python -m tests.bench.watched --rounds 3 --json FILE

In each round, latency (as `latency.py`) and throughput (as `throughput.py`) are measured twice, alone and watched, by
turns the one and the other first. Watched means: `interest web` with open pages, half of them users' and half the
system's; a Prometheus that scrapes worker and pages and evaluates the rules of `deploy/` every second, 15 times as
often as deployed; and every expression of all dashboards asked over an hour every ten seconds, three times as often as
Grafana does. All these have the lowest priority: elsewhere they have cores of their own. JSON: `rows`, alone and
watched, medians over the rounds; `rounds`, all of them; `ratios`, watched to alone within a round, median, least and
most; `seen`, `messages` of pages and `answers` of Prometheus in all. Needs Debian's `prometheus`.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer

from stream_app.local import LeashedProcess
from stream_app.settings import Settings, environment
from tests.bench import latency, throughput
from tests.bench.ground import Ground, ground, unique
from tests.bench.model import catalogue_model
from tests.bench.report import run, save, show
from tests.bench.setup import WorkerSetup
from tests.bench.watched.onlookers import SEEN
from tests.failure.service import wait_for
from tests.operate.prometheus import BINARY

ALONE, WATCHED = "alone", "watched"
ITEMS, USERS, PARTITIONS = 5_000, 20_000, 4
SLOW = ("p50_ms", "p95_ms", "p99_ms", "worker_cpu")
FAST = ("events_per_second", "cpu_seconds_per_million_events")
FIGURES = (*SLOW, *FAST)
START_S = 120.0


@dataclass(frozen=True)
class Onlookers:
    """What looks at a worker. `seen`: what it got to see, a line for each worker."""

    on: Ground
    pages: int
    seen: list[dict[str, int]] = field(default_factory=list)

    @contextmanager
    def __call__(self, settings: Settings) -> Iterator[None]:
        folder = self.on.folder / f"{settings.kafka.group}-onlookers"
        folder.mkdir()
        options = [
            "--worker",
            f"127.0.0.1:{settings.metrics.port}",
            "--folder",
            str(folder),
            "--pages",
            str(self.pages),
        ]
        command = ["nice", "-n", "19", sys.executable, "-m", "tests.bench.watched.onlookers", *options]
        process = LeashedProcess(command, folder / "log", environment(settings, os.environ))
        try:
            wait_for("the onlookers to look", lambda: self._looks(process, folder / SEEN) or None, START_S)
            yield
            self.seen.append(msgspec.json.decode((folder / SEEN).read_bytes()))
        finally:
            process.stop(20)

    def _looks(self, process: LeashedProcess, seen: Path) -> bool:
        if process.exit_code() is not None:
            raise RuntimeError(f"the onlookers ended:\n{process.log_tail(30)}")
        return seen.exists()


def measured(on: Ground, setup: WorkerSetup, beside: Onlookers | None, rate: float, seconds: float, events: int) -> Any:
    """Latency and throughput, one after the other."""
    slow = latency.measure(on, setup, rate, seconds, beside)
    on.empty_redis()
    fast = throughput.measure(on, replace(setup, name=unique("watched")), events, beside)
    return {
        **{name: slow[name] for name in ("probes", "lost", *SLOW)},
        **{name: fast[name] for name in FAST},
    }


def rounds_of(
    on: Ground, onlookers: Onlookers, rounds: int, rate: float, seconds: float, events: int
) -> Iterator[dict[str, Any]]:
    """One line for each measurement, in the order in which they are made."""
    model = catalogue_model(on.folder / "models", ITEMS)
    for number in range(rounds):
        for name in (ALONE, WATCHED) if number % 2 == 0 else (WATCHED, ALONE):
            setup = WorkerSetup(unique("watched"), model, PARTITIONS, USERS, ITEMS, 0.0)
            beside = onlookers if name == WATCHED else None
            yield {"worker": name, **measured(on, setup, beside, rate, seconds, events)}


def summary(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the rounds."""
    names = [name for name in lines[0] if name != "worker"]
    return [
        {
            "worker": kind,
            **{name: float(np.median([line[name] for line in lines if line["worker"] == kind])) for name in names},
        }
        for kind in (ALONE, WATCHED)
    ]


def ratios(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each figure: watched to alone within a round, over the rounds."""
    alone, watched = ([line for line in lines if line["worker"] == kind] for kind in (ALONE, WATCHED))
    found = []
    for name in FIGURES:
        each = [after[name] / before[name] for before, after in zip(alone, watched, strict=True)]
        found.append({"figure": name, "median": float(np.median(each)), "least": min(each), "most": max(each)})
    return found


def main(
    rate: Annotated[float, typer.Option(help="Events a second, where latency is measured.")] = 500.0,
    seconds: Annotated[float, typer.Option(help="How long it is, after 5 s of settling.")] = 20.0,
    events: Annotated[int, typer.Option(help="Where throughput is measured.")] = 1_000_000,
    pages: Annotated[int, typer.Option(help="Open ones.")] = 20,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    if BINARY is None:
        raise SystemExit("prometheus is not installed (Debian: prometheus)")
    with ground() as on:
        onlookers = Onlookers(on, pages)
        lines = list(rounds_of(on, onlookers, rounds, rate, seconds, events))
    rows = summary(lines)
    show(f"a worker alone and watched, medians of {rounds}", rows)
    compared = ratios(lines)
    show("watched to alone", compared)
    seen = {name: sum(one[name] for one in onlookers.seen) for name in ("messages", "answers")}
    show("what the onlookers saw", [seen])
    save(json, {"rate": rate, "pages": pages, "rows": rows, "rounds": lines, "ratios": compared, "seen": seen})
    if any(line["lost"] for line in lines):
        raise SystemExit("probes were lost: the percentiles are too good")


if __name__ == "__main__":
    run(main)
