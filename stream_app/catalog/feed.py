"""Items as producers send them, shared out among the catalogue's processes by their consumer group."""

from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CommitFailedError, KafkaError

from model_store.state.hashing import partition_of
from stream_app.access import kafka_options
from stream_app.contracts.validity import Record
from stream_app.reaching import reaching
from stream_app.settings import Settings

LONGEST_BATCH_MS = 30 * 60_000
"""A batch that takes longer is given to another process."""


class ItemFeed:
    """A consumer in the group `<group>-catalog`, which begins at the oldest record. One thread."""

    def __init__(self, settings: Settings) -> None:
        """Raises `KafkaUnreachableError`."""
        self._most, self._topic = settings.catalog.batch_items, settings.kafka.topics.items
        self._partitions: int | None = None
        with reaching(settings, KafkaError, ValueError):
            self._consumer = KafkaConsumer(
                self._topic,
                bootstrap_servers=settings.kafka.bootstrap.split(","),
                group_id=f"{settings.kafka.group}-catalog",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                max_poll_interval_ms=LONGEST_BATCH_MS,
                session_timeout_ms=int(settings.kafka.session_timeout_s * 1000),
                heartbeat_interval_ms=int(settings.kafka.heartbeat_s * 1000),
                **kafka_options(settings.kafka),
            )

    def poll(self, timeout_s: float) -> list[Record]:
        """At most a batch, those of a partition in their order; waits no longer than that for some."""
        fetched: dict[Any, list[Record]] = self._consumer.poll(int(timeout_s * 1000), max_records=self._most)
        return [record for records in fetched.values() for record in records]

    def commit(self) -> None:
        """All that was polled is done. What another process took over meanwhile is left to it."""
        try:
            self._consumer.commit()
        except CommitFailedError:
            return

    def is_mine(self, item: str) -> bool:
        """Whether this process and no other has the item's partition."""
        if self._partitions is None:
            self._partitions = len(self._consumer.partitions_for_topic(self._topic) or ())
        partition = partition_of(item.encode(), self._partitions)
        return TopicPartition(self._topic, partition) in self._consumer.assignment()

    def share(self) -> frozenset[Any]:
        """The partitions that are this process's now."""
        return frozenset(self._consumer.assignment())

    def is_assigned(self) -> bool:
        """Whether the group has shared out the partitions."""
        return bool(self._consumer.assignment())

    def lag(self) -> int:
        """Records of this process's partitions that are still to be read."""
        at = list(self._consumer.assignment())
        ends = self._consumer.end_offsets(at) if at else {}
        return sum(max(0, ends[one] - self._consumer.position(one)) for one in at)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()
