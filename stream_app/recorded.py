"""What users did, as the event topics still hold it: a data set to train on.

Read are clicks, ratings and erasures, from the oldest to the end at the start. An interaction is a click, with the last
rating that the user gave the item from then on; or a rating of an item that the user had not clicked.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from model_store.state.batch import EventBatch
from model_store.state.hashing import hash_ids
from model_store.state.layout import Kind
from model_store.training.interactions import Interactions, ItemFacts, Log, assemble
from stream_app.access import kafka_options
from stream_app.contracts.validity import Limits, Record
from stream_app.intake import Intake, item_ids, kinds_by_topic, limits_of
from stream_app.reaching import reaching
from stream_app.settings import Settings

NAME = "kafka"
STALL_S = 60.0
"""Kafka may be silent for so long."""
_READ = (Kind.CLICK, Kind.RATING, Kind.ERASURE)
_POLL_MS, _POLL_RECORDS = 500, 20_000


class RecordedError(RuntimeError):
    """The topics give no data set. The message says what to do."""


class Read(NamedTuple):
    """How far reading is: records so far, and how many there are, about (transactions leave gaps)."""

    records: int
    of: int


class Interaction(NamedTuple):
    """A valid event; `kind` is its `Kind`, `rating` its share of the scale, NaN for a click and for a withdrawn one."""

    ts_ms: int
    kind: int
    user: bytes
    item: str
    rating: float


@dataclass(slots=True)
class _Slabs:
    """Valid events of one kind, as read; those of a user in the order of their offsets."""

    batches: list[EventBatch] = field(default_factory=list)
    items: list[str] = field(default_factory=list)

    def once(self) -> Iterator[Interaction]:
        """The events without repetitions: of those with the same user and event id the first one counts."""
        if not self.batches:
            return
        all_of_them = EventBatch.concat(self.batches)
        ids = np.stack([hash_ids([key.decode() for key in all_of_them.keys]).hash, all_of_them.event], axis=1)
        first = np.sort(np.unique(ids, axis=0, return_index=True)[1])
        once, rating = all_of_them.take(first), all_of_them.kind[0] == Kind.RATING
        values = once.value if rating else np.full(len(once), np.nan)
        names = [self.items[place] for place in first.tolist()] if self.items else [""] * len(once)
        yield from map(Interaction, once.ts_ms.tolist(), once.kind.tolist(), once.keys, names, values.tolist())


def recorded(settings: Settings, now_ms: int, progress: Callable[[Read], None]) -> Interactions:
    """All interactions that the topics hold, but those that users had erased. Ratings have a scale of 0 to 1.

    `now_ms`: UTC, against which event times are in the future. Raises `RecordedError`, `KafkaUnreachableError`.
    """
    slabs = {kind: _Slabs() for kind in _READ}
    topics = {topic: kind for topic, kind in kinds_by_topic(settings.kafka.topics.inputs).items() if kind in _READ}
    rejected = 0
    for topic, records, limits in _records(settings, list(topics), progress):
        kind, intake = topics[topic], Intake()
        intake.add(kind, records, limits, now_ms, {})
        rejected += len(intake.rejected)
        for _, batch in intake.joined():
            slabs[kind].batches.append(batch)
            if kind is not Kind.ERASURE:
                slabs[kind].items += item_ids(kind, records, batch.offset.tolist())
    erased: dict[bytes, int] = {}
    for erasure in slabs[Kind.ERASURE].once():
        erased[erasure.user] = max(erasure.ts_ms, erased.get(erasure.user, -1))
    events = [*slabs[Kind.CLICK].once(), *slabs[Kind.RATING].once()]
    kept = [event for event in events if event.ts_ms > erased.get(event.user, -1)]
    log = log_of(sorted(kept, key=lambda event: event[:2]))
    if not log.users:
        raise RecordedError(_why_nothing(settings, len(events), rejected))
    return assemble(NAME, f"what users did, from Kafka at {settings.kafka.bootstrap}", log, ItemFacts())


def log_of(events: Sequence[Interaction]) -> Log:
    """The log of a data set, of valid events by time, clicks before ratings."""
    rows: list[Interaction] = []
    last: dict[tuple[bytes, str], int] = {}
    for event in events:
        place = last.get((event.user, event.item))
        if event.kind == Kind.RATING and place is not None:
            rows[place] = rows[place]._replace(rating=event.rating)
        elif event.kind == Kind.CLICK or event.rating == event.rating:
            last[event.user, event.item] = len(rows)
            rows.append(event)
    return Log(
        [row.user.decode() for row in rows],
        [row.item for row in rows],
        np.array([row.ts_ms for row in rows], np.int64),
        np.array([row.rating for row in rows], np.float32),
        1.0,
    )


def _records(
    settings: Settings, topics: Sequence[str], progress: Callable[[Read], None]
) -> Iterator[tuple[str, list[Record], Limits]]:
    """Topic and records, some of one partition each time, and what is valid there."""
    with closing(reader(settings)) as consumer:
        places = {topic: partitions(consumer, topic) for topic in topics}
        limits = {topic: replace(limits_of(settings), partitions=len(of)) for topic, of in places.items()}
        at = [here for of in places.values() for here in of]
        for here, records in to_the_end(consumer, consumer.beginning_offsets(at), progress):
            yield here.topic, records, limits[here.topic]


def reader(settings: Settings) -> Any:
    """A consumer in no group, which is told what to read. Raises `KafkaUnreachableError`."""
    with reaching(settings, KafkaError, ValueError):
        return KafkaConsumer(
            bootstrap_servers=settings.kafka.bootstrap.split(","),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            **kafka_options(settings.kafka),
        )


def partitions(consumer: Any, topic: str) -> list[TopicPartition]:
    """Of a topic, in order. Raises `RecordedError` if there is no such topic."""
    found = consumer.partitions_for_topic(topic)
    if not found:
        raise RecordedError(f"there is no topic {topic}: make it (interest topics create), and send events to it")
    return [TopicPartition(topic, partition) for partition in sorted(found)]


def to_the_end(
    consumer: Any, starts: Mapping[Any, int], progress: Callable[[Read], None]
) -> Iterator[tuple[Any, list[Record]]]:
    """Records of one partition at a time, from where each starts (TopicPartition -> offset) to where it ended when this
    began. Raises `RecordedError` if Kafka falls silent."""
    at = list(starts)
    consumer.assign(at)
    end = consumer.end_offsets(at)
    for here in at:
        consumer.seek(here, starts[here])
    done, of, heard_s = 0, sum(end[here] - starts[here] for here in at), time.monotonic()
    while left := [here for here in at if consumer.position(here) < end[here]]:
        consumer.pause(*(here for here in at if here not in left))
        for here, records in consumer.poll(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS).items():
            heard_s = time.monotonic()
            inside = [record for record in records if record.offset < end[here]]
            if inside:
                yield here, inside
            done += len(inside)
        progress(Read(done, of))
        if time.monotonic() - heard_s > STALL_S:
            raise RecordedError(f"{left[0]} gave no records for {STALL_S:.0f} s: check the broker (interest doctor)")


def _why_nothing(settings: Settings, erased: int, rejected: int) -> str:
    topics = settings.kafka.topics
    asides = [f"{count:,} {what}" for count, what in ((rejected, "not valid"), (erased, "erased")) if count]
    found = f" (events that are there: {', '.join(asides)})" if asides else ""
    return (
        f"{topics.clicks} and {topics.ratings} at {settings.kafka.bootstrap} hold nothing to learn from{found}: send "
        "events first (interest replay), or name your Kafka with --kafka"
    )
