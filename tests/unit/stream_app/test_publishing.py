"""Which workers publish, by what stands in Redis, and what becomes of that when Redis is away or empty."""

import asyncio
from dataclasses import dataclass

import pytest
from redis.exceptions import ConnectionError as RedisAwayError

from stream_app.contracts import generations
from stream_app.contracts.errors import StopWorker
from stream_app.contracts.generations import AT_FIRST
from stream_app.observability import WorkerMetrics
from stream_app.publishing import Publishing
from stream_app.settings import Kafka

AT_MS = 1_000_000
HANDOVER_MS = 60_000


@dataclass
class FakeRedis:
    value: bytes | None = None
    away: bool = False

    async def serving(self) -> bytes | None:
        return self.value

    async def look_serving(self) -> bytes | None:
        if self.away:
            raise RedisAwayError("away")
        return self.value

    async def remember_serving(self, value: bytes) -> None:
        self.value = self.value or value


@dataclass
class World:
    redis: FakeRedis
    now_ms: int = AT_MS

    def begun(self, generation: int) -> Publishing:
        """A worker of that generation that has looked once."""
        made = Publishing(self.redis, Kafka(generation=generation), WorkerMetrics(), lambda: self.now_ms)
        asyncio.run(made.begin())
        return made


@pytest.fixture
def world() -> World:
    return World(FakeRedis())


TO_SECOND = generations.encode(AT_FIRST.then(2, AT_MS))


def test_where_nothing_is_written_the_first_publishes(world: World) -> None:
    assert world.begun(1).may()
    assert not world.begun(2).may()


def test_a_promoted_worker_begins_and_the_one_before_ends_without_a_restart(world: World) -> None:
    first, second = world.begun(1), world.begun(2)
    world.redis.value = TO_SECOND
    for one in (first, second):
        asyncio.run(one.look())
    assert (first.may(), second.may()) == (True, True)
    world.now_ms += HANDOVER_MS
    assert (first.may(), second.may()) == (False, True)


def test_a_worker_that_starts_after_the_switch_knows(world: World) -> None:
    world.redis.value, world.now_ms = TO_SECOND, AT_MS + HANDOVER_MS
    assert (world.begun(1).may(), world.begun(2).may()) == (False, True)


def test_a_redis_that_lost_everything_is_told_again(world: World) -> None:
    world.redis.value = TO_SECOND
    worker = world.begun(2)
    world.redis.value = None
    asyncio.run(worker.look())
    assert (world.redis.value, worker.may()) == (TO_SECOND, True)


def test_nothing_is_put_where_nothing_was(world: World) -> None:
    worker = world.begun(1)
    asyncio.run(worker.look())
    assert world.redis.value is None


def test_while_redis_is_away_what_was_seen_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.redis.value = TO_SECOND
    worker = world.begun(2)
    monkeypatch.setattr("stream_app.publishing.LOOK_S", 0.0)
    world.redis.away = True

    async def watch() -> None:
        watching = asyncio.create_task(worker.watch_forever())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not watching.done()
        watching.cancel()

    asyncio.run(watch())
    assert worker.may()


@pytest.mark.parametrize("strange", [b"2", b"{}", b'{"generation":0,"prefix":"","since":0}', b"\xff"])
def test_what_no_command_wrote_stops_the_worker(world: World, strange: bytes) -> None:
    world.redis.value = strange
    with pytest.raises(StopWorker, match="interest generations promote"):
        world.begun(2)
