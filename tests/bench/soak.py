"""An hour of even load: does latency stay, does memory stay?

    python -m tests.bench.soak --minutes 60 --rate 2000 --json FILE

One worker. Each minute: latency, published to readable by another client (as in `latency.py`), and what the worker
holds: resident memory, open files, threads, CPU. At the end another one takes its place, under the same load, with the
same states, topics and Redis: how it differs from the first one's last minutes is what the hour did to the process, and
not what the machine does meanwhile. JSON: `minutes` (a list, one entry a minute, with `p50_ms, p95_ms, p99_ms, max_ms,
rss_mb, files, threads, worker_cpu`), `start`, `middle`, `end` and `fresh` (medians over a tenth of the time each, at
least one minute), `idle_rss_mb` before and after the load, `lost`.
"""

import time
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from rich.progress import Progress

from tests.bench.ground import Ground, ground, unique
from tests.bench.latency import PROBES_PER_S, paced_load, wait_until_readable
from tests.bench.load import Sender
from tests.bench.model import catalogue_model
from tests.bench.probe import KEY_PREFIX, Probes, TrackingClient
from tests.bench.report import console, percentiles_ms, run, save, show
from tests.bench.setup import WorkerSetup, worker_settings
from tests.bench.worker import Worker

MINUTE_S = 60.0
IDLE_S = 10.0
MB = 1 << 20
FIGURES = ("p50_ms", "p95_ms", "p99_ms", "max_ms", "rss_mb", "files", "threads", "worker_cpu")
BARS = "▁▂▃▄▅▆▇█"


def soak(on: Ground, setup: WorkerSetup, rate: float, minutes: int) -> dict[str, Any]:
    """Figures of each minute."""
    settings = worker_settings(on, setup)
    name, clicks = settings.kafka.group, settings.kafka.topics.clicks
    some = max(1, minutes // 10)
    with ExitStack() as stack:
        client = TrackingClient(on.redis_url, KEY_PREFIX)
        stack.callback(client.close)
        sender = stack.enter_context(Sender(on.bootstrap, linger_ms=0))
        probing = partial(Probes, client, sender, clicks)
        with Worker(settings, on.folder / f"{name}.log") as worker:
            wait_until_readable(probing(f"{name}-warm"), worker)
            time.sleep(IDLE_S)
            idle = [worker.seen.memory_info().rss / MB]
            with _load(on, setup, clicks, rate, minutes):
                soaked = [probing(f"{name}-{minute}") for minute in range(minutes)]
                rows = _minutes(worker, soaked, "soaking")
            time.sleep(IDLE_S)
            idle.append(worker.seen.memory_info().rss / MB)
        with Worker(settings, on.folder / f"{name}-fresh.log") as worker:
            wait_until_readable(probing(f"{name}-warm-again"), worker)
            with _load(on, setup, clicks, rate, some + 1):
                _minutes(worker, [probing(f"{name}-settle")], "settling")
                again = [probing(f"{name}-fresh-{minute}") for minute in range(some)]
                fresh = _medians(_minutes(worker, again, "a fresh worker"))
    lost = sum(probes.lost for probes in (*soaked, *again))
    return {"rate": rate, "minutes": rows, "lost": lost, "idle_rss_mb": idle, **_parts(rows, some), "fresh": fresh}


def _load(on: Ground, setup: WorkerSetup, clicks: str, rate: float, minutes: int) -> AbstractContextManager[object]:
    return paced_load(on, setup, clicks.removesuffix(".clicks"), rate - PROBES_PER_S, minutes * MINUTE_S + 60)


def _minutes(worker: Worker, probes: list[Probes], doing: str) -> list[dict[str, float]]:
    with Progress(console=console, transient=True) as progress:
        return [_minute(worker, one) for one in progress.track(probes, description=doing)]


def _minute(worker: Worker, probes: Probes) -> dict[str, float]:
    cpu, began = worker.cpu_seconds(), time.perf_counter()
    probes.run(PROBES_PER_S, MINUTE_S, worker.check)
    cpu, took = worker.cpu_seconds() - cpu, time.perf_counter() - began
    return {**percentiles_ms(probes.seconds()), **_held(worker.seen), "worker_cpu": cpu / took}


def _held(process: psutil.Process) -> dict[str, float]:
    return {"rss_mb": process.memory_info().rss / MB, "files": process.num_fds(), "threads": process.num_threads()}


def _parts(rows: list[dict[str, float]], some: int) -> dict[str, dict[str, float]]:
    middle = (len(rows) - some) // 2
    parts = {"start": rows[:some], "middle": rows[middle : middle + some], "end": rows[-some:]}
    return {part: _medians(held) for part, held in parts.items()}


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {figure: float(np.median([row[figure] for row in rows])) for figure in FIGURES}


def sparkline(values: list[float]) -> str:
    """One bar a value, from 0 to the largest."""
    top = max(values) or 1.0
    return "".join(BARS[min(len(BARS) - 1, int(value / top * len(BARS)))] for value in values)


def main(
    minutes: Annotated[int, typer.Option(min=1)] = 60,
    rate: Annotated[float, typer.Option(help="Events/s.")] = 2_000,
    users: int = 20_000,
    items: int = 5_000,
    partitions: int = 4,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT instead of one that is started here.")] = None,
    redis: Annotated[str | None, typer.Option(help="URL of an empty database instead of one started here.")] = None,
) -> None:
    with ground(kafka, redis) as on:
        setup = WorkerSetup(unique("soak"), catalogue_model(on.folder / "models", items), partitions, users, items, 0.0)
        figures = soak(on, setup, rate, minutes)
    rows = figures["minutes"]
    show("medians", [{"when": part, **figures[part]} for part in ("start", "middle", "end", "fresh")])
    for figure in ("p50_ms", "p99_ms", "rss_mb"):
        console.print(f"{figure:8} {sparkline([row[figure] for row in rows])}")
    console.print(f"idle RSS before and after: {figures['idle_rss_mb'][0]:.0f} and {figures['idle_rss_mb'][1]:.0f} MB")
    save(json, figures)
    if figures["lost"]:
        raise SystemExit(f"{figures['lost']} probes were lost")


if __name__ == "__main__":
    run(main)
