"""How many bytes a user, an event and an item take: in a worker, in the changelog, in the inputs and in Redis.

    python -m tests.bench.footprint --users 100000 --json FILE
    python -m tests.bench.footprint --redis redis://HOST:6379/9

States are lived by the product's own kernels and encoded by its codec, users and items are written by its sinks, events
lie in a real Kafka. Redis is weighed by its own `used_memory`: `MEMORY USAGE` looks at some fields and guesses others.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import redis as redis_client
import typer

from model_store.state import codec
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.layout import DIM, USER
from stream_app.catalog.sinks import ItemHashes, Places
from stream_app.contracts import recommendations as wire
from stream_app.contracts.knowledge import Knowledge, packed
from stream_app.contracts.recommendations import Item, Reason, Recommendation, Trigger
from stream_app.contracts.redis_layout import ModelCard
from stream_app.settings import Settings, load
from stream_app.sinks.redis import RedisSink
from stream_app.topics import administration, create
from tests.bench.ground import Ground, ground, unique
from tests.bench.load import Population, generate, preload, topics_named
from tests.bench.model import catalogue_model, current_model
from tests.bench.peers.job import as_batch, taken
from tests.bench.report import run, save, show
from tests.views import TOPICS, random_views

NOW_MS = 1_790_000_000_000
LIVES = 2_000
LENGTHS = (1, 5, 20, 100)
"""Events of a user."""
CONTENT = 384
"""Dimension of the encoder `sentence`."""
BATCH = 500


def of_states(model: Any) -> list[dict[str, Any]]:
    """Bytes of a state in the changelog, by events of the user. In a worker it takes as many, whatever there are."""
    rows = []
    for length in LENGTHS:
        events = generate(Population(LIVES, 5_000), LIVES * length)
        messages = [events.message(i, NOW_MS + 1_000 * i) for i in range(len(events))]
        arena, keys = Arena(LIVES), [b"u%d" % (i % LIVES) for i in range(len(events))]
        columns = [taken(kind, value, i) for i, (kind, _, value) in enumerate(messages)]  # type: ignore[arg-type]
        advance(arena, arena.rows_of(keys), as_batch(keys, columns), model.writes, model.decays)
        every = np.arange(len(arena))
        rows.append(
            {
                "events_of_a_user": length,
                "in_a_worker": USER.itemsize,
                "changelog_float32": codec.encode(arena.records, every, codec.EXACT)[1][-1] / len(arena),
                "changelog_int8": codec.encode(arena.records, every, codec.IN_BYTES)[1][-1] / len(arena),
            }
        )
    return rows


def of_events(on: Ground, events: int) -> float:
    """Bytes of an event in the logs of the inputs."""
    settings = load(kafka={"bootstrap": on.bootstrap, "topics": topics_named(unique("footprint")), "partitions": 4})
    create(settings)
    preload(
        on.bootstrap, settings.kafka.topics, generate(Population(20_000, 5_000), events), time.time_ns() // 1_000_000
    )
    sizes = _log_bytes(settings)
    return sum(sizes[name] for name in settings.kafka.topics.inputs) / events


def of_users(on: Ground, users: int) -> dict[str, Any]:
    """Bytes of a user in Redis, without and with the latest recommendations."""
    return {
        "redis_bytes_per_user": _weighed(on, users, lambda: asyncio.run(_write_users(on, users, recommended=False))),
        "with_recommendations": _weighed(on, users, lambda: asyncio.run(_write_users(on, users, recommended=True))),
        "bytes_of_a_recommendation_event": len(_recommendation("user-00000001")),
    }


async def _write_users(on: Ground, users: int, *, recommended: bool) -> None:
    sink = RedisSink(_settings(on).redis)
    await sink.open()
    try:
        await sink.announce(ModelCard("footprint", TOPICS, generation=1), NOW_MS)
        for start in range(0, users, BATCH):
            names = [f"user-{number:08d}" for number in range(start, min(start + BATCH, users))]
            told = {row: _recommendation(name) for row, name in enumerate(names)} if recommended else {}
            await sink.write(random_views(names, 1, seed=start, recommendations=told))
    finally:
        await sink.close()


def _recommendation(user: str) -> bytes:
    """As long as they are in practice: ten items, each with its reason."""
    items = [
        Item(f"item-{n:06d}", 3.1234567 - n / 10, Reason("behaviour", "Drama", f"item-{n + 1:06d}")) for n in range(10)
    ]
    name = wire.recommendation_id(user, 0, 3)
    return wire.encode(
        Recommendation(name, user, NOW_MS, Trigger("click", f"{user}-0001", NOW_MS), "a-model-version", items)
    )


def of_items(on: Ground, items: int) -> dict[str, Any]:
    """Bytes of an item in Redis: what the catalogue knows of it, and where the model has it."""
    rng = np.random.default_rng(1)
    names = [f"i{number}" for number in range(items)]
    content = rng.normal(size=(items, CONTENT)).astype(np.float32)
    vectors = rng.normal(size=(items, DIM)).astype(np.float32)
    told = [
        Knowledge(
            name,
            1,
            f"A title of some forty characters, no. {name}",
            "h" * 32,
            "sentence:384",
            vector=packed(content[row]),
            topics={"Drama": 0.6, "War": 0.4},
        )
        for row, name in enumerate(names)
    ]
    with closing(ItemHashes(_settings(on))) as hashes:

        def write() -> None:
            hashes.write(told)
            for part in Places("footprint", names, vectors, vectors[:, 0]).parts(BATCH):
                hashes.place(part)

        return {"items": items, "redis_bytes_per_item": _weighed(on, items, write)}


def _weighed(on: Ground, count: int, write: Callable[[], None]) -> float:
    """By how much Redis grows for each of what is written, into an empty one."""
    with redis_client.Redis.from_url(on.redis_url, socket_timeout=120) as client:
        client.execute_command("FLUSHDB", "SYNC")  # what is freed later would count as shrunk
        empty = int(client.info("memory")["used_memory"])
        write()
        grown = int(client.info("memory")["used_memory"]) - empty
        client.execute_command("FLUSHDB", "SYNC")
    return grown / count


def _settings(on: Ground) -> Settings:
    return load(redis={"url": on.redis_url})


def _log_bytes(settings: Settings) -> Mapping[str, int]:
    """Bytes of each topic's logs."""
    sizes: dict[str, int] = {}
    with administration(settings) as admin:
        folders = [folder for broker in admin.describe_log_dirs() for folder in broker["log_dirs"]]
    for topic in (topic for folder in folders for topic in folder["topics"]):
        added = sum(partition["partition_size"] for partition in topic["partitions"])
        sizes[topic["name"]] = sizes.get(topic["name"], 0) + added
    return sizes


def main(
    users: int = 100_000,
    items: int = 20_000,
    events: int = 100_000,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT instead of one that is started here.")] = None,
    redis: Annotated[str | None, typer.Option(help="URL of an empty database instead of one started here.")] = None,
) -> None:
    with ground(kafka, redis) as on:
        with on.redis() as client:
            about = client.info("server")
        states = of_states(current_model(catalogue_model(on.folder / "models", 5_000), on.folder / "fetched"))
        held = {
            "server": f"{about.get('server_name', 'redis')} {about.get('valkey_version') or about['redis_version']}",
            "input_bytes_per_event": of_events(on, events),
            **of_users(on, users),
            **of_items(on, items),
        }
    show("bytes of a state", states)
    show("bytes in Kafka and Redis", [held])
    save(json, {**held, "states": states})


if __name__ == "__main__":
    run(main)
