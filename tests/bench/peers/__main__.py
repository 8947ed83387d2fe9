"""The same job on other stream processors, one after the other, and the table.

    python -m tests.bench.peers --json FILE

What the job is stands in `job.py`, how each framework's users would write it in a file of its name. Every peer gets
topics of its own with as many events of the same population as it can work off in a reasonable time, and its clock
starts after the first fifth of them (joining, compilation and caches aside). After each run Redis is compared with the
events applied in memory. JSON: `rows` of `name, events, events_per_second, cpu_seconds_per_million_events,
ratio_to_ours` (a peer's speed over ours) and `ours_is_times` (the other way round).
"""

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from stream_app.local import LeashedProcess
from tests.bench.check import compare, reference
from tests.bench.ground import Broker, Ground, ground, unique
from tests.bench.load import Population, generate, preload
from tests.bench.model import catalogue_model, current_model
from tests.bench.peers.spec import Measured, Spec
from tests.bench.report import console, run, save, show
from tests.bench.setup import WorkerSetup
from tests.bench.throughput import measure

TIMEOUT_S = 900.0
OURS = "interest worker"


@dataclass(frozen=True, slots=True)
class Peer:
    """`module` in this folder runs it; `share` of the events that our worker gets; `note` says how it does the job."""

    name: str
    module: str
    share: float
    does_the_job: bool
    note: str


PEERS = (
    Peer("stock Faust", "stock_faust", 0.05, True, "one event, one table set, one readout, one write at a time"),
    Peer("Quix Streams", "quix", 0.15, True, "one event at a time, batching sink, checkpoint every second"),
    Peer(
        "Bytewax", "bytewax_flow", 0.25, True, "a user's events of a batch at a time, batching sink, epoch of a second"
    ),
    Peer("aiokafka loop", "aiokafka_loop", 1.0, False, "the floor: takes the events and does nothing"),
)


def measure_peer(
    on: Ground, peer: Peer, population: Population, events: int, partitions: int, model_url: str
) -> Measured:
    """One peer's run from preloading to comparing. Raises RuntimeError if it failed or did not do its job."""
    name = unique(peer.module.replace("_", "-"))
    folder = on.folder / name
    folder.mkdir()
    spec = Spec(
        name=name, bootstrap=on.bootstrap, redis_url=on.redis_url, model_url=model_url, folder=str(folder),
        prefix=name, partitions=partitions, events=events, warm_up=events // 5,
    )  # fmt: skip
    drawn, end_ms = generate(population, events), time.time_ns() // 1_000_000
    broker = Broker(on.bootstrap)
    broker.create(list(spec.inputs), partitions)
    preload(on.bootstrap, spec.topics, drawn, end_ms)
    measured = _run(spec, peer, folder)
    if peer.does_the_job:
        model = current_model(model_url, folder)
        with on.redis() as client:
            compare(client, reference(drawn, end_ms, model), model).demand(peer.name)
    on.empty_redis()
    broker.delete(list(spec.inputs))
    return measured


def _run(spec: Spec, peer: Peer, folder: Path) -> Measured:
    told, result = folder / "spec.json", folder / "measured.json"
    told.write_bytes(msgspec.json.encode(spec))
    command = [sys.executable, "-m", f"tests.bench.peers.{peer.module}", str(told)]
    process = LeashedProcess(command, folder / "log")
    try:
        status = process.wait(TIMEOUT_S)
    finally:
        process.stop(1)
    if not result.exists():
        end = process.log_tail(30)
        raise RuntimeError(f"{peer.name} ended with status {status} before all events were done:\n{end}")
    return msgspec.json.decode(result.read_bytes(), type=Measured)


def row(name: str, measured: Measured, ours: float | None, how: str) -> dict[str, Any]:
    """`ratio_to_ours`: this row's events/s over those of our worker with everything on (`ours`; None: this is it)."""
    speed = measured.events_per_second
    return {
        "name": name,
        "events": measured.events,
        "events_per_second": speed,
        "cpu_seconds_per_million_events": measured.cpu_seconds_per_million_events,
        "ratio_to_ours": speed / ours if ours else 1.0,
        "ours_is_times": ours / speed if ours else 1.0,
        "how": how,
    }


def our_rows(on: Ground, setup: WorkerSetup, events: int) -> list[dict[str, Any]]:
    """Our worker with everything on, and without recommendations, which the peers do not make."""
    full = measure(on, setup, events)
    bare = measure(on, replace(setup, name=unique("bare"), recommend=False), events)
    full_row, bare_row = (Measured(events, run["seconds"], run["cpu_seconds"]) for run in (full, bare))
    return [
        row(OURS, full_row, None, "slabs; also checks, dead letters, recommendations, metrics"),
        row(f"{OURS}, the peers' job", bare_row, full_row.events_per_second, "slabs; without recommendations"),
    ]


def main(
    events: Annotated[int, typer.Option(help="Events for our worker; a peer gets its share of them.")] = 400_000,
    users: int = 20_000,
    items: int = 5_000,
    zipf: float = 0.0,
    partitions: int = 4,
    only: Annotated[list[str] | None, typer.Option(help="Module of a peer; all by default.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT instead of one that is started here.")] = None,
    redis: Annotated[str | None, typer.Option(help="URL of an empty database instead of one started here.")] = None,
) -> None:
    population = Population(users, items, zipf)
    chosen = [peer for peer in PEERS if not only or peer.module in only]
    with ground(kafka, redis) as on:
        model = catalogue_model(on.folder / "models", items)
        console.print(OURS, style="dim")
        rows = our_rows(on, WorkerSetup(unique("ours"), model, partitions, users, items, zipf), events)
        for peer in chosen:
            console.print(peer.name, style="dim")
            measured = measure_peer(on, peer, population, int(events * peer.share), partitions, model)
            rows.append(row(peer.name, measured, rows[0]["events_per_second"], peer.note))
    show("the same job", [{name: value for name, value in row.items() if name != "how"} for row in rows])
    for each in rows:
        console.print(f"{each['name']}: {each['how']}", style="dim")
    save(json, {"rows": rows})


if __name__ == "__main__":
    run(main)
