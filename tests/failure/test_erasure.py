"""After an erasure nothing tells of the user: not Redis, not what Kafka has on its disk, not what the worker holds."""

import asyncio
import gc
import time
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
import redis
from kafka.admin import ConfigResource, ConfigResourceType

from model_store.model import InterestModel
from model_store.state.hashing import partition_of
from stream_app import topics
from stream_app.local import LocalKafka
from tests.bench.ground import unique
from tests.bench.model import catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.found import read_topic
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, new_user, now_ms, wait_for
from tests.failure.test_races import NOW_MS, PARTITIONS, model, record, run, running, settled, slab, until

__all__ = ["model"]  # the fixture

AT_ONCE = {
    "segment.ms": "500",
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "500",
    "delete.retention.ms": "0",
    "file.delete.delay.ms": "0",
}
"""The compaction window in a second."""
END_S = 90.0
COMPACTED_S = 120.0


@pytest.fixture
def worker(kafka: LocalKafka, redis_url: str, nursery: Nursery, tmp_path: Path) -> Iterator[Member]:
    url = redis_url.removesuffix("0") + "8"
    settings = member_settings(
        kafka.bootstrap, url, catalogue_model(tmp_path / "models", 40), unique("erasure"), tmp_path, 1,
        redis={"erased_ttl_s": 2}, recommend={"min_interval_s": 0.0},
    )  # fmt: skip
    make_topics(settings)
    with topics.administration(settings) as admin:
        names = (settings.kafka.changelog, settings.kafka.topics.recommendations)
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, AT_ONCE) for name in names])
        broker = ConfigResource(ConfigResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "200"})
        admin.alter_configs([broker])
    member = Member(settings, tmp_path / "worker.log", nursery)
    member.start()
    yield member
    member.__exit__(None, None, None)


@pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")
def test_no_byte_of_an_erased_user_is_left(worker: Member, kafka: LocalKafka) -> None:
    settings = worker.settings
    service, user, other = Neighbour(settings), new_user(), new_user()
    changelog, recommendations = settings.kafka.changelog, settings.kafka.topics.recommendations
    worker.wait_ready()
    for number in range(5):
        service.send("click", user, item_id=f"i{number}")
    service.events_of(user, 5)
    service.until_committed()
    (state,) = [one.value() for one in read_topic(kafka.bootstrap, changelog) if one.key() == user.encode()][-1:]
    secrets = [user.encode(), (state or b"")[-200:-136]]
    assert service.recommendations(user)
    assert all(secret in _on_disk(kafka, changelog) for secret in secrets)
    assert user.encode() in _on_disk(kafka, recommendations)
    assert any(user.encode() in text for text in _in_redis(settings))

    erased = service.send("erasure", user)
    service.until_committed()
    service.send("click", user, ts=erased["ts"] - 1, item_id="i9")  # late
    service.until_committed()
    assert service.recommendations(user) == []  # its consumers are told
    _until_gone(kafka, service, other, {changelog: secrets, recommendations: secrets[:1]})
    wait_for("Redis", lambda: not any(user.encode() in text for text in _in_redis(settings)) or None)

    worker.kill()
    worker.start()
    worker.wait_ready()
    service.send("click", user, ts=erased["ts"], item_id="i9")
    service.until_committed()
    assert service.reader.get(user) is None
    assert service.recommendations(user) == []
    service.send("click", user, ts=now_ms(), item_id="i3")
    anew = service.events_of(user, 1)
    assert (anew.version, anew.events, anew.windows["24h"].clicks) == (9, 1, 1)
    service.close()


def _until_gone(kafka: LocalKafka, service: Neighbour, other: str, secrets: dict[str, list[bytes]]) -> None:
    """Kafka compacts what is not being written, so somebody else goes on."""
    deadline = time.monotonic() + COMPACTED_S
    while left := [(topic, one) for topic, mine in secrets.items() for one in mine if one in _on_disk(kafka, topic)]:
        if time.monotonic() > deadline:
            raise AssertionError(f"still on disk: {left}")
        service.send("click", other, item_id="i1")
        service.flush()
        time.sleep(0.4)


def _on_disk(kafka: LocalKafka, topic: str) -> bytes:
    """All bytes that the broker has of a topic."""
    texts = []
    for file in sorted((kafka.folder / "data").glob(f"{topic}-*/*")):
        try:
            texts.append(file.read_bytes())
        except FileNotFoundError:  # compacted meanwhile
            continue
    return b"\0".join(texts)


def _in_redis(settings: Any) -> list[bytes]:
    """All keys and values."""
    with redis.Redis.from_url(settings.redis.url.get_secret_value()) as client:
        keys = list(client.scan_iter())
        values = [client.hgetall(key) if client.type(key) == b"hash" else client.get(key) for key in keys]
    return [b"%r" % one for one in [*keys, *values] if one is not None]


def test_a_worker_holds_nothing_of_an_erased_user(model: InterestModel) -> None:
    """Neither in its table nor in anything else that it can reach, once others' events have come."""

    async def story() -> None:
        async with running(model) as (updater, world):
            user, other = b"erase-me-please", b"somebody-else"
            partition = partition_of(user, PARTITIONS)
            updater.put(slab(world, "click", [user]))
            await until(lambda: bool(world.redis))
            await settled(updater)
            row = updater.states[partition].row(user)
            assert row is not None
            assert record(updater, user)["rank"].any()
            assert _path_to(user, updater)
            updater.put(slab(world, "erasure", [user]))
            await until(lambda: world.redis[user][1])
            updater.put(slab(world, "click", [user], ts=NOW_MS - 1))  # late
            await until(lambda: world.redis[user][0] == 3)
            await settled(updater)
            arena = updater.states[partition]
            assert user not in arena
            assert not arena.records["rank"][row].any()
            assert _path_to(user, updater) == []
            updater.put(slab(world, "click", [other]))
            await until(lambda: other in world.redis)
            await settled(updater)
            assert _path_to(user, updater) == []

    run(story())


def test_a_replay_of_old_events_leaves_no_id_behind(model: InterestModel) -> None:
    """The mark goes by the id while they are at work, though nothing of it changes and nothing is logged."""

    async def story() -> None:
        async with running(model) as (updater, world):
            user, other = b"erase-me-please", b"somebody-else"
            click = slab(world, "click", [user])
            updater.put(click)
            updater.put(slab(world, "erasure", [user]))
            await until(lambda: world.redis.get(user) == (2, True))
            await settled(updater)
            updater.put(click)
            updater.put(slab(world, "click", [other]))
            await until(lambda: other in world.redis)
            await settled(updater)
            assert _path_to(user, updater) == []
            assert user not in world.states

    run(story())


def _path_to(token: bytes, updater: Any) -> list[str]:
    """How the updater or one of its tasks leads to an object with these bytes in it; empty if none does."""
    gc.collect()
    coroutines = [task.get_coro() for task in asyncio.all_tasks()]
    mine = [one for one in coroutines if getattr(one, "__qualname__", "").startswith("Updater.")]
    assert mine
    outside = (updater._sinks, updater.source, updater._flood, updater.model, updater._settings)
    came_from: dict[int, Any] = {id(one): None for one in (*outside, *asyncio.all_tasks())}
    waiting = [updater, *mine]
    came_from |= {id(one): None for one in waiting}
    while waiting:
        one = waiting.pop()
        if _holds(one, token):
            return _names(one, came_from)
        for referent in gc.get_referents(one):
            if id(referent) not in came_from and not isinstance(referent, type | FunctionType | ModuleType):
                came_from[id(referent)] = one
                waiting.append(referent)
    return []


def _names(one: Any, came_from: dict[int, Any]) -> list[str]:
    names = [repr(one)[:80]]
    while (one := came_from[id(one)]) is not None:
        names.append(getattr(one, "__qualname__", type(one).__name__))
    return names


def _holds(one: Any, token: bytes) -> bool:
    if isinstance(one, str):
        return token.decode() in one
    if isinstance(one, bytes | bytearray | memoryview):
        return token in bytes(one)
    return isinstance(one, np.ndarray) and one.dtype != object and one.nbytes < 1 << 24 and token in one.tobytes()
