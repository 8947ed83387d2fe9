"""The ten-line producers of `deploy/clients` on a real Kafka: all put a user where the worker expects that user."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from model_store.state.hashing import partition_of
from model_store.state.layout import Kind
from stream_app.contracts.events import Click
from stream_app.contracts.reasons import Reason
from stream_app.contracts.validity import Limits, Rejected, judge
from stream_app.local import LocalKafka
from tests.bench.ground import unique
from tests.conformance.toolchains import CLIENTS

PARTITIONS = 12
PYTHON = CLIENTS / "python"

# The hash takes four bytes at a time, and what is left by itself; signed and unsigned bytes are where ports go wrong.
USERS = [
    *(f"u{number}" for number in range(100)),
    *("x" * length for length in (1, 2, 3, 4, 5, 7, 8, 9, 255, 256)),
    *("é" * length for length in (1, 2, 3, 4, 127, 128)),
    *(f"用户{number}" for number in range(50)),
    *(f"ключ {number}" for number in range(50)),
    *("\U0001f511" * length for length in (1, 2, 64)),
    *("}", "%7D", '"quoted"', "back\\slash", " two words ", "\u2028", "00000000-0000-0000-0000-000000000001"),
]


@pytest.fixture
def topic(kafka: LocalKafka) -> Iterator[str]:
    name = unique("clicks")
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    yield name
    admin.delete_topics([name])
    admin.close()


def clicks() -> dict[str, bytes]:
    """User -> a click in JSON."""
    now = time.time_ns() // 1_000_000
    return {
        user: json.dumps(
            {"event_id": f"e{i}", "user_id": user, "item_id": "i7", "ts": now}, ensure_ascii=False
        ).encode()
        for i, user in enumerate(USERS)
    }


def published(argv: list[str], kafka: LocalKafka, topic: str, sent: Mapping[str, bytes]) -> list[Any]:
    """The records that are in the topic once the program has ended."""
    lines = b"".join(value + b"\n" for value in sent.values())
    done = subprocess.run([*argv, kafka.bootstrap, topic], input=lines, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()[-3_000:]
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest")
    places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    consumer.assign(places)
    records, ends = [], consumer.end_offsets(places)
    while any(consumer.position(place) < end for place, end in ends.items()):
        records += [record for batch in consumer.poll(1_000).values() for record in batch]
    consumer.close()
    return records


def judged(record: Any) -> Any:
    return judge(Kind.CLICK, record, Limits(PARTITIONS), time.time_ns() // 1_000_000)


@pytest.fixture
def program(request: pytest.FixtureRequest) -> list[str]:
    """How the producer of a language is run."""
    ask = request.getfixturevalue
    start: dict[str, Callable[[], list[str]]] = {
        "kafka-python": lambda: [sys.executable, str(PYTHON / "publish.py")],
        "confluent-kafka": lambda: [sys.executable, str(PYTHON / "publish_confluent.py")],
        "node": lambda: ["node", str(ask("node_package") / "examples" / "publish.js")],
        "java": lambda: ["java", "-cp", ask("java_class_path"), "Publish"],
        "go": lambda: [str(ask("go_publish"))],
    }
    return start[request.param]()


@pytest.mark.parametrize("program", ["kafka-python", "confluent-kafka", "node", "java", "go"], indirect=True)
def test_every_producer_puts_a_user_where_the_worker_looks(program: list[str], kafka: LocalKafka, topic: str) -> None:
    sent = clicks()
    records = published(program, kafka, topic, sent)
    assert {record.key.decode(): record.value for record in records} == sent
    assert len(records) == len(sent)
    assert {record.key.decode(): record.partition for record in records} == {
        user: partition_of(user.encode(), PARTITIONS) for user in USERS
    }
    assert len({record.partition for record in records}) == PARTITIONS
    assert all(isinstance(judged(record), Click) for record in records)


def changed(file: Path, old: str, new: str) -> Path:
    """A copy beside the file, with something else in it."""
    text = file.read_text()
    assert old in text
    copy = file.with_stem(file.stem + "_changed")
    copy.write_text(text.replace(old, new))
    return copy


def assert_found_out(records: list[Any]) -> None:
    """The worker refuses just those that lie elsewhere, and there are some."""
    refused = [record for record in records if isinstance(judged(record), Rejected)]
    elsewhere = [record for record in records if record.partition != partition_of(record.key, PARTITIONS)]
    assert refused == elsewhere != []
    assert {judged(record).reason for record in refused} == {Reason.WRONG_PARTITION}


def test_another_partitioner_of_librdkafka_is_found_out(kafka: LocalKafka, topic: str, tmp_path: Path) -> None:
    copy = tmp_path / "publish.py"
    copy.write_text((PYTHON / "publish_confluent.py").read_text())
    default = changed(copy, ', "partitioner": "murmur2_random"', "")
    assert_found_out(published([sys.executable, str(default)], kafka, topic, clicks()))


def test_another_partitioner_of_kafkajs_is_found_out(kafka: LocalKafka, topic: str, node_package: Path) -> None:
    legacy = changed(node_package / "examples" / "publish.js", "DefaultPartitioner", "LegacyPartitioner")
    assert_found_out(published(["node", str(legacy)], kafka, topic, clicks()))
