"""How fast a worker that starts anew takes all users' states back from the changelog, and how much memory that takes.

    python -m tests.bench.restore --users 1000000 --json FILE
    python -m tests.bench.restore --users 1000000 --partitions 64 --json FILE

The changelog is filled by the product's own codec with users who live different lives: some hundred active ones, many
with a handful of events. Then a real worker starts. The clock of the *boot* runs until the last look at which nothing
was restored yet, that of the *restore* from there until the worker is ready; afterwards one user's next event must
count on what was restored. JSON: `users_per_second`, `users_per_cpu_second` (of the worker with all its threads: the
figure of one core where others use the machine), `seconds`, `boot_seconds`, `peak_bytes` and `resident_bytes` of the
process, at its highest and in the end, and `state_bytes`, what the records themselves take.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from model_store.model import InterestModel
from model_store.state import codec
from model_store.state.advance import advance
from model_store.state.arena import Arena
from stream_app.settings import Settings
from tests.bench.ground import Ground, ground, unique
from tests.bench.load import Population, Sender, generate
from tests.bench.model import catalogue_model, current_model
from tests.bench.peers.job import as_batch, taken
from tests.bench.report import console, plain, run, save, show
from tests.bench.setup import WorkerSetup, drop_topics, worker_settings
from tests.bench.worker import Worker
from tests.failure.service import Neighbour

LIVES = 4_000
EVENTS_A_LIFE = 40
ACTIVITY = 1.3
ITEMS = 5_000
LOOK_S = 0.02
PATIENCE_S = 900.0


@dataclass(frozen=True, slots=True)
class Lives:
    """Encoded states of different users, each to be lived by many. `versions` are theirs."""

    values: list[bytes]
    versions: list[int]

    def states(self, users: int) -> Iterator[tuple[bytes, bytes]]:
        """Key and state of n users, life after life."""
        for user in range(users):
            yield b"u%d" % user, self.values[user % len(self.values)]


def lived(model: InterestModel) -> Lives:
    """Users after their events, few of them with most of the events."""
    events = generate(Population(LIVES, ITEMS, ACTIVITY), LIVES * EVENTS_A_LIFE)
    arena = Arena(LIVES)
    start_ms = time.time_ns() // 1_000_000 - len(events)
    messages = [events.message(i, start_ms + i) for i in range(len(events))]
    columns = [taken(kind, value, i) for i, (kind, _, value) in enumerate(messages)]  # type: ignore[arg-type]
    keys = [key for _, key, _ in messages]
    advance(arena, arena.rows_of(keys), as_batch(keys, columns), model.writes, model.decays)
    arena.records["next_offset"] = 0  # the inputs of the measured worker are empty
    values, ends = codec.encode(arena.records, np.arange(len(arena)))
    return Lives(
        [bytes(values[ends[i] : ends[i + 1]]) for i in range(len(arena))],
        arena.records["version"][: len(arena)].tolist(),
    )


def fill_changelog(settings: Settings, lives: Lives, users: int) -> None:
    """States of n users into the changelog; says how long that took."""
    began = time.perf_counter()
    with Sender(settings.kafka.bootstrap, linger_ms=20) as sender:
        for key, value in lives.states(users):
            sender.send(settings.kafka.changelog, key, value)
    console.print(f"{users:,} states in Kafka after {time.perf_counter() - began:.1f} s", style="dim")


def measure(on: Ground, setup: WorkerSetup) -> dict[str, Any]:
    """Figures of one run. Raises RuntimeError if the worker ended, or does not hold what it should."""
    settings = worker_settings(on, setup)
    lives = lived(current_model(setup.model_url, on.folder / setup.name))
    fill_changelog(settings, lives, setup.users)
    with Worker(settings, on.folder / f"{setup.name}.log") as worker:
        figures = _clocked(worker, setup.users)
        _demand(settings, lives, setup.users)
    drop_topics(on, settings)
    sent = sum(len(value) for _, value in lives.states(setup.users))
    return {"users": setup.users, "partitions": setup.partitions, "changelog_bytes": sent, **figures}


def _clocked(worker: Worker, users: int) -> dict[str, Any]:
    started = began = time.perf_counter()
    cpu = worker.cpu_seconds()
    while True:
        before = time.perf_counter(), worker.cpu_seconds()
        scrape = worker.scrape()
        if scrape is not None and scrape.total("interest_restored_users_total"):
            break
        began, cpu = before
        time.sleep(LOOK_S)
        if time.perf_counter() - started > PATIENCE_S:
            raise RuntimeError(f"nothing was restored within {PATIENCE_S:.0f} s")
    worker.wait("ready", lambda seen: seen.total("interest_ready") == 1, PATIENCE_S, LOOK_S)
    seconds, spent = time.perf_counter() - began, worker.cpu_seconds() - cpu
    peak, resident = worker.memory()
    scrape = worker.wait("all users", lambda seen: seen.total("interest_users") == users, PATIENCE_S)
    return {
        "users_per_second": users / seconds,
        "users_per_cpu_second": users / spent,
        "seconds": seconds,
        "cpu_seconds": spent,
        "boot_seconds": began - started,
        "peak_bytes": peak,
        "resident_bytes": resident,
        "state_bytes": int(scrape.total("interest_state_bytes")),
    }


def _demand(settings: Settings, lives: Lives, users: int) -> None:
    """One more event of the last user counts on top of what was restored."""
    user = users - 1
    service = Neighbour(settings)
    before = lives.versions[user % len(lives.versions)]
    service.send("click", f"u{user}", item_id="i1")
    found = service.interest(f"u{user}", lambda interest: interest.version > 0)
    service.close()
    if found.version != before + 1:
        raise RuntimeError(f"user u{user} has version {found.version} after an event on top of version {before}")


def main(
    users: int = 1_000_000,
    partitions: int = 8,
    runs: Annotated[int, typer.Option(help="The JSON gives the median run.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT instead of one that is started here.")] = None,
    redis: Annotated[str | None, typer.Option(help="URL of an empty database instead of one started here.")] = None,
) -> None:
    with ground(kafka, redis) as on:
        model = catalogue_model(on.folder / "models", ITEMS)
        rows = [measure(on, WorkerSetup(unique("restore"), model, partitions, users, ITEMS, 0.0)) for _ in range(runs)]
    show("recovery of one worker", [plain(row) for row in rows])
    median = sorted(rows, key=lambda row: row["users_per_second"])[len(rows) // 2]
    save(json, {**median, "runs": rows})


if __name__ == "__main__":
    run(main)
