"""Refills Redis from the state table, for one that came back empty, or from a replica or backup that is behind.

The changelog is read to its end, partition by partition, so that one partition's users are in memory at a time; their
views are recomputed by the served model; and Redis takes each that it lacks or has in an older version. That makes it
safe beside running workers, and a repetition cheap. Who follows others comes last, when those are there to be read. A
user's latest recommendation comes from its topic, as far as that still holds it: the state knows its number. Of an
erased user the state table knows only a hash of the id; so the ids that Redis has are looked up there, too.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from model_store.model import InterestModel
from model_store.state.arena import Arena
from model_store.state.followees import followed, followee_hashes
from model_store.state.hashing import partition_of
from stream_app.compute import Bench
from stream_app.contracts.errors import StopWorker
from stream_app.contracts.recommendations import recommendation_id
from stream_app.contracts.redis_layout import ModelCard
from stream_app.contracts.views import InterestViews
from stream_app.flush import MAX_REST_S
from stream_app.followees import Followees
from stream_app.observability import WorkerMetrics
from stream_app.reading import ReadError, read, reader
from stream_app.refresh import Refresher
from stream_app.settings import Settings
from stream_app.sinks.kafka_batches import wall_clock_ms
from stream_app.sinks.redis import RedisSink
from stream_app.states import States
from stream_app.topics import administration

SETTLE_S = 2 * MAX_REST_S
"""A state that Redis had and has lost is in the changelog by then, if its worker flushes: what was logged so long after
the start is read, too."""

Rows = npt.NDArray[np.int64]
_NAMED = 100_000


class RebuildError(RuntimeError):
    """Redis could not be refilled. The message says how far it came and what to do."""


@dataclass(slots=True)
class Rebuilt:
    """What was found and done.

    Attributes:
        records, of: of the changelog, read and to be read.
        users: in the state table; besides them it knows `erased` ones.
        expired: not touched for longer than keys live: left out.
        written: those that Redis lacked, or had in an older version or by another model, or from before their erasure.
        unknown: in Redis and not in the state table: new ones, others' users, or erased so long ago that nobody knows.
        recommendations: found for the users.
    """

    records: int = 0
    of: int = 0
    users: int = 0
    erased: int = 0
    expired: int = 0
    written: int = 0
    unknown: int = 0
    recommendations: int = 0
    seconds: float = 0.0

    @property
    def users_per_second(self) -> float:
        return self.users / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class _Due:
    """Users to be written: rows of the arena, those touched last at the end; `touched_ms` in the same order."""

    rows: Rows
    touched_ms: Rows

    def take(self, which: npt.NDArray[np.bool_]) -> "_Due":
        """Some of them."""
        return _Due(self.rows[which], self.touched_ms[which])


def rebuild(
    settings: Settings,
    model: InterestModel,
    *,
    recommendations: bool = True,
    dry_run: bool = False,
    settle_s: float = SETTLE_S,
    progress: Callable[[Rebuilt], None] = lambda _so_far: None,
) -> Rebuilt:
    """Refill Redis; a dry run only counts what it would write. `progress` is called often, with the same object.

    What the workers log until `settle_s` after the start is taken in, too.

    Raises `RebuildError`, `KafkaUnreachableError`.
    """
    return asyncio.run(_rebuild(settings, model, recommendations, dry_run, settle_s, progress))


async def _rebuild(
    settings: Settings,
    model: InterestModel,
    recommendations: bool,
    dry_run: bool,
    settle_s: float,
    progress: Callable[[Rebuilt], None],
) -> Rebuilt:
    done, began_s = Rebuilt(), time.monotonic()
    told_in = _partitions(settings) if recommendations else 0

    def tell() -> None:
        done.seconds = time.monotonic() - began_s
        progress(done)

    try:
        async with reader(settings) as consumer, _sink(settings) as sink:
            if not dry_run:
                await sink.announce(
                    ModelCard(model.version, model.topics, generation=model.generation), wall_clock_ms()
                )
            work = _Work(settings, model, consumer, sink, dry_run, done, tell)
            await work.measure()
            users = await sink.users(model.generation)
            shown = _by_partition(users, settings)
            for partition in range(settings.kafka.partitions):
                await work.refill(partition, shown[partition], told_in)
            done.unknown = len(users) - work.recognised
            await work.refill_followers(shown, told_in)
            if not dry_run:
                await asyncio.sleep(began_s + settle_s - time.monotonic())
                for partition in range(settings.kafka.partitions):
                    await work.catch_up(partition, shown[partition])
            done.records = done.of
    except (StopWorker, ReadError, KafkaError) as error:
        raise RebuildError(
            f"after {done.users:,} of the users: {type(error).__name__}: {error} Once that is mended, run it again:"
            " what is in Redis already is passed over."
        ) from error
    tell()
    return done


class _Work:
    def __init__(
        self,
        settings: Settings,
        model: InterestModel,
        consumer: Any,
        sink: RedisSink,
        dry_run: bool,
        done: Rebuilt,
        tell: Callable[[], None],
    ) -> None:
        self._settings, self._consumer, self._sink, self._dry_run = settings, consumer, sink, dry_run
        self._done, self._tell = done, tell
        self._states, metrics = States(), WorkerMetrics()
        self._refresher = Refresher(
            model, self._states, asyncio.Lock(), Bench("state", settings.cycle.stall_s), settings, metrics,
            Followees(sink, settings.social, model.generation, metrics),
        )  # fmt: skip
        self._batch, self._generation = settings.models.large_batch_users, model.generation
        self._read_to: dict[int, int] = {}
        self._targets = np.empty(0, np.uint64)  # whom anybody follows
        self._with_followers: list[int] = []  # partitions with users who follow
        self.recognised = 0  # of the users in Redis, those that the state table knows

    async def measure(self) -> None:
        """How much there is to be read."""
        places = [
            TopicPartition(self._settings.kafka.changelog, number) for number in range(self._settings.kafka.partitions)
        ]
        first, end = await self._consumer.beginning_offsets(places), await self._consumer.end_offsets(places)
        self._done.of = sum(end[at] - first[at] for at in places)

    async def refill(self, partition: int, shown: list[bytes], told_in: int) -> None:
        """All users of one partition of the state table; those `shown` are in Redis, others' too perhaps. `told_in`:
        partitions of the recommendations' topic, 0 to leave them out."""
        touched_ms = await self._restore(partition)
        arena = self._states[partition]
        told = await self._latest(arena, _places(partition, told_in, self._settings))
        self._done.recommendations += len(told)
        due = self._due(arena, touched_ms, shown, counts=True)
        follows = arena.records["followee_active"][due.rows] > 0
        if follows.any():
            self._with_followers.append(partition)
            self._targets = np.union1d(self._targets, followed(arena.records, due.rows))
        await self._write_all(partition, due.take(~follows), told)

    async def refill_followers(self, shown: dict[int, list[bytes]], told_in: int) -> None:
        """Users who follow others, once Redis has those. Partitions that have such users are read again."""
        if not len(self._targets):
            return
        if not self._dry_run:
            await self._name_followees()
        for partition in self._with_followers:
            self._done.of += self._read_to.pop(partition)
            touched_ms = await self._restore(partition)
            arena = self._states[partition]
            due = self._due(arena, touched_ms, shown[partition], counts=False)
            follows = arena.records["followee_active"][due.rows] > 0
            told = await self._latest(arena, _places(partition, told_in, self._settings))
            await self._write_all(partition, due.take(follows), told)

    async def _name_followees(self) -> None:
        users = await self._sink.users(self._generation)
        for start in range(0, len(users), _NAMED):
            some = users[start : start + _NAMED]
            hashes = followee_hashes(some)
            places = np.flatnonzero(np.isin(hashes, self._targets)).tolist()
            await self._sink.name_followees({int(hashes[place]): some[place] for place in places})

    async def catch_up(self, partition: int, shown: list[bytes]) -> None:
        """What was logged since: of states that Redis had, and has lost, before they were logged."""
        touched_ms = await self._restore(partition)
        due = self._due(self._states[partition], touched_ms, shown, counts=False)
        await self._write_all(partition, due, {})

    async def _write_all(self, partition: int, due: _Due, told: dict[bytes, bytes]) -> None:
        for start in range(0, len(due.rows), self._batch):
            part = slice(start, start + self._batch)
            # Those in one batch were touched at about the same time, so one lifetime fits them all.
            await self._write(partition, due.rows[part], self._ttl_s(due.touched_ms[part]), told)
        self._states.keep_only(set())

    async def _restore(self, partition: int) -> Rows:
        """States into the arena; returns when each row was written, ms."""
        at_ms: dict[bytes, int] = {}
        first = read_to = self._read_to.get(partition, 0)
        async for records, passed, read_to in read(self._consumer, self._settings.kafka.changelog, partition, first):
            self._states.restore(partition, records, read_to)
            at_ms.update((record.key, record.timestamp) for record in records)
            self._done.records += passed
            self._tell()
        self._states.restored(partition, read_to, generation=0)
        self._read_to[partition] = read_to
        return np.array([at_ms.get(key, 0) for key in self._states[partition].keys], np.int64)

    def _due(self, arena: Arena, touched_ms: Rows, shown: list[bytes], *, counts: bool) -> _Due:
        # A mark goes by the id of its user from now on.
        in_redis = arena.rows_of([user for user in shown if arena.knows(user)])
        at_ms = np.zeros(len(arena), np.int64)
        at_ms[: len(touched_ms)] = touched_ms
        records = arena.records[: len(arena)]
        known = records["version"] > 0
        erased = known & (records["events"] == 0) & (records["erased_at_ms"] > 0)
        expired = known & ~erased & (at_ms < wall_clock_ms() - self._settings.redis.ttl_s * 1000)
        shows = np.zeros(len(arena), np.bool_)
        shows[in_redis] = True
        if counts:
            self._done.users += int((known & ~erased).sum())
            self._done.erased += int(erased.sum())
            self._done.expired += int(expired.sum())
            self.recognised += len(in_redis)
        rows = np.flatnonzero(known & ~expired & (shows | ~erased))
        rows = rows[np.argsort(at_ms[rows], kind="stable")]
        return _Due(rows, at_ms[rows])

    def _ttl_s(self, touched_ms: Rows) -> int:
        age_s = max(0, wall_clock_ms() - int(touched_ms[-1])) // 1000
        return max(1, self._settings.redis.ttl_s - age_s)

    async def _write(self, partition: int, rows: Rows, ttl_s: int, told: dict[bytes, bytes]) -> None:
        async for views in self._refresher.views({partition: rows}, wall_clock_ms()):
            _attach(views, told)
            self._done.written += await self._sink.fill(views, ttl_s, dry_run=self._dry_run)
            self._tell()

    async def _latest(self, arena: Arena, partitions: list[int]) -> dict[bytes, bytes]:
        """The last recommendation that each user's state knows of: user -> JSON."""
        erased_at_ms = arena.records["erased_at_ms"][: len(arena)].tolist()
        sequence = arena.records["rec_seq"][: len(arena)].tolist()
        found: dict[bytes, bytes] = {}
        for partition in partitions:
            async for records, _, _ in read(self._consumer, self._settings.kafka.topics.recommendations, partition):
                for record in records:
                    row = arena.row(record.key or b"")
                    if row is None or _event_id(record.value) != recommendation_id(
                        record.key.decode(), erased_at_ms[row], sequence[row], self._generation
                    ):
                        continue
                    found[record.key] = record.value
                self._tell()
        return found


class _Named(msgspec.Struct):
    event_id: str


_named = msgspec.json.Decoder(_Named)


def _event_id(value: bytes | None) -> str | None:
    try:
        return _named.decode(value or b"").event_id
    except msgspec.MsgspecError:
        return None  # somebody else's


def _attach(views: InterestViews, told: dict[bytes, bytes]) -> None:
    for place, key in enumerate(views.keys):
        if key in told:
            views.recommendations[place] = told[key]


def _places(partition: int, partitions: int, settings: Settings) -> list[int]:
    """Where the recommendations of a partition's users are: Kafka's partitioner is the same everywhere. It goes by
    pseudonyms there, and by ids in the inputs, after which the states are placed."""
    alike = partitions == settings.kafka.partitions and not settings.pseudonym_key.get_secret_value()
    return [partition] if alike else list(range(partitions))


def _by_partition(users: list[bytes], settings: Settings) -> dict[int, list[bytes]]:
    """Who may be in which partition of the state table; whose pseudonym it is may be in any."""
    partitions = settings.kafka.partitions
    if settings.pseudonym_key.get_secret_value():
        return dict.fromkeys(range(partitions), users)
    shown: dict[int, list[bytes]] = {number: [] for number in range(partitions)}
    for user in users:
        shown[partition_of(user, partitions)].append(user)
    return shown


def _partitions(settings: Settings) -> int:
    with administration(settings) as admin:
        return len(admin.describe_topics([settings.kafka.topics.recommendations])[0]["partitions"])


@asynccontextmanager
async def _sink(settings: Settings) -> AsyncIterator[RedisSink]:
    sink = RedisSink(settings.redis)
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()
