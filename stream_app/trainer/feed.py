"""The event topics as the trainer reads them: all partitions, from where the last snapshot ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from model_store.state.batch import EventBatch
from model_store.state.layout import Kind
from stream_app.access import kafka_options
from stream_app.contracts.pseudonyms import naming
from stream_app.contracts.validity import Limits, Record
from stream_app.intake import Intake, item_ids, kinds_by_topic
from stream_app.reaching import reaching
from stream_app.settings import Settings

log = structlog.get_logger(__name__)

Offsets = Mapping[tuple[str, int], int]
"""(topic, partition) -> offset of the next record."""


@dataclass(slots=True)
class Helping:
    """What one poll brought.

    Attributes:
        batches: for each partition its valid events, in the order in which a worker might have met them.
        records: how many were read, bad ones among them.
        clicks: the records of clicks of each partition, bad ones among them.
        followees: the users whom they follow or unfollow, by the hash that a state keeps of them.
    """

    batches: dict[int, EventBatch] = field(default_factory=dict)
    records: int = 0
    clicks: dict[int, list[Record]] = field(default_factory=dict)
    followees: dict[int, bytes] = field(default_factory=dict)

    def item_ids(self, partition: int, offsets: Sequence[int]) -> list[str]:
        """The items of clicks, which a batch has the hashes of."""
        return item_ids(Kind.CLICK, self.clicks[partition], offsets)


class Feed:
    """A consumer of all input partitions. One thread.

    It is in no group with others: a trainer needs everything. Its offsets are committed under a group name of its own
    for people to see its lag; where it goes on is what the snapshot says.
    """

    def __init__(self, settings: Settings, limits: Limits, offsets: Offsets) -> None:
        """`offsets`: where to begin; partitions that are not there begin at their oldest record."""
        self._limits, self._kinds = limits, kinds_by_topic(settings.kafka.topics.inputs)
        self._name = naming(settings.pseudonym_key.get_secret_value())
        with reaching(settings, KafkaError, ValueError):
            self._consumer = KafkaConsumer(
                bootstrap_servers=settings.kafka.bootstrap.split(","),
                group_id=f"{settings.kafka.consumer_group}-trainer",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                **kafka_options(settings.kafka),
            )
        self._at = [
            TopicPartition(topic, partition)
            for topic in settings.kafka.topics.inputs
            for partition in range(settings.kafka.partitions)
        ]
        self._consumer.assign(self._at)
        self._begin(offsets)

    def _begin(self, offsets: Offsets) -> None:
        oldest = self._consumer.beginning_offsets(self._at)
        for at in self._at:
            wanted = offsets.get((at.topic, at.partition), oldest[at])
            if wanted < oldest[at]:
                log.warning(
                    "Kafka has deleted events before the trainer read them; it goes on behind them",
                    topic=at.topic, partition=at.partition, offset=wanted, oldest=oldest[at],
                )  # fmt: skip
            self._consumer.seek(at, max(wanted, oldest[at]))

    def poll(self, now_ms: int, timeout_s: float, most: int) -> Helping:
        """At most `most` records; waits for some, but no longer than `timeout_s`."""
        fetched: dict[Any, list[Record]] = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=most)
        helping, intake = Helping(), Intake(name=self._name)
        for at, records in fetched.items():
            kind = self._kinds[at.topic]
            helping.records += len(records)
            intake.add(kind, records, self._limits, now_ms, {})
            if kind == Kind.CLICK:
                helping.clicks[at.partition] = records
        helping.batches, helping.followees = dict(intake.joined()), intake.followees
        return helping

    def offsets(self) -> dict[tuple[str, int], int]:
        """What is read next."""
        return {(at.topic, at.partition): self._consumer.position(at) for at in self._at}

    def lag(self) -> dict[str, int]:
        """For each input topic, records that are still to be read, as far as the consumer knows."""
        lag = dict.fromkeys(self._kinds, 0)
        for at in self._at:
            end = self._consumer.highwater(at)
            lag[at.topic] += max(0, end - self._consumer.position(at)) if end is not None else 0
        return lag

    def commit(self) -> None:
        """Show how far a snapshot is."""
        self._consumer.commit()

    def close(self) -> None:
        """Leave."""
        self._consumer.close()
