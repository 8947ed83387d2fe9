"""How many bytes a user, an event and an item take: in a worker, in the changelog, in Kafka and in Redis.

    python -m tests.bench.footprint --users 100000 --json FILE
    python -m tests.bench.footprint --redis redis://HOST:6379/9

So many events a user are worked off by one worker, with states in float32 and then in int8. Redis is weighed by its own
`used_memory` and `MEMORY USAGE`, topics by the bytes of their logs, the worker by its gauges and its resident memory.
"""

import time
from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import redis as redis_client
import typer

from model_store.state.layout import DIM
from stream_app.catalog.sinks import ItemHashes, Places
from stream_app.contracts.knowledge import Knowledge, packed
from stream_app.settings import Flush, Settings
from stream_app.topics import administration
from tests.bench.ground import Ground, ground, unique
from tests.bench.load import Population, generate, preload
from tests.bench.model import catalogue_model
from tests.bench.report import console, run, save, show
from tests.bench.setup import WorkerSetup, drop_topics, wait_until_committed, worker_settings
from tests.bench.worker import Worker

PATIENCE_S = 1_800.0
SAMPLE = 1_000
CONTENT = 384
"""Dimension of the encoder `sentence`."""


def of_users(on: Ground, model: str, users: int, events: int, items: int, sums: str) -> dict[str, Any]:
    """One worker's users. Raises RuntimeError if the worker ended."""
    setup = WorkerSetup(unique("footprint"), model, 4, users, items, 0.0)
    settings = worker_settings(on, setup)
    settings = settings.model_copy(update={"flush": Flush.model_validate({"sums": sums})})
    with on.redis() as client:
        empty = _used(client)
        preload(on.bootstrap, settings.kafka.topics, generate(Population(users, items), events), _now_ms())
        with Worker(settings, on.folder / f"{setup.name}.log") as worker:
            began = worker.wait("model", lambda seen: seen.total("interest_users") >= 0, PATIENCE_S)
            alone = began.total("process_resident_memory_bytes")
            console.print(f"{events:,} events of {users:,} users, states in {sums}", style="dim")
            wait_until_committed(on, worker, settings, PATIENCE_S)
            seen = worker.scrape() or began
            resident = psutil.Process(worker.seen.pid).memory_info().rss
        held = int(seen.total("interest_users"))
        logs = _log_bytes(settings)
        kafka = settings.kafka
        figures = {
            "sums": sums,
            "users": held,
            "events": events,
            "state_bytes_per_user": seen.total("interest_state_bytes") / held,
            "resident_bytes_per_user_beyond_start": (resident - alone) / held,
            "resident_bytes_at_start": alone,
            "changelog_bytes_per_state_written": logs[kafka.changelog] / seen.total("interest_flush_users_sum"),
            "input_bytes_per_event": sum(logs[name] for name in kafka.topics.inputs) / events,
            "recommendation_bytes_each": logs[kafka.topics.recommendations]
            / max(1.0, seen.total("interest_recommendations_total")),
            **_of_redis(client, "interest:{", "rec:{"),
            "redis_bytes_per_user_all_told": (_used(client) - empty) / held,
        }
        client.flushdb()
    drop_topics(on, settings)
    return figures


def of_items(on: Ground, items: int) -> dict[str, Any]:
    """What the catalogue service writes of items: words and their vector, and where the model has them."""
    rng = np.random.default_rng(1)
    settings = Settings.model_validate({"redis": {"url": on.redis_url}})
    names = [f"i{number}" for number in range(items)]
    content = rng.normal(size=(items, CONTENT)).astype(np.float32)
    told = [
        Knowledge(
            name,
            1,
            f"A title of some forty characters, no. {name}",
            "h" * 32,
            "sentence:384",
            vector=packed(content[row]),
            topics={"topic 1": 0.6, "topic 2": 0.4},
        )
        for row, name in enumerate(names)
    ]
    vectors = rng.normal(size=(items, DIM)).astype(np.float32)
    with on.redis() as client, closing(ItemHashes(settings)) as hashes:
        empty = _used(client)
        hashes.write(told)
        hashes.place(Places("bench", names, vectors, vectors[:, 0]))
        figures = {
            "items": items,
            **_of_redis(client, "item:{"),
            "redis_bytes_per_item_all_told": (_used(client) - empty) / items,
            "vector_set": bool(client.exists("item:vectors")),
        }
        client.flushdb()
    return figures


def _of_redis(client: redis_client.Redis, *prefixes: str) -> dict[str, float]:
    """Mean `MEMORY USAGE` of some keys of each prefix, and how many there are."""
    found: dict[str, float] = {}
    for prefix in prefixes:
        keys = list(islice(client.scan_iter(f"{prefix}*", 1_000), SAMPLE))
        sizes = [int(client.memory_usage(key) or 0) for key in keys]
        found[f"redis_bytes_of_{prefix[:-2]}_key"] = float(np.mean(sizes)) if sizes else 0.0
    return found


def _used(client: redis_client.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def _log_bytes(settings: Settings) -> Mapping[str, int]:
    """Bytes of each topic's logs, of one replica."""
    sizes: dict[str, int] = {}
    with administration(settings) as admin:
        for broker in admin.describe_log_dirs():
            for folder in broker["log_dirs"]:
                for topic in folder["topics"]:
                    added = sum(partition["partition_size"] for partition in topic["partitions"])
                    sizes[topic["name"]] = sizes.get(topic["name"], 0) + added
    return sizes


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main(
    users: int = 100_000,
    events_per_user: int = 5,
    items: int = 5_000,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT instead of one that is started here.")] = None,
    redis: Annotated[str | None, typer.Option(help="URL of an empty database instead of one started here.")] = None,
) -> None:
    with ground(kafka, redis) as on:
        with on.redis() as client:
            about = client.info("server")
        server = f"{about.get('server_name', 'redis')} {about.get('valkey_version') or about['redis_version']}"
        console.print(f"on {server}", style="dim")
        model = catalogue_model(on.folder / "models", items)
        rows = [of_users(on, model, users, users * events_per_user, items, sums) for sums in ("float32", "int8")]
        told = of_items(on, items)
    show("bytes of users and events", rows)
    show("bytes of items", [told])
    save(json, {"server": server, "users": rows, "items": told})


if __name__ == "__main__":
    run(main)
