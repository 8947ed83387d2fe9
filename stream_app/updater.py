"""A cycle's way from slabs to effects.

    slabs ─► decode ─► advance ─► pending ─► refresh (TensorFlow, recommendations) ─► write (Redis, Kafka) ─► flush

Three stages overlap, each a loop of its own: while one cycle's views are written, the next ones are read out, and the
one after advances.
Cycles that end while a refresh is under way are refreshed together, each user once: the fuller the backlog, the less a
user costs. `flush.py` says why the order at the end is what it is.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import NoReturn, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import structlog

from model_store.model import InterestModel
from model_store.state import codec
from model_store.state.advance import Advanced, advance
from model_store.state.batch import EventBatch
from model_store.state.layout import LONGEST_WINDOW_MS, Kind, Outcome
from stream_app.compute import Bench
from stream_app.contracts.pseudonyms import naming
from stream_app.contracts.slab import Slab
from stream_app.contracts.validity import Record, Rejected
from stream_app.flush import FlushPolicy, LastFlush
from stream_app.followees import Followees
from stream_app.intake import Intake, helpings, kinds_by_topic, limits_of
from stream_app.observability import WorkerMetrics
from stream_app.pending import Pending
from stream_app.ports import Changelog, Clock, DeadLetterSink, InterestSink, RecommendationSink, SlabSource
from stream_app.refresh import Offer, Refresher, Voice
from stream_app.restoring import Restoring
from stream_app.revisits import STEP_S, Lap
from stream_app.settings import Settings
from stream_app.states import States, require_count
from stream_app.traces import Traced, following

log = structlog.get_logger(__name__)

DECODE_EVENTS = 2048
"""Events decoded before the event loop gets a turn: about 4 ms."""
ENCODE_USERS = 1024
"""States encoded under the state lock in one go: about 5 ms."""

INLINE_ENCODE = 64
"""States encoded in the event loop: about 0.3 ms."""

SWEEP_S = 3600.0
GAUGE_S = 0.1

T = TypeVar("T")
Logged = tuple[int, list[bytes], memoryview, npt.NDArray[np.int64]]
"""Partition, keys, values and where each of these ends: what `Changelog.write` takes."""

_OUTCOMES = tuple(outcome.name.lower() for outcome in Outcome)


class Flood(Protocol):
    """Whether bad events are so many that draining a topic into dead letters is wrong."""

    def check(self, now_s: float, events: int, rejected: int, latest: Sequence[Rejected], /) -> None:
        """Count events; raises StopWorker on a flood, which names some of the `latest` bad ones."""


class Sinks(Protocol):
    """Where effects go."""

    @property
    def interests(self) -> InterestSink: ...
    @property
    def recommendations(self) -> RecommendationSink: ...
    @property
    def dead_letters(self) -> DeadLetterSink: ...
    @property
    def changelog(self) -> Changelog: ...


class Updater:
    """The engine behind the slab transport (`faust_slab.ports.Engine`)."""

    def __init__(
        self,
        settings: Settings,
        model: InterestModel,
        sinks: Sinks,
        flood: Flood,
        metrics: WorkerMetrics,
        clock: Clock,
    ) -> None:
        self._settings, self._sinks, self._flood = settings, sinks, flood
        self._metrics, self._clock = metrics, clock
        self.source: SlabSource | None = None
        self.may_publish: Callable[[], bool] = lambda: True
        self.states = States(codec.IN_BYTES if settings.flush.sums == "int8" else codec.EXACT)
        self._restoring = Restoring(metrics)
        self._limits = limits_of(settings)
        key = settings.pseudonym_key.get_secret_value()
        self._name = naming(key)
        self._has_pseudonyms = bool(key)
        self._kinds = kinds_by_topic(settings.kafka.topics.inputs)
        self._flush_policy = FlushPolicy.of(settings.flush)
        self._bench = Bench("state", settings.cycle.stall_s)

        self._state_lock = asyncio.Lock()  # held by whoever reads or changes records
        self._cycle_lock = asyncio.Lock()  # held while a cycle is applied
        self._flush_lock = asyncio.Lock()
        self._followees = Followees(sinks.interests, settings.social, model.generation, metrics)
        self._refresher = Refresher(
            model, self.states, self._state_lock, self._bench, settings, metrics, self._followees
        )
        self._inbox: deque[Slab] = deque()
        self._inbox_events = 0
        self._arrived, self._room = asyncio.Event(), asyncio.Event()
        self._touched = asyncio.Event()
        self._room.set()
        self._cycle = 0
        self._pending = Pending()
        self._refreshing = False
        self._next_voice: Voice | None = None
        self._idle = asyncio.Event()
        self._write_begun = asyncio.Event()
        self._write_begun.set()
        self._to_write: asyncio.Queue[Offer] = asyncio.Queue()
        self._to_publish: asyncio.Queue[Offer] = asyncio.Queue()
        self._done_through = {"written": 0, "published": 0}  # effect -> last cycle whose effects are complete
        self._progress = asyncio.Condition()
        self._applied: list[Slab] = []
        self._unacked_events = 0
        self._touched_since_flush = 0
        self._traced_since_flush: list[Traced] = []
        self._owned: set[int] = set()
        self._quiet: dict[int, npt.NDArray[np.int64]] = {}  # rows of followers to be read out again
        self._dropped = False  # by the group, as a flush has noticed

    # -- the engine that the transport, the table and recovery see

    def put(self, slab: Slab) -> None:
        if slab.epoch == self._source.epoch:
            self._inbox.append(slab)
            self._inbox_events += len(slab)
            self._arrived.set()
            if self._inbox_events >= self._settings.cycle.inline_events:
                self._idle.set()

    async def drain(self, *, fenced: bool) -> None:
        """The epoch was raised before: what is in the inbox is void."""
        self._metrics.rebalances.inc()
        self._set_ready(False)
        self._owned, self._quiet = set(), {}
        async with self._cycle_lock:
            self._inbox.clear()
            self._inbox_events = 0
            await self._effects_through(self._cycle)
            if fenced or not await self.flush():
                # After a flush under way, which would note how far the changelog has states that are gone by then.
                async with self._flush_lock:
                    self._forget()

    def restore(self, partition: int, records: Sequence[Record], read_to: int) -> None:
        if not self._has_pseudonyms:  # which do not tell in which partition the ids were
            require_count(partition, records, self._settings.kafka.partitions)
        self.states.restore(partition, records, read_to)
        self._restoring.read(len(records))

    def restoring(self, remaining: Mapping[int, int]) -> None:
        self._restoring.remaining(remaining)

    def restored(self, read_to: Mapping[int, int], generation: int) -> None:
        self.states.keep_only(set(read_to))
        behind = sum(self.states.restored(partition, offset, generation) for partition, offset in read_to.items())
        self._touched_since_flush += behind
        self._restoring.ended(self.states.users, behind)
        self._owned = set(read_to)
        self._metrics.partitions.set(len(read_to))
        self._metrics.users.set(self.states.users)
        self._metrics.state_bytes.set(self.states.nbytes)
        self._set_ready(True)

    def restored_to(self, partition: int) -> int | None:
        return self.states.logged_to(partition)

    def _set_ready(self, ready: bool) -> None:
        self._metrics.ready.set(ready)
        self._metrics.health.assigned = self._metrics.health.recovered = ready

    def _forget(self) -> None:
        self.states.keep_only(set())
        self._applied, self._unacked_events, self._touched_since_flush, self._dropped = [], 0, 0, False
        self._metrics.health.unacked_since_s = None
        self._room.set()

    @property
    def _source(self) -> SlabSource:
        if self.source is None:
            raise RuntimeError("the updater has no source yet: `source` is set when the application is built")
        return self.source

    @property
    def standing(self) -> str:
        """How far the cycles are, in words."""
        done = ", ".join(f"{effect} through {cycle}" for effect, cycle in self._done_through.items())
        return f"cycles are applied through {self._cycle}, {done}"

    # -- stage 1: advance

    async def advance_forever(self) -> NoReturn:
        """Apply whatever has arrived, as one cycle.

        A small one waits until the last is being written: its users could not be refreshed sooner, and more events
        share its fixed costs.
        """
        while True:
            await self._arrived.wait()
            await self._room.wait()
            while self._is_busy() and self._inbox_events < self._settings.cycle.inline_events:
                self._idle.clear()
                await self._idle.wait()
            async with self._cycle_lock:
                slabs = self._take()
                if slabs:
                    await self._apply(slabs)
                del slabs  # here and below: nobody is kept in memory until the next events come
            if not self._inbox:
                self._arrived.clear()

    def _is_busy(self) -> bool:
        """Whether the refresh would not take up another cycle at once."""
        return self._refreshing or self._touched.is_set()

    def _take(self) -> list[Slab]:
        slabs: list[Slab] = []
        events, epoch = 0, self._source.epoch
        while self._inbox and events < self._settings.cycle.max_events:
            slab = self._inbox.popleft()
            self._inbox_events -= len(slab)
            if slab.epoch == epoch:
                slabs.append(slab)
                events += len(slab)
                self._metrics.slab_events.observe(len(slab))
        self._source.taken(events)
        return slabs

    async def _apply(self, slabs: list[Slab]) -> None:
        cycle = self._metrics.traces.cycle(slabs)
        traced = [cycle] if cycle else []
        with following(traced):
            intake = await self._decode(slabs)
            self._cycle += 1
            if self._metrics.health.unacked_since_s is None:
                self._metrics.health.unacked_since_s = time.monotonic()
            with self._metrics.timed("advance"):
                for partition, batch in intake.joined():
                    self._count_late(batch)
                    async with self._state_lock:
                        await self._advance(partition, batch)
        self._pending.traced += traced
        self._traced_since_flush += traced
        self._pending.cycle = self._cycle
        self._pending.rejected += [rejected for _, rejected in intake.rejected]
        self._pending.published += intake.published
        self._pending.followees |= intake.followees
        self._followees.meet(intake.followees)
        self._applied += slabs
        self._count_unacked(intake.events)
        self._metrics.cycle_events.observe(intake.events)
        self._touched.set()

    async def _decode(self, slabs: list[Slab]) -> Intake:
        intake, now_ms = Intake(name=self._name), self._clock()
        known = {} if self._has_pseudonyms else self.states.arenas
        with self._metrics.timed("decode"):
            for topic, records in helpings(slabs, DECODE_EVENTS):
                intake.add(self._kinds[topic], records, self._limits, now_ms, known)
                if len(records) == DECODE_EVENTS:
                    await asyncio.sleep(0)
        for kind, rejected in intake.rejected:
            self._metrics.events.labels(kind.name.lower(), "dead_lettered").inc()
            self._metrics.dead_letters.labels(rejected.reason).inc()
        bad = [rejected for _, rejected in intake.rejected]
        self._flood.check(now_ms / 1000, intake.events, len(bad), bad)
        return intake

    async def _advance(self, partition: int, batch: EventBatch) -> None:
        arena = self.states[partition]
        inline = len(batch) <= self._settings.cycle.inline_events and arena.has_room(len(batch))
        writes, decays = self.model.writes, self.model.decays
        advanced: Advanced = await self._bench.run(
            inline, lambda: advance(arena, arena.rows_of(batch.keys), batch, writes, decays)
        )
        self._pending.add(partition, batch, advanced)
        self._touched_since_flush += len(advanced.touched)
        self._count_outcomes(batch.kind, advanced.outcome)

    def _count_late(self, batch: EventBatch) -> None:
        late = batch.kind[batch.ts_ms < self._clock() - LONGEST_WINDOW_MS]
        for kind, events in zip(*np.unique(late, return_counts=True), strict=True):
            self._metrics.late.labels(Kind(kind).name.lower()).inc(int(events))

    def _count_outcomes(self, kind: npt.NDArray[np.int8], outcome: npt.NDArray[np.int8]) -> None:
        table = np.bincount(kind.astype(np.int64) * len(Outcome) + outcome, minlength=len(Kind) * len(Outcome))
        for place in np.flatnonzero(table).tolist():
            labels = Kind(place // len(Outcome)).name.lower(), _OUTCOMES[place % len(Outcome)]
            self._metrics.events.labels(*labels).inc(int(table[place]))

    def _count_unacked(self, events: int) -> None:
        self._unacked_events += events
        if self._unacked_events < self._settings.cycle.max_unacked_events:
            self._room.set()
        else:
            self._room.clear()

    # -- stage 2: refresh; stage 3: write and publish

    async def refresh_forever(self) -> NoReturn:
        """Refresh whoever was touched since the last refresh began, once the last one's write has begun."""
        while True:
            await self._touched.wait()
            await self._write_begun.wait()
            self._touched.clear()
            self._refreshing = True
            pending, self._pending = self._pending, Pending(cycle=self._cycle)
            with following(pending.traced):
                offer = await self._refresher.refresh(pending, self._clock())
            for traced in pending.traced:
                traced.count(refreshed_users=sum(map(len, offer.views)))
            self._write_begun.clear()
            self._to_write.put_nowait(offer)
            self._to_publish.put_nowait(offer)
            del offer
            await self._refresh_quiet(pending.cycle)
            del pending
            self._refreshing = False
            self._change_voice()
            self._idle.set()

    async def revisit_forever(self) -> NoReturn:
        """Have followers read out again now and then, though no event of theirs came."""
        lap = Lap(self._settings.social.refresh_s, time.monotonic())
        while True:
            await asyncio.sleep(STEP_S)
            if not self._quiet:
                sizes = {partition: len(self.states[partition]) for partition in sorted(self._owned)}
                self._quiet = self._followers(lap.step(sizes, time.monotonic()))
            if self._quiet:
                self._touched.set()

    def _followers(self, parts: Mapping[int, range]) -> dict[int, npt.NDArray[np.int64]]:
        """Rows of those who follow somebody, by partition."""
        found = {}
        for partition, part in parts.items():
            active = self.states[partition].records["followee_active"][part.start : part.stop]
            if active.any():
                found[partition] = np.flatnonzero(active) + part.start
        return found

    async def _refresh_quiet(self, cycle: int) -> None:
        quiet, self._quiet = self._quiet, {}
        if quiet:
            again = [views async for views in self._refresher.views(quiet, self._clock())]
            self._to_write.put_nowait(Offer(Pending(cycle=cycle), again=again))

    @property
    def model(self) -> InterestModel:
        """What users are read out with now."""
        return self._refresher.model

    @property
    def voice(self) -> Voice:
        """What users are read out with from the next refresh on."""
        return self._next_voice or self._refresher.voice

    def take_up(self, voice: Voice) -> None:
        """Read out with another version from the next refresh on, and write as it does. It must read the states that
        are there: the same generation and decays, and a write table that has more items at most."""
        self._next_voice = voice
        if not self._refreshing:
            self._change_voice()

    def _change_voice(self) -> None:
        if self._next_voice is not None:
            self._refresher.speak_with(self._next_voice)
            self._next_voice = None

    async def write_forever(self) -> NoReturn:
        """Write to Redis what was refreshed, in order."""
        while True:
            offer = await self._to_write.get()
            self._write_begun.set()
            with following(offer.pending.traced):
                await self._write(offer)
            await self._progressed("written", [offer])
            del offer

    async def _write(self, offer: Offer) -> None:
        await self._name_followees(offer.pending.followees)
        for views in offer.views:
            await self._effect("redis", partial(self._sinks.interests.write, views))
            erased = [views.keys[user] for user in np.flatnonzero(views.erased).tolist()]
            if erased:
                await self._name_followees(self._followees.forget(erased))
            self._metrics.cycle_users.observe(len(views))
        for views in offer.again:
            await self._effect("redis", partial(self._sinks.interests.write_again, views))
            self._metrics.revisited.inc(len(views))
        self._observe_latency(offer.pending)

    async def _name_followees(self, names: Mapping[int, bytes | None]) -> None:
        if names:
            await self._effect("redis", partial(self._sinks.interests.name_followees, names))

    async def publish_forever(self) -> NoReturn:
        """Publish recommendations and dead letters, those of all refreshes that wait together."""
        while True:
            offers = [await self._to_publish.get()]
            while not self._to_publish.empty():
                offers.append(self._to_publish.get_nowait())
            recommendations = [one for offer in offers for one in offer.recommendations]
            rejected = [one for offer in offers for one in offer.pending.rejected]
            if not self.may_publish():  # another generation does
                recommendations, rejected = [], []
            with following([traced for offer in offers for traced in offer.pending.traced]):
                if recommendations:
                    await self._effect("publish", partial(self._sinks.recommendations.publish, recommendations))
                    self._metrics.recommendations.inc(sum(one.value is not None for one in recommendations))
                if rejected:
                    await self._effect("dead_letter", partial(self._sinks.dead_letters.publish, rejected))
            await self._progressed("published", offers)
            del offers, recommendations, rejected

    async def _progressed(self, effect: str, offers: Sequence[Offer]) -> None:
        for offer in offers:
            for traced in offer.pending.traced:
                traced.done(effect)
        async with self._progress:
            self._done_through[effect] = offers[-1].pending.cycle
            self._progress.notify_all()

    async def _effect(self, stage: str, effect: Callable[[], Awaitable[object]]) -> None:
        """Carry it out, unless the group has dropped this worker: another has the events, and does it."""
        if await self._source.is_member():
            await self._timed(stage, effect())

    async def _timed(self, stage: str, effect: Awaitable[T]) -> T:
        try:
            with self._metrics.timed(stage):
                return await effect
        except Exception:
            self._metrics.write_errors.labels(stage).inc()
            raise

    def _observe_latency(self, pending: Pending) -> None:
        now_s = self._clock() / 1000
        for published in pending.published:
            self._metrics.event_to_redis.observe(published.kind.name.lower(), now_s - published.at_s)

    async def _effects_through(self, cycle: int) -> None:
        async with self._progress:
            await self._progress.wait_for(lambda: min(self._done_through.values()) >= cycle)

    # -- flush

    async def flush_forever(self) -> NoReturn:
        """Flush when the policy says so."""
        last = LastFlush(time.monotonic(), 0.0)
        while True:
            await asyncio.sleep(min(0.05, self._flush_policy.interval_s))
            now_s, behind = time.monotonic(), bool(self._inbox)
            if self._flush_policy.should_flush(now_s, last, self._unacked_events, self._touched_since_flush, behind):
                await self.flush()
                ended_at_s = time.monotonic()
                last = LastFlush(ended_at_s, ended_at_s - now_s)

    async def flush(self) -> bool:
        """Make durable everything applied so far, then let its slabs be committed.

        Also what was offered since the last flush, though no slab waits for it. False if the group has dropped this
        worker: nothing is done, and at the revocation that follows the states are forgotten.
        """
        async with self._flush_lock:
            slabs, self._applied = self._applied, []
            cycles, self._traced_since_flush = self._traced_since_flush, []
            traced = self._metrics.traces.flush(cycles)
            with self._metrics.flush_seconds.time(), following([traced] if traced else []):
                oldest = time.monotonic()
                self._touched_since_flush = 0
                written = await self._snapshot()
                # All cycles that the snapshot may show, or an offer could be durable that was never published.
                await self._effects_through(self._cycle)
                self._dropped |= not await self._log(written)
                if traced:
                    traced.done("flushed")
                if self._dropped:
                    return False
                async with self._state_lock:
                    for arena in self.states.arenas.values():
                        arena.conceal()
            self._source.done(slabs)
            self._count_unacked(-sum(map(len, slabs)))
            self._metrics.health.unacked_since_s = oldest if self._applied else None
            return True

    async def sweep_forever(self) -> NoReturn:
        """Let the marks of erasures go once no event from before them can come any more."""
        while True:
            await asyncio.sleep(SWEEP_S)
            await self.sweep()

    async def sweep(self) -> None:
        """Tombstones for the marks of old erasures."""
        async with self._flush_lock, self._state_lock:
            before_ms = self._clock() - self._settings.accept.erasure_memory_s * 1000
            for partition in sorted(self._owned):
                arena = self.states[partition]
                keys = await self._bench.run(False, arena.expired_marks, before_ms)
                if await self._log([_tombstones(partition, keys)] if keys else []):
                    for key in keys:
                        arena.forget(key)

    async def _snapshot(self) -> list[Logged]:
        """Encoded dirty states, by partition; after them what takes back the other key of users who were erased."""
        written = []
        for partition, arena in self.states.items():
            async with self._state_lock:
                rows = arena.take_dirty()
            self._metrics.flush_users.observe(len(rows))
            for start in range(0, len(rows), ENCODE_USERS):
                chunk = rows[start : start + ENCODE_USERS]
                async with self._state_lock:
                    values, ends = await self._bench.run(
                        len(chunk) <= INLINE_ENCODE, self.states.encode, partition, chunk
                    )
                    keys, retired = arena.log_keys(chunk)
                written.append((partition, keys, values, ends))
                if retired:
                    written.append(_tombstones(partition, retired))
        return written

    async def _log(self, written: list[Logged]) -> bool:
        """Whether all of it is in the changelog; False as soon as the group has dropped this worker."""
        for partition, keys, values, ends in written:
            if not await self._source.is_member():
                return False
            offset = await self._timed("changelog", self._sinks.changelog.write(partition, keys, values, ends))
            self._metrics.flush_bytes.inc(len(values))
            if not self.states.logged(partition, len(keys), offset):
                self._write_again(partition, offset)
        return True

    def _write_again(self, partition: int, offset: int) -> None:
        """A fenced worker's late states may be the last of their users now, and compaction would keep only those."""
        self._metrics.foreign_writes.inc()
        users = self.states[partition].rewrite_all()
        self._touched_since_flush += users
        log.warning(
            "somebody else has written into the changelog; the partition is written again",
            topic=self._settings.kafka.changelog, partition=partition, before_offset=offset, users=users,
        )  # fmt: skip

    async def gauge_forever(self) -> NoReturn:
        """Keep the gauges fresh, also while a flush waits for Redis or Kafka: just then lag is what one looks at."""
        while True:
            await asyncio.sleep(GAUGE_S)
            if self.source is not None:
                self._gauge()

    def _gauge(self) -> None:
        self._metrics.users.set(self.states.users)
        self._metrics.state_bytes.set(self.states.nbytes)
        self._metrics.backlog.set(self._inbox_events)
        for topic, events in self._source.lag().items():
            self._metrics.lag.labels(topic).set(events)


def _tombstones(partition: int, keys: list[bytes]) -> Logged:
    return partition, keys, memoryview(b""), np.zeros(len(keys) + 1, np.int64)


__all__ = ["Flood", "Sinks", "Updater"]
