"""How many events one worker works off in a second, everything switched on.

    python -m tests.bench.throughput --json FILE
    python -m tests.bench.throughput --zipf 1.2 --partitions 8 --json FILE

All events lie in Kafka before the worker starts. The clock starts with the last look at which the worker had not taken
any, so joining the group is not in it, and ends when nothing is left uncommitted: by then every state is in the
changelog and every user in Redis. Redis is compared with the same events applied in memory. JSON: `events_per_second`
and, to when all events were applied but not yet written, `applied_events_per_second`; `cpu_seconds_per_million_events`
of the worker; `stages`, seconds in each.
"""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from stream_app.settings import Settings
from tests.bench.check import compare, reference
from tests.bench.ground import Ground, ground, unique
from tests.bench.load import Population, generate, preload
from tests.bench.model import catalogue_model, current_model
from tests.bench.report import console, plain, run, save, show
from tests.bench.setup import Beside, WorkerSetup, drop_topics, wait_until_committed, worker_settings
from tests.bench.worker import Scrape, Worker

START_S = 120.0
LOOK_S = 0.01
PATIENCE_S = 600.0


def measure(on: Ground, setup: WorkerSetup, events: int, beside: Beside | None = None) -> dict[str, Any]:
    """Figures of one run. Raises RuntimeError if the worker ended, or if Redis is not as it should be afterwards."""
    settings = worker_settings(on, setup)
    drawn = generate(Population(setup.users, setup.items, setup.zipf), events)
    end_ms = time.time_ns() // 1_000_000
    loaded = preload(on.bootstrap, settings.kafka.topics, drawn, end_ms)
    console.print(f"{events:,} events in Kafka after {loaded:.1f} s", style="dim")
    with (
        beside(settings) if beside else nullcontext(),
        Worker(settings, on.folder / f"{setup.name}.log") as worker,
    ):
        figures = _clocked(on, worker, settings, events)
    model = current_model(setup.model_url, on.folder / setup.name)
    with on.redis() as client:
        compare(client, reference(drawn, end_ms, model), model).demand("the worker")
    on.empty_redis()
    drop_topics(on, settings)
    return {"events": events, "users": setup.users, "zipf": setup.zipf, "partitions": setup.partitions, **figures}


def _clocked(on: Ground, worker: Worker, settings: Settings, events: int) -> dict[str, Any]:
    began, cpu = _first_taken(worker)
    scrape = worker.wait("all events applied", lambda seen: _applied(seen) >= events, PATIENCE_S)
    applied_s = time.perf_counter() - began
    wait_until_committed(on, worker, settings, PATIENCE_S)
    seconds, cpu = time.perf_counter() - began, worker.cpu_seconds() - cpu
    scrape = worker.scrape() or scrape
    return {
        "events_per_second": events / seconds,
        "applied_events_per_second": events / applied_s,
        "cpu_seconds_per_million_events": cpu / events * 1e6,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "recommendations": int(scrape.total("interest_recommendations_total")),
        "stages": scrape.by("interest_stage_seconds_sum", "stage"),
        "outcomes": scrape.by("interest_events_total", "outcome"),
    }


def _first_taken(worker: Worker) -> tuple[float, float]:
    """Clock and the worker's CPU seconds when last no event had been taken."""
    deadline = time.monotonic() + START_S
    began = time.perf_counter(), worker.cpu_seconds()
    while time.monotonic() < deadline:
        before = time.perf_counter(), worker.cpu_seconds()
        scrape = worker.scrape()
        if scrape is not None and scrape.total("interest_slab_events_sum"):
            return began
        began = before
        time.sleep(LOOK_S)
    raise RuntimeError(f"the worker took no event within {START_S:.0f} s")


def _applied(scrape: Scrape) -> float:
    return scrape.total("interest_events_total")


def main(
    events: int = 400_000,
    users: int = 20_000,
    items: int = 5_000,
    zipf: Annotated[float, typer.Option(help="Exponent of the users' activity; 0: all alike.")] = 0.0,
    partitions: int = 4,
    runs: Annotated[int, typer.Option(help="The JSON gives the median run.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT instead of one that is started here.")] = None,
    redis: Annotated[str | None, typer.Option(help="URL of an empty database instead of one started here.")] = None,
) -> None:
    with ground(kafka, redis) as on:
        model = catalogue_model(on.folder / "models", items)
        rows = [
            measure(on, WorkerSetup(unique("throughput"), model, partitions, users, items, zipf), events)
            for _ in range(runs)
        ]
    show("throughput of one worker", [plain(row) for row in rows])
    median = sorted(rows, key=lambda row: row["events_per_second"])[len(rows) // 2]
    show("seconds in each stage", [{name: round(spent, 3) for name, spent in median["stages"].items()}])
    save(json, {**median, "runs": rows})


if __name__ == "__main__":
    run(main)
