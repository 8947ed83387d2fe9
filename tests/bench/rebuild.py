"""Refilling an empty Redis from the state table: users/s, and bytes in Redis."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stream_app.rebuild import rebuild
from tests.bench.ground import Ground, ground, unique
from tests.bench.model import catalogue_model, current_model
from tests.bench.report import plain, run, save, show
from tests.bench.restore import ITEMS, fill_changelog, lived
from tests.bench.setup import WorkerSetup, drop_topics, worker_settings


def measure(on: Ground, setup: WorkerSetup) -> dict[str, Any]:
    """Figures of one run: of an empty Redis, and of the same once more, where nothing is missing."""
    settings = worker_settings(on, setup)
    model = current_model(setup.model_url, on.folder / setup.name)
    fill_changelog(settings, lived(model), setup.users)
    on.empty_redis()
    first = rebuild(settings, model, settle_s=0)
    with on.redis() as client:
        held, keys = client.info("memory")["used_memory"], client.dbsize()
    again = rebuild(settings, model, settle_s=0)
    drop_topics(on, settings)
    if (first.written, again.written, keys) != (setup.users, 0, setup.users + 1):
        raise RuntimeError(f"of {setup.users} users {first.written} were written, then {again.written}; {keys} keys")
    return {
        "users": setup.users,
        "users_per_second": first.users_per_second,
        "seconds": first.seconds,
        "again_users_per_second": again.users_per_second,
        "redis_bytes": held,
    }


def main(
    users: int = 200_000,
    partitions: int = 8,
    runs: Annotated[int, typer.Option(help="The JSON gives the median run.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT instead of one that is started here.")] = None,
    redis: Annotated[str | None, typer.Option(help="URL of an empty database instead of one started here.")] = None,
) -> None:
    with ground(kafka, redis) as on:
        model = catalogue_model(on.folder / "models", ITEMS)
        rows = [measure(on, WorkerSetup(unique("rebuild"), model, partitions, users, ITEMS, 0.0)) for _ in range(runs)]
    show("refilling Redis", [plain(row) for row in rows])
    median = sorted(rows, key=lambda row: row["users_per_second"])[len(rows) // 2]
    save(json, {**median, "runs": rows})


if __name__ == "__main__":
    run(main)
