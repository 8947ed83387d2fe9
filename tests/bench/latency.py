"""Published to readable in Redis by another client, under an even load.

    python -m tests.bench.latency --rate 2000 --seconds 30 --json FILE

The load comes from librdkafka in a process of its own. 50 events a second (a tenth, at low rates) are probes, sent by
another process and timed as `probe.py` tells, from before the producer is called. JSON: `rate, seconds, probes, lost,
p50_ms, p95_ms, p99_ms, max_ms`, what a plain Redis read cost the reader meanwhile (`redis_read_ms`, part of every
sample), the worker's share of one core (`worker_cpu`), its own mean from Kafka's timestamp to Redis's answer
(`worker_mean_ms`) and the mean of each stage of its cycles (`stages_ms`).
"""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from stream_app.local import LeashedProcess
from tests.bench.ground import Ground, ground, unique
from tests.bench.load import Followed, Sender
from tests.bench.model import catalogue_model
from tests.bench.probe import KEY_PREFIX, Probes, TrackingClient
from tests.bench.report import percentiles_ms, plain, run, save, show
from tests.bench.setup import Beside, WorkerSetup, worker_settings
from tests.bench.worker import Scrape, Worker

PROBES_PER_S = 50.0
SETTLE_S = 5.0
READY_S = 120.0


def measure(
    on: Ground, setup: WorkerSetup, rate: float, seconds: float, beside: Beside | None = None
) -> dict[str, Any]:
    """Figures of one rate; the worker starts and ends here."""
    settings = worker_settings(on, setup)
    name = settings.kafka.group
    probe_rate = min(PROBES_PER_S, rate / 10)
    with ExitStack() as stack:
        worker = stack.enter_context(Worker(settings, on.folder / f"{name}.log"))
        client = TrackingClient(on.redis_url, KEY_PREFIX)
        stack.callback(client.close)
        sender = stack.enter_context(Sender(on.bootstrap, linger_ms=0))
        clicks = settings.kafka.topics.clicks
        wait_until_readable(Probes(client, sender, clicks, f"{name}-warm"), worker)
        stack.enter_context(beside(settings) if beside else nullcontext())
        load = stack.enter_context(paced_load(on, setup, clicks.removesuffix(".clicks"), rate - probe_rate, seconds))
        Probes(client, sender, clicks, f"{name}-settle").run(probe_rate, SETTLE_S, worker.check)
        probes = Probes(client, sender, clicks, name)
        before, cpu, began = worker.scrape(), worker.cpu_seconds(), time.perf_counter()
        probes.run(probe_rate, seconds, worker.check)
        cpu, took, after = worker.cpu_seconds() - cpu, time.perf_counter() - began, worker.scrape()
        reached = load.wait(60)
    if reached:
        raise RuntimeError(f"the load generator ended with status {reached}:\n{load.log_tail()}")
    return {
        "rate": rate,
        "seconds": seconds,
        "probes": len(probes.latencies_s),
        "lost": probes.lost,
        **percentiles_ms(probes.seconds()),
        "redis_read_ms": float(np.median(probes.round_trips_s) * 1e3),
        "worker_cpu": cpu / took,
        "worker_mean_ms": mean_ms(before, after, "interest_event_to_redis_seconds"),
        "stages_ms": stages_ms(before, after),
    }


def mean_ms(before: Scrape | None, after: Scrape | None, histogram: str) -> float:
    """Mean of what a histogram of seconds took between two scrapes."""
    if before is None or after is None:
        return float("nan")
    spent, times = (after.total(histogram + part) - before.total(histogram + part) for part in ("_sum", "_count"))
    return 1e3 * spent / times if times else float("nan")


def stages_ms(before: Scrape | None, after: Scrape | None) -> dict[str, float]:
    """Mean milliseconds of each stage of a cycle between two scrapes."""
    if before is None or after is None:
        return {}
    spent, times = (
        {stage: value - before.by(name, "stage").get(stage, 0.0) for stage, value in after.by(name, "stage").items()}
        for name in ("interest_stage_seconds_sum", "interest_stage_seconds_count")
    )
    return {stage: 1e3 * spent[stage] / times[stage] for stage in spent if times[stage]}


def wait_until_readable(probes: Probes, worker: Worker) -> None:
    """The worker has joined and been assigned its partitions once a probe comes through."""
    deadline = time.monotonic() + READY_S
    while probes.once(timeout_s=2.0) is None:
        worker.check()
        if time.monotonic() > deadline:
            raise SystemExit(f"no event came through within {READY_S:.0f} s of the worker's start; see its log")


@contextmanager
def paced_load(on: Ground, setup: WorkerSetup, prefix: str, rate: float, seconds: float) -> Iterator[LeashedProcess]:
    """The load generator's process: it outlasts settling and measuring by a second, and ends with the block."""
    options = {
        "--kafka": on.bootstrap, "--prefix": prefix, "--rate": rate, "--seconds": SETTLE_S + seconds + 1,
        "--users": setup.users, "--items": setup.items, "--zipf": setup.zipf, "--followed": setup.followed.value,
    }  # fmt: skip
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, "-m", "tests.bench.load", "paced", *words]
    process = LeashedProcess(command, on.folder / f"{setup.name}-load.log")
    try:
        yield process
    finally:
        process.stop(1)


def main(
    rate: Annotated[
        list[float] | None, typer.Option(help="Events/s; several in turn. Default 500, 2000, 5000.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long each rate is measured, after 5 s of settling.")] = 30,
    users: int = 20_000,
    items: int = 5_000,
    zipf: float = 0.0,
    partitions: int = 4,
    followed: Annotated[Followed, typer.Option(help="Whom a tenth of the events follows.")] = Followed.CREATOR,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT instead of one that is started here.")] = None,
    redis: Annotated[str | None, typer.Option(help="URL of an empty database instead of one started here.")] = None,
) -> None:
    rows = []
    with ground(kafka, redis) as on:
        model = catalogue_model(on.folder / "models", items)
        for each in rate or [500.0, 2_000.0, 5_000.0]:
            setup = WorkerSetup(unique("latency"), model, partitions, users, items, zipf, followed=followed)
            rows.append(measure(on, setup, each, seconds))
            on.empty_redis()
    show("published to readable in Redis by another client", [plain(row) for row in rows])
    show("mean ms of a cycle's stages", [{"rate": row["rate"], **row["stages_ms"]} for row in rows])
    save(json, {**rows[0], "rows": rows} if len(rows) == 1 else {"rows": rows})
    if any(row["lost"] for row in rows):
        raise SystemExit("probes were lost: the percentiles are too good")


if __name__ == "__main__":
    run(main)
