"""What being looked at costs a worker: open pages, a Prometheus that scrapes it, and what open dashboards ask.

    python -m tests.bench.watched --rounds 3 --json FILE

In each round, latency (as `latency.py`) and throughput (as `throughput.py`) are measured twice, alone and watched, by
turns the one and the other first. Watched means: `interest web` with open pages, half of them users' and half the
system's; a Prometheus that scrapes worker and pages and evaluates the rules of `deploy/` every second, 15 times as
often as deployed; and every expression of all dashboards asked over an hour every ten seconds, three times as often as
Grafana does. JSON: `rows`, alone and watched, medians over the rounds; `rounds`, all of them; `ratios`, watched to
alone within a round, median, least and most; `seen`, what the watchers got: `messages` of pages, `answers` of
Prometheus. Needs Debian's `prometheus`.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from urllib.request import urlopen

import aiohttp
import numpy as np
import typer

from stream_app.local import LeashedProcess
from stream_app.local.server import free_port
from stream_app.settings import Settings, environment
from tests.bench import latency, throughput
from tests.bench.ground import Ground, ground, unique
from tests.bench.model import catalogue_model
from tests.bench.report import run, save, show
from tests.bench.setup import WorkerSetup
from tests.failure.service import wait_for
from tests.operate.expressions import asked_by_dashboards
from tests.operate.prometheus import BINARY, LocalPrometheus, watching

ALONE, WATCHED = "alone", "watched"
ITEMS, USERS, PARTITIONS = 5_000, 20_000, 4
SLOW = ("p50_ms", "p95_ms", "p99_ms", "worker_cpu")
FAST = ("events_per_second", "cpu_seconds_per_million_events")
FIGURES = (*SLOW, *FAST)
REFRESH_S, SPAN_S, STEP_S = 10.0, 3600, 15
START_S = 60.0


@dataclass
class Watchers:
    """What looks at a worker, and what it got to see."""

    on: Ground
    pages: int
    messages: int = 0
    answers: int = 0

    @contextmanager
    def __call__(self, settings: Settings) -> Iterator[None]:
        worker = f"127.0.0.1:{settings.metrics.port}"
        with ExitStack() as stack:
            page = stack.enter_context(self._web(settings, worker))
            targets = {"interest-worker": [worker], "interest-web": [page]}
            folder = self.on.folder / f"{settings.kafka.group}-prometheus"
            prometheus = stack.enter_context(watching(folder, targets))
            stack.enter_context(_aside(self._read_pages(f"http://{page}")))
            stack.enter_context(_aside(self._ask_dashboards(prometheus)))
            yield

    @contextmanager
    def _web(self, settings: Settings, worker: str) -> Iterator[str]:
        """Host and port of the pages."""
        web = settings.web.model_copy(update={"port": free_port(), "metrics_urls": (f"http://{worker}/metrics",)})
        told = environment(settings.model_copy(update={"web": web}), os.environ)
        log = self.on.folder / f"{settings.kafka.group}-web.log"
        process = LeashedProcess([sys.executable, "-m", "stream_app", "web"], log, told)
        try:
            wait_for("the pages to answer", lambda: _answers(f"http://127.0.0.1:{web.port}/healthz") or None, START_S)
            yield f"127.0.0.1:{web.port}"
        finally:
            process.stop(10)

    async def _read_pages(self, page: str) -> None:
        paths = [f"/api/users/u{at}/events" if at % 2 else "/api/system/events" for at in range(self.pages)]
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as client:
            await asyncio.gather(*(self._read(client, page + path) for path in paths))

    async def _read(self, client: aiohttp.ClientSession, url: str) -> None:
        async with client.get(url) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                self.messages += line.startswith(b"data:")

    async def _ask_dashboards(self, prometheus: LocalPrometheus) -> None:
        """Each panel's expression as Grafana does it: a range, and a step."""
        expressions = [asked.filled_in for asked in asked_by_dashboards()]
        while True:
            for expr in expressions:
                await asyncio.to_thread(self._ask, prometheus, expr)
            await asyncio.sleep(REFRESH_S)

    def _ask(self, prometheus: LocalPrometheus, expr: str) -> None:
        now = time.time()
        prometheus.ask("query_range", query=expr, start=f"{now - SPAN_S}", end=f"{now}", step=f"{STEP_S}")
        self.answers += 1


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except OSError:
        return False


@contextmanager
def _aside(watching: Any) -> Iterator[None]:
    """A coroutine in a thread of its own, until the end of the block; raises what it raised."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(watching)
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait([task])), daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()
    if not task.cancelled():
        task.result()


def measured(on: Ground, setup: WorkerSetup, beside: Watchers | None, rate: float, seconds: float, events: int) -> Any:
    """Latency and throughput, one after the other."""
    slow = latency.measure(on, setup, rate, seconds, beside)
    on.empty_redis()
    fast = throughput.measure(on, replace(setup, name=unique("watched")), events, beside)
    return {
        **{name: slow[name] for name in ("probes", "lost", *SLOW)},
        **{name: fast[name] for name in FAST},
    }


def rounds_of(
    on: Ground, watchers: Watchers, rounds: int, rate: float, seconds: float, events: int
) -> Iterator[dict[str, Any]]:
    """One line for each measurement, in the order in which they are made."""
    model = catalogue_model(on.folder / "models", ITEMS)
    for number in range(rounds):
        for name in (ALONE, WATCHED) if number % 2 == 0 else (WATCHED, ALONE):
            setup = WorkerSetup(unique("watched"), model, PARTITIONS, USERS, ITEMS, 0.0)
            beside = watchers if name == WATCHED else None
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
        watchers = Watchers(on, pages)
        lines = list(rounds_of(on, watchers, rounds, rate, seconds, events))
    rows = summary(lines)
    show(f"a worker alone and watched, medians of {rounds}", rows)
    compared = ratios(lines)
    show("watched to alone", compared)
    seen = {"messages": watchers.messages, "answers": watchers.answers}
    show("what the watchers saw", [seen])
    save(json, {"rate": rate, "pages": pages, "rows": rows, "rounds": lines, "ratios": compared, "seen": seen})
    if any(line["lost"] for line in lines):
        raise SystemExit("probes were lost: the percentiles are too good")


if __name__ == "__main__":
    run(main)
