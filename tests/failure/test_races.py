"""Things that happen at the worst moment, arranged: the real updater and a real model, on sinks that the test holds."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest

from model_store.model import InterestModel
from model_store.state import codec
from model_store.state.hashing import partition_of
from stream_app.contracts.slab import Slab
from stream_app.contracts.views import InterestViews
from stream_app.observability import WorkerMetrics
from stream_app.refresh import INLINE_OFFERS
from stream_app.settings import Cycle, Kafka, ModelStore, Recommend, Settings, load
from stream_app.updater import Updater
from tests.bench.model import catalogue_model, current_model

NOW_MS = 1_760_000_000_000
PARTITIONS = 2
CROWD = INLINE_OFFERS + 1  # so that offers are made in a thread
WAIT_S = 40.0  # the first story compiles the kernels


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InterestModel:
    folder = tmp_path_factory.mktemp("races")
    return current_model(catalogue_model(folder / "models", 40), folder / "fetched")


@dataclass(frozen=True, slots=True)
class Record:
    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    timestamp: int = NOW_MS
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass
class World:
    """Source, sinks and flood guard. `redis` keeps what the guard of versions lets in: user -> (version, erased)."""

    epoch: int = 0
    member: bool | None = True
    redis: dict[bytes, tuple[int, bool]] = field(default_factory=dict)
    published: list[str] = field(default_factory=list)
    offers: list[Any] = field(default_factory=list)
    logged: int = 0
    states: dict[bytes, np.void] = field(default_factory=dict)
    log_gate: asyncio.Event = field(default_factory=asyncio.Event)
    done_slabs: int = 0
    followees: dict[int, bytes | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log_gate.set()
        self.interests = self
        self.recommendations = Publisher(self.published, self.offers)
        self.dead_letters = Publisher([], [])
        self.changelog = Log(self)

    def taken(self, events: int) -> None:
        """Nothing waits for room."""

    def done(self, slabs: Iterable[Slab]) -> None:
        self.done_slabs += len(list(slabs))

    def check(self, now_s: float, events: int, rejected: int, latest: Sequence[Any] = ()) -> None:
        assert not rejected

    async def is_member(self) -> bool:
        while self.member is None:  # noqa: ASYNC110  # as the real one
            await asyncio.sleep(0.002)
        return self.member

    def lag(self) -> dict[str, int]:
        return {}

    async def write(self, views: InterestViews) -> None:
        for place, key in enumerate(views.keys):
            version = int(views.version[place])
            if version >= self.redis.get(key, (-1, False))[0]:
                self.redis[key] = version, bool(views.erased[place])

    async def write_again(self, views: InterestViews) -> None:
        for place, key in enumerate(views.keys):
            assert self.redis[key][0] >= int(views.version[place])

    async def name_followees(self, names: Mapping[int, bytes | None]) -> None:
        self.followees |= names

    async def followee_names(self, targets: Sequence[int]) -> list[bytes | None]:
        return [self.followees.get(target) for target in targets]

    async def vectors(self, users: Sequence[bytes], _generation: int) -> list[bytes | None]:
        return [None] * len(users)


class Publisher:
    def __init__(self, published: list[str], offers: list[Any]) -> None:
        self._published, self._offers = published, offers

    async def publish(self, items: Sequence[Any]) -> None:
        events = [json.loads(item.value) for item in items if item.value is not None]
        self._published += [event["event_id"] for event in events]
        self._offers += events


class Log:
    """A changelog that answers while `log_gate` is set, and keeps each user's last state."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def write(self, _partition: int, keys: Sequence[bytes], values: memoryview, ends: Any) -> int:
        self._world.logged += len(keys)
        await self._world.log_gate.wait()
        raw = {key: bytes(values[ends[place] : ends[place + 1]]) for place, key in enumerate(keys)}
        for key in [key for key, value in raw.items() if not value]:
            self._world.states.pop(key, None)
            del raw[key]
        self._world.states |= dict(zip(raw, codec.decode(list(raw.values())), strict=True))
        return self._world.logged - 1


class HeldIndex:
    """The real item index, whose answers wait until the test lets them go."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self.asked, self.go = threading.Event(), threading.Event()

    def recommend(self, *args: Any) -> Any:
        self.asked.set()
        assert self.go.wait(WAIT_S)
        return self._index.recommend(*args)

    def __len__(self) -> int:
        return len(self._index)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)


def test_a_fenced_worker_forgets_how_far_its_states_were_logged(model: InterestModel) -> None:
    """A flush under way must not note an offset for states that are forgotten: recovery would skip all before it."""

    async def story() -> None:
        async with running(model) as (updater, world):
            updater.put(slab(world, "click", [user_in(0)]))
            await until(lambda: bool(world.redis))
            world.log_gate.clear()
            flushing = asyncio.ensure_future(updater.flush())
            await until(lambda: world.logged == 1)
            world.epoch += 1
            draining = asyncio.ensure_future(updater.drain(fenced=True))
            await asyncio.sleep(0.05)
            world.log_gate.set()
            await asyncio.gather(flushing, draining)
            assert updater.states.users == 0
            assert updater.restored_to(0) is None

    run(story())


def test_who_is_no_member_any_more_writes_nothing(model: InterestModel) -> None:
    """It slept, and applied an event after it woke: nothing may be written until the group has answered, nor then."""

    async def story() -> None:
        async with running(model) as (updater, world):
            user = user_in(0)
            world.member = None
            updater.put(slab(world, "click", [user]))
            flushing = asyncio.ensure_future(updater.flush())
            await until(lambda: updater.states[0].row(user) is not None)
            await asyncio.sleep(0.05)
            world.member = False
            assert not await flushing
            assert not await updater.flush()
            world.epoch += 1
            await updater.drain(fenced=False)  # it was found out after the drain had been asked for
            assert (world.redis, world.published, world.logged, world.done_slabs) == ({}, [], 0, 0)
            assert updater.states.users == 0

    run(story())


def test_who_is_dropped_between_two_writes_stops_between_them(model: InterestModel) -> None:
    """States of two partitions are flushed; after the first the worker is stopped and wakes as a stranger."""

    async def story() -> None:
        async with running(model) as (updater, world):
            for partition in range(PARTITIONS):
                updater.put(slab(world, "click", [user_in(partition)]))
            await until(lambda: len(world.redis) == PARTITIONS)
            world.log_gate.clear()
            flushing = asyncio.ensure_future(updater.flush())
            await until(lambda: world.logged == 1)
            world.member = False
            world.log_gate.set()
            assert not await flushing
            assert (world.logged, world.done_slabs) == (1, 0)

    run(story())


def test_a_member_that_was_cut_off_goes_on_where_it_was(model: InterestModel) -> None:
    async def story() -> None:
        async with running(model) as (updater, world):
            user = user_in(0)
            world.member = None
            updater.put(slab(world, "click", [user]))
            flushing = asyncio.ensure_future(updater.flush())
            await until(lambda: updater.states[0].row(user) is not None)
            assert world.redis == {}
            world.member = True
            assert await flushing
            await settled(updater)
            assert (world.redis[user], len(world.published), world.done_slabs) == ((1, False), 1, 1)

    run(story())


def test_marks_of_erasures_are_swept_by_their_owner_only(model: InterestModel) -> None:
    """Between two owners a tombstone could fall behind a state that the next owner has written."""

    async def story() -> None:
        async with running(model) as (updater, world):
            user = user_in(0)
            updater.restored(dict.fromkeys(range(PARTITIONS), world.logged), generation=1)

            def marks() -> int:
                return len(updater.states[0].expired_marks(NOW_MS))

            updater.put(slab(world, "erasure", [user], ts=1))
            await until(lambda: updater.states[0].row(user) is not None)
            await settled(updater)
            world.epoch += 1
            await updater.drain(fenced=False)
            logged = world.logged
            await updater.sweep()
            assert (world.logged, marks()) == (logged, 1)
            updater.restored(dict.fromkeys(range(PARTITIONS), world.logged), generation=1)
            world.member = False
            await updater.sweep()
            assert (world.logged, marks()) == (logged, 1)
            world.member = True
            await updater.sweep()
            assert (world.logged, marks()) == (logged + 1, 0)

    run(story())


def test_after_being_fenced_a_single_event_is_flushed(model: InterestModel) -> None:
    """What was applied and not yet flushed when the states were forgotten must not be counted off twice."""

    async def story() -> None:
        async with running(model) as (updater, world):
            flusher = asyncio.ensure_future(updater.flush_forever())
            world.log_gate.clear()
            updater.put(slab(world, "click", [user_in(0)]))
            await until(lambda: world.logged == 1)
            world.epoch += 1
            draining = asyncio.ensure_future(updater.drain(fenced=True))
            await asyncio.sleep(0.05)
            world.log_gate.set()
            await draining
            await until(lambda: world.done_slabs == 1)
            updater.put(slab(world, "click", [user_in(1)]))
            await until(lambda: world.done_slabs == 2)
            flusher.cancel()

    run(story())


def test_a_replay_in_another_order_still_erases_in_redis(model: InterestModel) -> None:
    """Topics are replayed in any order. What Redis shows of clicks that were never logged must go all the same."""

    async def story() -> None:
        user = user_in(0)
        async with running(model) as (updater, world):
            clicks = slab(world, "click", [user, user, user])
            updater.put(clicks)
            await until(lambda: world.redis.get(user) == (3, False))
        async with running(model, World(redis=world.redis)) as (updater, world):
            updater.put(slab(world, "erasure", [user]))
            updater.put(clicks)
            await until(lambda: updater.states[0].row(user) is not None)
            await settled(updater)
            assert world.redis[user][1], f"Redis still shows the erased user: {world.redis[user]}"

    run(story())


def test_an_erasure_while_offers_are_made_leaves_no_trace(model: InterestModel) -> None:
    """The offer was made from interests that are gone by now."""

    async def story() -> None:
        index = HeldIndex(model.index)
        async with running(replace(model, index=cast(Any, index))) as (updater, world):
            users = crowd_of(0)
            updater.put(slab(world, "click", users))
            await until(index.asked.is_set)
            updater.put(slab(world, "erasure", users[:1]))
            await until(lambda: record(updater, users[0])["erased_at_ms"] > 0)
            index.go.set()
            await settled(updater)
            erased = record(updater, users[0])
            assert not [made for made in world.published if made.startswith(f"{users[0].decode()}:{NOW_MS}:")]
            assert (erased["rec_seq"], erased["rec_item"].any(), erased["rec_sketch"].any()) == (0, False, False)

    run(story())


def test_a_click_right_after_an_erasure_leaves_no_hole(model: InterestModel) -> None:
    """The click is applied while the erasure is being refreshed: its recommendation is number 1, and is published."""

    async def story() -> None:
        index = HeldIndex(model.index)
        async with running(replace(model, index=cast(Any, index))) as (updater, world):
            user = user_in(1)
            updater.put(slab(world, "click", crowd_of(0)))
            updater.put(slab(world, "erasure", [user]))
            await until(index.asked.is_set)
            updater.put(slab(world, "click", [user], ts=NOW_MS + 1))
            await until(lambda: record(updater, user)["events"] == 1)
            index.go.set()
            await settled(updater)
            known = int(record(updater, user)["rec_seq"])
            made = [name for name in world.published if name.startswith(f"{user.decode()}:")]
            assert made == [f"{user.decode()}:{NOW_MS}:{number}" for number in range(1, known + 1)]
            assert known == 1

    run(story())


def test_what_was_offered_during_the_last_flush_is_logged_when_partitions_leave(model: InterestModel) -> None:
    """Or the next owner makes another recommendation under the same event id, and at once, whatever the interval."""

    async def story() -> None:
        index = HeldIndex(model.index)
        async with running(replace(model, index=cast(Any, index))) as (updater, world):
            users = crowd_of(0)
            updater.put(slab(world, "click", users))
            await until(index.asked.is_set)
            flushing = asyncio.ensure_future(updater.flush())
            await asyncio.sleep(0.05)
            index.go.set()
            await flushing
            world.epoch += 1
            await updater.drain(fenced=False)
            assert len(world.published) == CROWD
            assert {int(world.states[user]["rec_seq"]) for user in users} == {1}

    run(story())


def test_who_has_seen_nearly_everything_is_offered_what_is_left_again(model: InterestModel) -> None:
    """36 of 40 items are seen; the four that are left were ignored, and are better than an empty list."""

    async def story() -> None:
        async with running(model, recommend=Recommend(min_drift=0.0, min_interval_s=0.0)) as (updater, world):
            user = user_in(0)
            seen = [f"i{number}" for number in range(36)]
            for item in [*seen, "i0", "i1"]:
                before = len(world.published)
                updater.put(slab(world, "click", [user], item=item))
                await until(lambda before=before: len(world.published) > before)
            left = {f"i{number}" for number in range(36, 40)}
            assert {item["item_id"] for item in world.offers[-1]["items"]} == left
            assert {item["item_id"] for item in world.offers[-2]["items"]} == left

    run(story())


def settings() -> Settings:
    return load(
        kafka=Kafka(partitions=PARTITIONS),
        recommend=Recommend(min_drift=0.0),
        cycle=Cycle(inline_events=1),  # as under load: nothing waits for the refresh before it is applied
        models=ModelStore(large_batch_users=CROWD, inline_users=CROWD),
    )


@asynccontextmanager
async def running(model: InterestModel, world: World | None = None, recommend: Recommend | None = None) -> Any:
    """An updater at work on a world of its own, which does not flush by itself."""
    world = world or World()
    chosen = settings() if recommend is None else settings().model_copy(update={"recommend": recommend})
    updater = Updater(chosen, model, world, world, WorkerMetrics(), lambda: NOW_MS)
    updater.source = world
    tasks = [asyncio.ensure_future(stage()) for stage in _stages(updater)]
    try:
        yield updater, world
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _stages(updater: Updater) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """All loops of the updater but those that go by the clock."""
    names = [name for name in dir(updater) if name.endswith("_forever")]
    return [getattr(updater, name) for name in names if name not in ("flush_forever", "sweep_forever", "gauge_forever")]


_offsets: Iterator[int] = iter(range(10**9))


def slab(world: World, kind: str, users: list[bytes], ts: int = NOW_MS, item: str = "i1") -> Slab:
    """One event for each user, all of one partition."""
    body = {"click": {"item_id": item}, "erasure": {}}[kind]
    topic = dict(zip(("click", "follow", "rating", "erasure"), settings().kafka.topics.inputs, strict=True))[kind]
    records = []
    for user in users:
        offset = next(_offsets)
        event = {"event_id": f"e{offset}", "user_id": user.decode(), "ts": ts, **body}
        records.append(Record(topic, partition_of(user, PARTITIONS), offset, user, json.dumps(event).encode()))
    return Slab(topic, records[0].partition, records, world.epoch)


def crowd_of(partition: int) -> list[bytes]:
    names = (b"u%d" % number for number in range(1_000))
    return [name for name in names if partition_of(name, PARTITIONS) == partition][:CROWD]


def user_in(partition: int) -> bytes:
    return crowd_of(partition)[0]


def record(updater: Updater, user: bytes) -> Any:
    """The user's state as it is now; zeros before the first event."""
    arena = updater.states[partition_of(user, PARTITIONS)]
    return arena.records[arena.rows_of([user])[0]]


async def settled(updater: Updater) -> None:
    """Everything that was put is applied, its effects are done, and it is logged."""
    await asyncio.sleep(0.05)
    await asyncio.wait_for(updater.flush(), WAIT_S)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  # the conditions are of the product's making
            await asyncio.sleep(0.002)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 3 * WAIT_S))
