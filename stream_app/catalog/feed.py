"""Items as producers send them, shared out among the catalogue's processes by their consumer group."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import CommitFailedError, IllegalStateError, KafkaError, KafkaTimeoutError
from kafka.structs import MemberState

from model_store.state.hashing import partition_of
from stream_app.access import kafka_options
from stream_app.catalog.backlog import Entry
from stream_app.contracts.validity import Record
from stream_app.reaching import reaching
from stream_app.settings import Settings
from stream_app.topics import administration

LONGEST_TURN_MS = 5 * 60_000
"""A process whose loop hangs so long leaves its partitions to others."""
HEARD_AT_ONCE = 2_000
FRESH_S = 1.0
"""The group's answer is not asked for again for so long."""
_ANSWER_MS = 10_000
_STALL_S = 30.0
_FETCH_BYTES = 256 << 10
_LEAP = 1_000
"""Records that are rather read than leapt over."""


class DroppedError(Exception):
    """The group has dropped this process, or shares out its partitions anew: what it has found out is for others to
    tell."""


class ItemFeed:
    """A consumer in the group `<group>-catalog`, which begins at the oldest record and hears everything up to the
    newest; what is done is committed apart from that. One thread; the client has another one, in which partitions may
    be shared out anew at any time after a `poll`.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises `KafkaUnreachableError`."""
        self._topic = settings.kafka.topics.items
        with administration(settings) as admin:
            self._made = admin.describe_topics([self._topic])[0]["topic_id"]
        self._answered_s = float("-inf")
        self._shared_out = 0
        self._standing_then: tuple[int, int, str] | None = None
        with reaching(settings, KafkaError, ValueError):
            self._consumer = KafkaConsumer(
                bootstrap_servers=settings.kafka.bootstrap.split(","),
                group_id=f"{settings.kafka.group}-catalog",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                max_poll_interval_ms=LONGEST_TURN_MS,
                session_timeout_ms=int(settings.kafka.session_timeout_s * 1000),
                heartbeat_interval_ms=int(settings.kafka.heartbeat_s * 1000),
                **kafka_options(settings.kafka),
            )
            # Asked for before they are shared out, or the first time none are.
            self._count = len(self._consumer.partitions_for_topic(self._topic) or ())
            self._partition_of = {self.log_of(partition): partition for partition in range(self._count)}
            self._consumer.subscribe([self._topic], listener=_Counting(self._count_sharing))

    def poll(self, timeout_s: float) -> list[Record]:
        """What is new, those of a partition in their order; waits no longer than that for some. Means
        something only while this process `holds` its partitions."""
        if self._consumer.group_metadata().state is MemberState.REBALANCING:
            # kafka-python 3.0.12 forgets a join that outlasts a poll if its reason has passed by then (the topic's
            # metadata were fetched), and never settles.
            self._consumer._coordinator.request_rejoin()
        fetched: dict[Any, list[Record]] = self._consumer.poll(int(timeout_s * 1000), max_records=HEARD_AT_ONCE)
        return [record for records in fetched.values() for record in records]

    def rewind(self) -> dict[int, int]:
        """From now on it holds the partitions that it has, and `poll` gives what is not committed; returns where that
        begins, by partition. Raises `DroppedError`, KafkaError."""
        standing, at = self._standing(), sorted(self._consumer.assignment())
        starts = self._committed(at)
        try:
            for one in at:
                self._consumer.seek(one, starts[one])
        except ValueError as error:
            raise DroppedError from error
        self._standing_then = standing
        return {one.partition: offset for one, offset in starts.items()}

    def _committed(self, at: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        first = self._consumer.beginning_offsets(at, timeout_ms=_ANSWER_MS) if at else {}
        committed = {one: self._consumer.committed(one, timeout_ms=_ANSWER_MS) for one in at}
        return {one: max(first[one], committed[one] or 0) for one in at}

    def positions(self) -> dict[int, int]:
        """By partition the offset of what is polled next. Raises `DroppedError`, KafkaError."""
        at = sorted(self._consumer.assignment())
        try:
            found = {one.partition: self._consumer.position(one, timeout_ms=_ANSWER_MS) for one in at}
        except IllegalStateError as error:
            raise DroppedError from error
        return {partition: position for partition, position in found.items() if position is not None}

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Everything before these offsets is done. Raises `DroppedError` if that is no longer this process's to say,
        and KafkaError."""
        self._say_done(offsets)

    def confirm(self, offsets: Mapping[int, int]) -> None:
        """That the group still takes this process for the owner of its partitions; it is told what is done, and must
        accept that. Raises as `commit` does."""
        if not self.holds():
            raise DroppedError
        if _now_s() - self._answered_s > FRESH_S:
            self._say_done(offsets)

    def _say_done(self, offsets: Mapping[int, int]) -> None:
        if not self.holds():
            raise DroppedError
        asked_s, metadata = _now_s(), OffsetAndMetadata
        told = {TopicPartition(self._topic, one): metadata(offset, "", -1) for one, offset in offsets.items()}
        try:
            self._consumer.commit(told, timeout_ms=_ANSWER_MS)
        except CommitFailedError as error:
            raise DroppedError from error
        self._answered_s = asked_s

    def log_of(self, partition: int) -> str:
        """See `Knowledge.log`. A topic that is made anew is another log; stop the service before that."""
        return f"{self._made}-{partition}"

    def is_settled(self) -> bool:
        """Whether the group has shared out the partitions, and does not share them out anew."""
        return self._standing() is not None

    def holds(self) -> bool:
        """Whether they are those of the last `rewind`."""
        return self._standing_then is not None and self._standing() == self._standing_then

    def let_go(self) -> None:
        """What was polled since the last `rewind` was not worked off: it is needed again."""
        self._standing_then = None

    def _standing(self) -> tuple[int, int, str] | None:
        """Differs whenever the partitions were shared out: the client tells of that in two steps."""
        now = self._consumer.group_metadata()
        settled = self._shared_out and now.state is MemberState.STABLE
        return (self._shared_out, now.generation_id, now.member_id) if settled else None

    def _count_sharing(self) -> None:
        self._shared_out += 1

    def is_mine(self, item: str, log: str) -> bool:
        """Whether this process and no other has the item's partition: that of the log, and where that is none of this
        topic's the one into which Kafka's default partitioner puts it."""
        partition = self._partition_of.get(log, partition_of(item.encode(), self._count))
        return TopicPartition(self._topic, partition) in self._consumer.assignment()

    def share(self) -> frozenset[Any]:
        """The partitions that are this process's now."""
        return frozenset(self._consumer.assignment())

    def lag(self) -> int:
        """Records of this process's partitions that are still to be heard. Raises `DroppedError`, KafkaError."""
        at = {TopicPartition(self._topic, partition): offset for partition, offset in self.positions().items()}
        ends = self._consumer.end_offsets(list(at)) if at else {}
        return sum(max(0, ends[one] - position) for one, position in at.items())

    def left(self) -> int:
        """Records that the group has not done, whoever has their partitions. Raises KafkaError."""
        at = [TopicPartition(self._topic, one) for one in self._consumer.partitions_for_topic(self._topic) or ()]
        committed = self._committed(at)
        ends = self._consumer.end_offsets(at) if at else {}
        return sum(max(0, ends[one] - committed[one]) for one in at)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()


class _Counting(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, count: Callable[[], None]) -> None:
        self._count = count

    def on_partitions_revoked(self, revoked: Any) -> None:
        pass

    def on_partitions_assigned(self, assigned: Any) -> None:  # noqa: ARG002
        self._count()


class ItemTexts:
    """Reads records of the items topic again. One thread at a time."""

    def __init__(self, settings: Settings) -> None:
        """Raises `KafkaUnreachableError`."""
        self._topic = settings.kafka.topics.items
        with reaching(settings, KafkaError, ValueError):
            self._consumer = KafkaConsumer(
                bootstrap_servers=settings.kafka.bootstrap.split(","),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                max_partition_fetch_bytes=_FETCH_BYTES,
                **kafka_options(settings.kafka),
            )

    def read(self, entries: Sequence[Entry]) -> list[Record]:
        """Those of them that compaction has left. Raises KafkaError."""
        found: list[Record] = []
        for partition in sorted({entry.partition for entry in entries}):
            wanted = sorted(entry.offset for entry in entries if entry.partition == partition)
            found += self._of(TopicPartition(self._topic, partition), wanted)
        return found

    def _of(self, at: TopicPartition, wanted: list[int]) -> list[Record]:
        self._turn_to(at, wanted[0])
        left, found, heard_s = list(reversed(wanted)), [], time.monotonic()
        while left:
            fetched = self._consumer.poll(500, max_records=min(HEARD_AT_ONCE, left[0] - left[-1] + 1)).get(at, [])
            found += [record for record in fetched if record.offset in set(left)]
            position = self._consumer.position(at)
            while left and left[-1] < position:
                left.pop()
            if left and left[-1] - position > _LEAP:
                self._consumer.seek(at, left[-1])
            if fetched:
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > _STALL_S:
                raise KafkaTimeoutError(f"{self._topic} gave nothing for {_STALL_S:.0f} s")
        return found

    def _turn_to(self, at: TopicPartition, offset: int) -> None:
        assigned = self._consumer.assignment()
        if at not in assigned:
            self._consumer.assign([*assigned, at])
        self._consumer.pause(*(assigned - {at}))
        self._consumer.resume(at)
        if at not in assigned or self._consumer.position(at) != offset:
            self._consumer.seek(at, offset)

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


def _now_s() -> float:
    """On a clock that counts the time in which the machine is suspended, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
