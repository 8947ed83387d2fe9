"""What the system shows at the end: the changelog, Redis and the recommendations topic, read from outside."""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import redis
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from model_store.state import codec, windows
from model_store.state.layout import UNTOLD, WINDOWS, WITHDRAWN
from stream_app.settings import Settings
from tests.bench.ground import Broker
from tests.failure.letters import Letter, letter_of
from tests.failure.truth import Facts

READ_S = 60.0
LOOK_S = 0.05
FETCH_WAIT_MS = 10
"""The broker says only after this time that a partition has ended."""


@dataclass(frozen=True)
class RedisView:
    """A user's hash: `windows` as the contract says, None without interests; `rec`: is there a recommendation?"""

    version: int
    events: int
    windows: dict[str, dict[str, Any]] | None
    rec: bool


@dataclass(frozen=True)
class Found:
    """By user. `sequences`: (user, erased at) -> numbers of the recommendations published; `rec_seq`: of the last one
    that the state knows. `rec_repeats`: records whose event id was published before."""

    states: dict[str, Facts]
    rec_seq: dict[str, int]
    redis: dict[str, RedisView]
    sequences: dict[tuple[str, int], set[int]]
    dead_letters: Sequence[Letter]
    partitions: int
    rec_repeats: int = 0


def look(settings: Settings, users: Sequence[str]) -> Found:
    """Everything as it is now; no worker should run."""
    kafka = settings.kafka
    records = _latest(read_topic(kafka.bootstrap, kafka.changelog))
    states = codec.decode(list(records.values()))
    names = _names(records, users)
    with redis.Redis.from_url(settings.redis.url.get_secret_value()) as client:
        views = _redis_views(client, users, kafka.generation)
    recommendations = read_topic(kafka.bootstrap, kafka.topics.recommendations)
    sequences = _sequences(recommendations, kafka.generation)
    held = {name: row for row, name in sorted(enumerate(names), key=lambda place: states["version"][place[0]])}
    return Found(
        states={name: _facts(states, row) for name, row in held.items()},
        rec_seq={name: int(states["rec_seq"][row]) for name, row in held.items()},
        redis=views,
        sequences=sequences,
        dead_letters=[letter_of(record) for record in read_topic(kafka.bootstrap, kafka.topics.dead_letters)],
        partitions=kafka.partitions,
        rec_repeats=sum(bool(record.value()) for record in recommendations) - sum(map(len, sequences.values())),
    )


def read_topic(bootstrap: str, topic: str) -> list[Message]:
    """All records of a topic, each partition's in order. Raises TimeoutError if its ends are not reached."""
    partitions = sorted(partition for _, partition in Broker(bootstrap).ends([topic]))
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "fetch.wait.max.ms": FETCH_WAIT_MS,
            "log_level": 3,
        }
    )
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    try:
        return _until_ends(consumer, topic, set(partitions))
    finally:
        consumer.close()


def _until_ends(consumer: Consumer, topic: str, left: set[int]) -> list[Message]:
    records: list[Message] = []
    deadline = time.monotonic() + READ_S
    while left:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the ends of {topic} {sorted(left)} were not reached within {READ_S:.0f} s")
        for message in consumer.consume(10_000, LOOK_S):  # waits that long unless there are so many
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())
            else:
                raise KafkaException(error)
    return records


def _latest(records: list[Message]) -> dict[bytes, bytes]:
    """The last state of each user."""
    latest = {record.key(): record.value() for record in records}
    return {key: value for key, value in latest.items() if key is not None and value}


def _names(records: Iterable[bytes], users: Sequence[str]) -> list[str]:
    """Whose each record is. That of an erased user is under a hash of the id."""
    marks = {b"\0" + blake2b(user.encode(), digest_size=16).digest(): user for user in users}
    return [marks[key] if key in marks else key.decode() for key in records]


def _facts(states: Any, row: int) -> Facts:
    one = states[row]
    rated = zip(one["rated_item"].tolist(), one["rated_value"].tolist(), strict=True)
    active = int(one["followee_active"])
    return Facts(
        version=int(one["version"]),
        events=int(one["events"]),
        event_ts=int(one["event_ts_ms"]),
        erased_at=int(one["erased_at_ms"]),
        windows=_windows(states, row),
        ratings={item: value % UNTOLD for item, value in rated if item and value != WITHDRAWN},
        followees=frozenset(target for slot, target in enumerate(one["followee"].tolist()) if active >> slot & 1),
    )


def _windows(states: Any, row: int) -> dict[str, dict[str, int]]:
    counts = windows.read(states, np.array([row]), states["event_ts_ms"][[row]])
    names = ("clicks", "dwell_ms", "ratings", "rating_sum", "follows")
    return {
        length: {name: int(getattr(counts, name)[0, place]) for name in names} for place, length in enumerate(WINDOWS)
    }


def _redis_views(client: redis.Redis, users: Sequence[str], generation: int) -> dict[str, RedisView]:
    pipeline = client.pipeline(transaction=False)
    prefix = "" if generation == 1 else f"g{generation}:"
    for user in users:
        pipeline.hgetall(f"interest:{prefix}{{{user}}}")
        pipeline.exists(f"rec:{prefix}{{{user}}}")
    rows = pipeline.execute()
    return {
        user: _redis_view(rows[2 * place], bool(rows[2 * place + 1]))
        for place, user in enumerate(users)
        if rows[2 * place]
    }


def _redis_view(row: dict[bytes, bytes], rec: bool) -> RedisView:
    held = json.loads(row[b"windows"]) if b"vector" in row else None
    return RedisView(
        version=int(row[b"version"]),
        events=int(row.get(b"events", 0)),
        windows=held,
        rec=rec,
    )


def _sequences(records: list[Message], generation: int) -> dict[tuple[str, int], set[int]]:
    """Of that generation; the ids of the first one do not say so."""
    made: dict[tuple[str, int], set[int]] = defaultdict(set)
    for value in [record.value() for record in records if record.value() is not None]:
        told, _, of = json.loads(value)["event_id"].partition(":g")
        if (int(of) if of else 1) == generation:
            user, erased_at, sequence = told.rsplit(":", 2)
            made[user, int(erased_at)].add(int(sequence))
    return dict(made)
