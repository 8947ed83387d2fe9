"""The generator's events are what producers are told to send, each once and where Java's partitioner puts it."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition

from model_store.state.layout import Kind
from stream_app.contracts.decode import decode_records
from stream_app.contracts.validity import Limits
from stream_app.local import LocalKafka
from tests.bench.ground import Broker, unique
from tests.bench.load import Events, Followed, Population, generate, pace, preload, topics_named

PARTITIONS = 3


@dataclass(frozen=True)
class Record:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


def read(bootstrap: str, topic: str) -> list[list[Record]]:
    """All records, by partition."""
    out = []
    for (name, partition), end in sorted(Broker(bootstrap).ends([topic]).items()):
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": unique("read"), "enable.auto.commit": False})
        consumer.assign([TopicPartition(name, partition, 0)])
        got: list[Record] = []
        deadline = time.monotonic() + 30
        while len(got) < end and time.monotonic() < deadline:
            got += [
                Record(topic, partition, one.offset(), one.key(), one.value()) for one in consumer.consume(1000, 1.0)
            ]
        consumer.close()
        out.append(got)
    return out


def sent(events: Events, end_ms: int) -> Counter[tuple[int, bytes, bytes]]:
    return Counter(events.message(i, end_ms - len(events) + i) for i in range(len(events)))


@pytest.mark.parametrize("followed", Followed)
def test_every_preloaded_event_is_valid_and_there_once(kafka: LocalKafka, followed: Followed) -> None:
    topics, end_ms = topics_named(unique("test")), time.time_ns() // 1_000_000
    events = generate(Population(users=50, items=20, followed=followed), 600)
    Broker(kafka.bootstrap).create(list(topics.inputs), PARTITIONS)
    preload(kafka.bootstrap, topics, events, end_ms)
    found: Counter[tuple[int, bytes, bytes]] = Counter()
    for kind, topic in zip((Kind.CLICK, Kind.FOLLOW, Kind.RATING), topics.inputs, strict=False):
        for records in read(kafka.bootstrap, topic):
            decoded = decode_records(kind, records, Limits(PARTITIONS), end_ms)
            assert decoded.rejected == []
            found.update((int(kind), record.key or b"", record.value or b"") for record in records)
    assert found == sent(events, end_ms)
    targets = {json.loads(value)["target_type"] for kind, _, value in found if kind == Kind.FOLLOW}
    assert targets == {followed.value}


def test_a_paced_load_sends_everything_and_not_faster_than_asked(kafka: LocalKafka) -> None:
    topics = topics_named(unique("test"))
    Broker(kafka.bootstrap).create(list(topics.inputs), 1)
    reached = pace(kafka.bootstrap, topics, generate(Population(users=5, items=5), 200), rate=400)
    assert sum(Broker(kafka.bootstrap).ends(list(topics.inputs)).values()) == 200
    assert reached <= 400 * 1.02


def test_shares_and_ranges_are_as_told() -> None:
    events = generate(Population(users=100, items=30), 20_000)
    shares = np.bincount(events.kind, minlength=3) / len(events)
    assert np.abs(shares - [0.8, 0.1, 0.1]).max() < 0.02
    assert set(np.unique(events.user)) == set(range(100))
    assert set(np.unique(events.value[events.kind == 2])) == {1, 2, 3, 4, 5}


def test_zipf_gives_most_to_few_and_stays_in_range() -> None:
    counts = np.bincount(generate(Population(users=1_000, zipf=1.2), 50_000).user, minlength=1_000)
    assert len(counts) == 1_000
    assert counts[0] > 0.15 * counts.sum()
    assert counts[0] > 10 * counts[20]


def test_the_same_seed_gives_the_same_events() -> None:
    one, other = (generate(Population(seed=3), 1_000) for _ in range(2))
    assert [one.message(i, 0) for i in range(1_000)] == [other.message(i, 0) for i in range(1_000)]
