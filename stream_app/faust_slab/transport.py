"""Faust's Kafka transport, delivering slabs.

Each override says which behaviour of Faust 0.15.3 or aiokafka 0.14 it answers.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from aiokafka.errors import (
    CommitFailedError,
    ConsumerStoppedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    NoError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    for_code,
)
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from stream_app.agreement import differences
from stream_app.contracts.errors import StopWorker
from stream_app.contracts.slab import Slab
from stream_app.contracts.standing import Standing, fault_of
from stream_app.faust_slab.account import Account, Fetched
from stream_app.faust_slab.assignor import terms_in
from stream_app.faust_slab.fatal import stop_process
from stream_app.faust_slab.lease import Lease, now_s

T = TypeVar("T")

_CREATE_TIME = 0

POLL_S = 0.1
"""A seek waits for the poll that is under way, so a poll is short."""

CAREFUL_S = 0.01

_ASK_AGAIN_S = 0.02


class SlabConsumerThread(driver.AIOKafkaConsumerThread):
    """The aiokafka consumer, in a thread of its own."""

    _careful = False

    _lease: Lease
    _agrees = False

    async def on_start(self) -> None:
        with _stopping_if_silent(self.app.kafka.bootstrap):
            await super().on_start()
        kafka, coordinator = self.app.kafka, self._ensure_consumer()._coordinator
        self._lease = Lease(kafka.session_timeout_s, kafka.rebalance_timeout_s)
        coordinator._send_req = self._renewing(coordinator._send_req)
        coordinator._push_error_to_user = self._answer_group_error
        await self.require_agreement()

    async def _answer_group_error(self, error: Exception) -> None:
        """aiokafka's coordinator rests until somebody takes the error from it, which Faust never does: it would not ask
        the group again."""
        if not getattr(error, "retriable", False):
            stop_process("group", StopWorker(_outcast_message(self.app.kafka.consumer_group, error)))
        await asyncio.sleep(_ASK_AGAIN_S)

    def _renewing(self, send: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        """The coordinator's way to ask the group, which renews the lease: aiokafka tells nobody of its heartbeats."""

        async def send_and_renew(request: Any) -> Any:
            sent_at_s = now_s()
            response = await send(request)
            if isinstance(request, HeartbeatRequest | SyncGroupRequest):
                answer = for_code(response.error_code)
                if answer in (NoError, RebalanceInProgressError):
                    self._lease.renew(sent_at_s, rebalancing=answer is RebalanceInProgressError)
                    self.app.on_group_answer()
            return response

        return send_and_renew

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # aiokafka keeps one fetch in flight for each broker and leaves out partitions that are not drained yet; with
        # Faust's fixed long poll of 1.5 s a busy partition waits for idle ones. A short one bounds that wait.
        consumer._fetch_max_wait_ms = self.app.kafka.fetch_wait_ms  # read when the fetcher is made, in start()
        consumer._isolation_level = "read_committed"  # events of an aborted transaction never happened
        consumer._client.cluster.add_listener(self._require_partition_counts)
        return consumer

    def _require_partition_counts(self, cluster: Any) -> None:
        """At each look at the cluster. With more partitions producers send a user's events to another one than the
        state is in."""
        kafka = self.app.kafka
        for topic in (*kafka.topics.inputs, kafka.changelog):
            found = max(cluster.partitions_for_topic(topic) or (0,)) + 1
            if found > kafka.partitions:
                stop_process("topics", StopWorker(_grown_message(topic, kafka.partitions, found)))

    async def require_agreement(self) -> None:
        """A newcomer compares its terms with those of the members, before it joins and once more when it has joined,
        since others may have joined at the same time. While the group rebalances there is nothing to see."""
        if self._agrees:
            return
        kafka, coordinator = self.app.kafka, self._ensure_consumer()._coordinator
        await coordinator.ensure_coordinator_known()
        try:
            (group,) = (await coordinator._send_req(DescribeGroupsRequest([kafka.consumer_group]))).groups
        except KafkaError:
            return  # the group's next answer will do
        members = {client: terms_in(notes) for _, client, _, notes, _ in group[5]} if group[2] == "Stable" else {}
        for client, theirs in members.items():
            found = differences(self.app.terms, theirs)
            if found:
                stop_process("settings", StopWorker(_disagreement(kafka.consumer_group, client, found)))
        self._agrees = coordinator.member_id in [member[0] for member in group[5]] and group[2] == "Stable"

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> Any:
        """What was fetched, as `Fetched`: between its position before and the one after lies what is not in the log
        any more. Raises StopWorker where the log was cut off."""
        assignment = consumer._subscription.subscription.assignment
        before = _positions(assignment, active_partitions)
        try:
            if self._careful:
                records = await self._fetch_one(consumer, before)
            else:
                records = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        except UnicodeDecodeError:
            self._careful = True
            for tp, position in before.items():
                consumer._fetcher.seek_to(tp, position)
            return {}
        except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
            await self._out_of_range(consumer, error)
            return {}
        except ConsumerStoppedError:
            raise
        except KafkaError as error:
            raise StopWorker(_unfetched_message(before, error)) from error
        if assignment is not consumer._subscription.subscription.assignment:
            return {}  # positions of before and after a rebalance; recovery seeks
        after = _positions(assignment, before)
        return {
            tp: Fetched(records.get(tp, ()), start, after[tp])
            for tp, start in before.items()
            if after.get(tp, start) != start
        }

    async def _fetch_one(self, consumer: Any, positions: Mapping[Any, int]) -> Any:
        """A single record: aiokafka cannot read one of those to come, whose header has a name that is no UTF-8. So all
        before it get through, and then it is known where it lies."""
        for tp in positions:
            try:
                records = await super()._fetch_records(consumer, {tp}, 0, 1)
            except UnicodeDecodeError as error:
                raise StopWorker(_unreadable_message(tp, positions[tp], error)) from error
            if records:
                return records
        await asyncio.sleep(CAREFUL_S)
        return {}

    async def _out_of_range(self, consumer: Any, error: Exception) -> None:
        """A changelog may be cut off at its start, where recovery has nothing to read; an input may not."""
        asked = error.args[0] if isinstance(error, OffsetOutOfRangeError) else {error.args[0]: 0}
        sources = {tp: offset for tp, offset in asked.items() if not self.consumer._is_changelog_tp(tp)}
        if sources and isinstance(error, NoOffsetForPartitionError):
            return  # a group that has committed nothing: aiokafka looked for a position before `perform_seek` gave one
        if sources:
            first, end = await consumer.beginning_offsets(sources), await consumer.end_offsets(sources)
            found = [Standing(tp.topic, tp.partition, offset, first[tp], end[tp]) for tp, offset in sources.items()]
            raise StopWorker(fault_of(found) or str(error)) from error
        await consumer.seek_to_beginning(*asked)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """aiokafka repeats what passes; Faust would stop in an orderly way at the rest, which waits for the broker."""
        consumer = self._ensure_consumer()
        held = {
            driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in self.assignment()
        }
        if not held:
            return False
        self.tp_last_committed_at.update(dict.fromkeys(held, time.monotonic()))
        try:
            await consumer.commit(held)
        except (CommitFailedError, IllegalStateError):
            return False  # partitions have gone to another member; it reads again what is not committed
        except Exception as error:
            stop_process("commit", StopWorker(_uncommitted_message(held, error)))
        return True

    def fenced(self) -> bool:
        """Whether the group has dropped this member, or it has not asked to be one yet."""
        return self._consumer is None or self._generation == driver.DEFAULT_GENERATION_ID

    def is_member(self) -> bool | None:
        """Whether the partitions are still this member's; None if only the group's next answer can tell."""
        if self._generation != self.app.consumer_generation_id:
            return False
        return True if self._lease.holds(now_s()) else None

    @property
    def _generation(self) -> int:
        generation: int = self._ensure_consumer()._coordinator.generation
        return generation


class AgreeingListener(driver.ConsumerRebalanceListener):
    """Called in the consumer's thread."""

    async def on_partitions_assigned(self, assigned: Any) -> None:
        await self._thread.require_agreement()
        await super().on_partitions_assigned(assigned)


class SlabConsumer(driver.Consumer):
    """Delivers slabs, and commits up to the end of the done prefix of the delivered ones."""

    RebalanceListener = AgreeingListener
    _thread: SlabConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.epoch = 0
        self._account = Account()
        self.fetching = asyncio.Lock()
        self._backlog_events = 0
        self._room = asyncio.Event()
        self._room.set()

    def _new_consumer_thread(self) -> SlabConsumerThread:
        return SlabConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- delivery

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """One message for all slabs of a poll. What is dropped here comes again: recovery seeks before it lets
        sources in."""
        if not self._room.is_set():
            # Faust bounds its streams by messages, which are slabs here, and sleeps a second when they are full.
            await self.wait_first(self._room, timeout=timeout)
            return
        try:
            fetched, active = await self._wait_next_records(POLL_S)
        except StopWorker as error:
            await self._finish(error)
            return
        if self.should_stop or not self.flow_active:
            return
        epoch = self.epoch
        wanted = {tp: part for tp, part in (fetched or {}).items() if self._is_wanted(tp, active)}
        logs = {tp: wanted.pop(tp) for tp in list(wanted) if self._is_changelog_tp(tp)}
        if logs:
            await self.app.tables.recovery.take(logs, lambda: epoch == self.epoch)
            if epoch != self.epoch:
                return
        slabs = self._delivered(wanted)
        if slabs:
            tp = TP(slabs[0].topic, slabs[0].partition)
            yield tp, self._message(tp, slabs)

    async def _finish(self, error: StopWorker) -> None:
        """Stop, but not before what was read is durable: what comes before a gap may be gone as well by now."""
        epoch, until_s = self.epoch, time.monotonic() + self.app.kafka.rebalance_timeout_s
        while self._account.partitions() and epoch == self.epoch and time.monotonic() < until_s:
            await self.sleep(POLL_S)
        if epoch == self.epoch:  # otherwise the seek that follows finds the gap again
            await self.maybe_wait_for_commit_to_finish()
            stop_process("input", error)

    def _is_wanted(self, tp: TP, active: Any) -> bool:
        return tp in active or tp in self._buffered_partitions

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        """Faust hands its live set to the consumer's thread. Pausing empties it while a poll is under way; to aiokafka
        an empty set means every partition, and what such a poll takes out is lost. So: a copy, and none if empty.

        A poll is of the epoch in which its turn comes, not of that in which it began to wait. The seek may have been in
        between, and what is dropped after it does not come again."""
        async with self.fetching:
            epoch, wanted = self.epoch, frozenset(active_partitions)
            if not wanted or not self.flow_active:
                return {}
            fetched = await super()._getmany(wanted, timeout)
            return fetched if epoch == self.epoch else {}

    def _delivered(self, fetched: Mapping[TP, Fetched]) -> tuple[Slab, ...]:
        """Slabs of the sources' records that were not delivered before, on the account."""
        slabs = []
        try:
            for tp, part in fetched.items():
                records = self._account.accept(tp, part)
                # Where there are none, what lies there is done.
                slab = Slab(tp.topic, tp.partition, records, self.epoch, done=[not records])
                self._account.delivered(tp, slab.done, part.end)
                if records:
                    slabs.append(slab)
        except Exception as error:
            stop_process("input", error)
        self._count_backlog(sum(map(len, slabs)))
        return tuple(slabs)

    def _message(self, tp: TP, slabs: tuple[Slab, ...]) -> ConsumerMessage:
        # A value that outlived a seek would make Faust drop the message as one read before.
        self._read_offset[tp] = None
        last = slabs[0].records[-1]
        return ConsumerMessage(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000.0, _CREATE_TIME, None, None,
            slabs, None, 0, 0, tp, generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    def taken(self, events: int) -> None:
        """The engine took this many events out of its inbox."""
        self._count_backlog(-events)

    def _count_backlog(self, events: int) -> None:
        self._backlog_events += events
        if self._backlog_events < self.app.cycle.max_backlog_events:
            self._room.set()
        else:
            self._room.clear()

    def lag(self) -> dict[str, int]:
        """For each input topic, events after the committed offset, as far as the last fetches told."""
        lags: dict[str, int] = {}
        for tp, committed in self._account.committed().items():
            behind = max(0, (self.highwater(tp) or 0) - committed) if tp in self.assignment() else 0
            lags[tp.topic] = lags.get(tp.topic, 0) + behind
        return lags

    # -- acknowledgement: whole slabs

    def done(self, slabs: Iterable[Slab]) -> None:
        """The effects of these slabs are durable: their offsets may be committed."""
        for slab in slabs:
            slab.done[0] = True

    def ack(self, _message: Any) -> bool:
        """Faust's own acks mean nothing here."""
        return False

    def track_message(self, _message: Any) -> None:
        """Nor is a message waited for: `wait_empty` asks the engine."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> list[TP]:
        return [tp for tp in self._account.partitions() if topics is None or tp in topics or tp.topic in topics]

    def _new_offset(self, tp: TP) -> int | None:
        return self._account.committable(tp)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Faust would count the inside of a slab that is not done as acknowledged."""

    # -- membership, seek and revocation

    async def is_member(self) -> bool:
        """See `ports.SlabSource`. A worker that slept, or was cut off, waits here before it writes."""
        kafka, asked_at_s = self.app.kafka, now_s()
        give_up_s = kafka.session_timeout_s + kafka.rebalance_timeout_s
        while (known := self._thread.is_member()) is None:
            if now_s() - asked_at_s > give_up_s:
                raise StopWorker(
                    f"the group {kafka.consumer_group} at {kafka.bootstrap} has not answered for {give_up_s:g} s, so "
                    "this worker can't know whether it may still write. Check that Kafka can be reached. Nothing is "
                    "lost: the worker resumes when it is started again"
                )
            await asyncio.sleep(_ASK_AGAIN_S)
        return known

    def resume_flow(self) -> None:
        """A recovery that is void does not: it may come to this between the revocation, which stopped the flow, and the
        next assignment, whose partitions Faust lets in before it pauses them."""
        if not self.app.tables.recovery.is_void:
            super().resume_flow()

    async def perform_seek(self) -> None:
        """Faust skips partitions whose committed offset is None or 0: they would go on from wherever the fetcher was.

        Holds the fetch lock, since a poll from before the seek would take records out behind it.
        """
        async with self.fetching:
            await super().perform_seek()
            sources = [tp for tp in self.assignment() if not self._is_changelog_tp(tp)]
            if not sources:
                return
            first, end = await self.earliest_offsets(*sources), await self.highwaters(*sources)
            offsets = {tp: self._committed_offset[tp] or first[tp] for tp in sources}
            fault = fault_of(
                Standing(tp.topic, tp.partition, offset, first[tp], end[tp]) for tp, offset in offsets.items()
            )
            if fault:
                stop_process("input", StopWorker(fault))
            await self.seek_wait({tp: offsets[tp] for tp in sources if not self._committed_offset[tp]})
            self._account.restart(offsets)

    async def wait_empty(self) -> None:
        """Revocation or stop: void what is not applied, make durable what is, commit it."""
        self.epoch += 1
        self._backlog_events = 0
        self._room.set()
        try:
            await self.app.engine.drain(fenced=self._thread.fenced())
        except Exception as error:
            stop_process("revocation", error)
        await self.maybe_wait_for_commit_to_finish()  # otherwise commit() returns without committing
        await self.commit_and_end_transactions()


class IdempotentProducer(driver.Producer):
    """Faust enables idempotence for exactly_once only; without it a retry can reorder the changelog."""

    async def on_start(self) -> None:
        with _stopping_if_silent(self.app.kafka.bootstrap):
            await super().on_start()

    def _settings_extra(self) -> Mapping[str, Any]:
        return {**super()._settings_extra(), "enable_idempotence": True}


class SlabTransport(driver.Transport):
    Consumer = SlabConsumer
    Producer = IdempotentProducer


@contextmanager
def _stopping_if_silent(bootstrap: str) -> Iterator[None]:
    """The command has found that Kafka answers; it may be gone a moment later."""
    try:
        yield
    except KafkaConnectionError as error:
        stop_process("start", StopWorker(_silent_message(bootstrap, error)))


def _silent_message(bootstrap: str, error: Exception) -> str:
    return (
        f"no Kafka answers at {bootstrap} any more, which it did when this worker began to start ({error}). Nothing is "
        "lost: start it again when Kafka is back"
    )


def _disagreement(group: str, client: str, found: Iterable[str]) -> str:
    return (
        f"the group {group} has a worker ({client}) that was started with other settings: {'; '.join(found)}. "
        "All workers of a group must agree on these. Mend the settings; to change them for all, stop all workers first"
    )


def _positions(assignment: Any, partitions: Iterable[Any]) -> dict[Any, int]:
    """Offsets that aiokafka reads next, of those partitions that have one."""
    states = {tp: assignment.state_value(tp) for tp in partitions}
    return {tp: state.position for tp, state in states.items() if state is not None and state.has_valid_position}


def _uncommitted_message(offsets: Mapping[Any, Any], error: Exception) -> str:
    places = ", ".join(f"{tp.topic}[{tp.partition}]" for tp in offsets)
    return (
        f"Kafka did not take the offsets of {places} ({type(error).__name__}: {error}). Check that this user may "
        "read the group and the topics. Nothing is lost: a restart reads again what is not committed, and counts it "
        "once"
    )


def _outcast_message(group: str, error: Exception) -> str:
    return (
        f"the group {group} does not let this worker be a member ({type(error).__name__}: {error}). Check that this "
        "user may read the group. Nothing is lost: a restart reads again what is not committed, and counts it once"
    )


def _unfetched_message(places: Iterable[Any], error: Exception) -> str:
    topics = ", ".join(sorted({tp.topic for tp in places}))
    return (
        f"Kafka does not give out records of one of {topics} ({type(error).__name__}: {error}). Check that this user "
        "may read it. Nothing is lost: a restart reads again what is not committed, and counts it once"
    )


def _grown_message(topic: str, wanted: int, found: int) -> str:
    return (
        f"{topic} has {found} partitions, the states were made with {wanted}: a user's events and state are no longer "
        "in the same one, and Kafka cannot take partitions away. Go on with new topics of the new count and a new "
        "group (INTEREST_KAFKA__PARTITIONS, __TOPICS__..., __GROUP), into which the events are replayed"
    )


def _unreadable_message(tp: Any, offset: int, error: Exception) -> str:
    return (
        f"the record at offset {offset} of {tp.topic}[{tp.partition}] has a header whose name is not UTF-8, which "
        f"Kafka forbids and this client cannot read ({error}). All before it is committed. Mend the producer; to go "
        "on past this record, stop all workers and set the group's offset: kafka-consumer-groups.sh --reset-offsets "
        f"--execute --topic {tp.topic}:{tp.partition} --to-offset {offset + 1} --group ..."
    )
