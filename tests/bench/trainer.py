"""Whether the trainer keeps up with a stream, on one core.

    python -m tests.bench.trainer --rate 3000 --seconds 120 --json FILE

The load comes from librdkafka in a process of its own; the trainer is bound to one core. It learns, publishes each 20
seconds and takes a snapshot each minute. JSON: `rate, seconds, events_per_second` (read), `lag_events` (when the load
ended), `cpu` (share of a core), `learnt, counted, held_out` (shares of the clicks), `versions` (by outcome),
`published_mb` (whole, differences), `seconds_of` (each stage), `rss_mb` at the end.
"""

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from stream_app.local import LeashedProcess
from stream_app.local.leash import ProcessGroup
from tests.bench.ground import Ground, ground, unique
from tests.bench.latency import paced_load
from tests.bench.model import catalogue_model
from tests.bench.report import console, plain, run, save, show
from tests.bench.setup import WorkerSetup, worker_settings
from tests.bench.worker import Scrape, Worker

LOOK_S = 1.0
WARM_S = 10.0
READY_S = 120.0
POLICY = {"publish_interval_s": 20.0, "snapshot_interval_s": 60.0}
USES = ("learnt", "counted", "held_out")


class TrainerProcess(Worker):
    """`interest trainer`, on one core."""

    def _launch(self) -> ProcessGroup:
        return LeashedProcess([sys.executable, "-m", "stream_app", "trainer"], self.log, self._env)


def measure(on: Ground, setup: WorkerSetup, rate: float, seconds: float) -> dict[str, Any]:
    """Figures of one rate. Raises RuntimeError if the trainer ended."""
    settings = worker_settings(on, setup)
    settings = settings.model_copy(update={"trainer": settings.trainer.model_copy(update=POLICY)})
    prefix = settings.kafka.topics.clicks.removesuffix(".clicks")
    with ExitStack() as stack:
        trainer = stack.enter_context(TrainerProcess(settings, on.folder / f"{setup.name}.log"))
        trainer.wait("the trainer to read", lambda seen: seen.total("interest_trainer_lag_events") == 0, READY_S)
        os.sched_setaffinity(trainer.seen.pid, {max(os.sched_getaffinity(0))})
        stack.enter_context(paced_load(on, setup, prefix, rate, WARM_S + seconds))
        time.sleep(WARM_S)
        before, cpu, began = _scraped(trainer), trainer.cpu_seconds(), time.perf_counter()
        progress = stack.enter_context(Progress(console=console, transient=True))
        for _ in progress.track(range(int(seconds / LOOK_S)), description="learning"):
            time.sleep(LOOK_S)
            trainer.check()
        after, took = _scraped(trainer), time.perf_counter() - began
        cpu, (_, resident) = trainer.cpu_seconds() - cpu, trainer.memory()
    return {"rate": rate, "seconds": took, **_between(before, after, took), "cpu": cpu / took, "rss_mb": resident >> 20}


def _scraped(trainer: Worker) -> Scrape:
    return trainer.wait("metrics", lambda _: True, READY_S)


def _between(before: Scrape, after: Scrape, seconds: float) -> dict[str, Any]:
    def grown(name: str, label: str) -> dict[str, float]:
        old = before.by(name, label)
        return {value: count - old.get(value, 0.0) for value, count in after.by(name, label).items()}

    clicks = grown("interest_trainer_clicks_total", "use")
    records = "interest_trainer_records_total"
    return {
        "events_per_second": (after.total(records) - before.total(records)) / seconds,
        "lag_events": after.total("interest_trainer_lag_events"),
        **{use: clicks[use] / max(1.0, sum(clicks.values())) for use in USES},
        "versions": grown("interest_trainer_versions_total", "outcome"),
        "published_mb": {
            how: size / 1e6 for how, size in grown("interest_trainer_published_bytes_total", "how").items()
        },
        "seconds_of": grown("interest_trainer_stage_seconds_sum", "stage"),
    }


def main(
    rate: Annotated[list[float] | None, typer.Option(help="Events/s; several in turn. Default 3000.")] = None,
    seconds: Annotated[float, typer.Option(help="How long each rate is measured, after 10 s of settling.")] = 120,
    users: int = 20_000,
    items: int = 5_000,
    zipf: float = 0.0,
    partitions: int = 4,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT instead of one that is started here.")] = None,
    redis: Annotated[str | None, typer.Option(help="Not used by a trainer.")] = None,
) -> None:
    with ground(kafka, redis) as on:
        model = catalogue_model(on.folder / "models", items)
        rows = [
            measure(on, WorkerSetup(unique("trainer"), model, partitions, users, items, zipf), each, seconds)
            for each in rate or [3_000.0]
        ]
    show("a trainer on one core", [plain(row) for row in rows])
    show("versions, by outcome", [row["versions"] for row in rows])
    show("megabytes published", [row["published_mb"] for row in rows])
    show("seconds in each stage", [row["seconds_of"] for row in rows])
    save(json, {**rows[0], "rows": rows} if len(rows) == 1 else {"rows": rows})


if __name__ == "__main__":
    run(main)
