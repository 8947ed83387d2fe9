"""What the Kafka sinks hand over is what a consumer reads, and a failed write is never taken for a good one."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from model_store.state.layout import Kind
from stream_app.contracts import recommendations as wire
from stream_app.contracts.decode import decode_records
from stream_app.contracts.errors import SinkStopped
from stream_app.contracts.recommendations import Item, Reason, Recommendation, Trigger
from stream_app.contracts.validity import Limits, Rejected
from stream_app.local import LocalKafka
from stream_app.sinks.changelog import KafkaChangelog
from stream_app.sinks.dead_letters import KafkaDeadLetters
from stream_app.sinks.kafka_batches import NO_HEADERS, acknowledged, send_records
from stream_app.sinks.recommendations import KafkaRecommendations

NOW_MS = 1_790_000_000_000
PARTITIONS = 3


def with_topic(
    kafka: LocalKafka,
    use: Callable[[AIOKafkaProducer, str], Awaitable[None]],
    configs: dict[str, str] | None = None,
    request_timeout_ms: int = 10_000,
) -> None:
    """Run `use` with a producer and a new topic of three partitions."""

    async def main() -> None:
        topic = f"sinks-{uuid.uuid4().hex[:12]}"
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1, topic_configs=configs or {})])
        await admin.close()
        async with AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap, request_timeout_ms=request_timeout_ms
        ) as producer:
            await use(producer, topic)

    asyncio.run(main())


async def read(kafka: LocalKafka, topic: str, count: int) -> dict[int, list[ConsumerRecord]]:
    """All `count` records of a topic, by partition."""
    found: dict[int, list[ConsumerRecord]] = {partition: [] for partition in range(PARTITIONS)}
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest")
    async with consumer:
        consumer.assign([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
        async with asyncio.timeout(30):
            while sum(map(len, found.values())) < count:
                for at, records in (await consumer.getmany(timeout_ms=200)).items():
                    found[at.partition] += records
    return found


def recommendation(user: str) -> Recommendation:
    return Recommendation(
        event_id=wire.recommendation_id(user, 0, 1),
        user_id=user,
        generated_at=NOW_MS,
        trigger=Trigger("rating", "e1", NOW_MS),
        model_version="m",
        items=[Item("i1", 0.5, Reason("behaviour", "Drama", None))],
    )


def encoded(one: Recommendation) -> wire.Encoded:
    return wire.Encoded(one.user_id.encode(), wire.encode(one))


def test_records_of_many_batches_arrive_in_order_with_their_offsets(kafka: LocalKafka) -> None:
    sizes = [0, 1, 700, 20_000, 5, 16_384, 3]
    records: list[Any] = [
        (b"k%d" % i, b"v" * sizes[i % len(sizes)], [("n", b"%d" % i)] if i % 2 else NO_HEADERS) for i in range(500)
    ]

    async def use(producer: AIOKafkaProducer, topic: str) -> None:
        sent = await send_records(producer, topic, 1, iter(records), NOW_MS)
        assert sum(count for count, _ in sent) == 500
        assert len(sent) > 1
        assert await acknowledged(topic, 1, sent) == 499
        found = (await read(kafka, topic, 500))[1]
        assert [(one.key, one.value, list(one.headers)) for one in found] == records
        assert {one.timestamp for one in found} == {NOW_MS}

    with_topic(kafka, use)


def test_nothing_to_send_is_nothing_sent(kafka: LocalKafka) -> None:
    async def use(producer: AIOKafkaProducer, topic: str) -> None:
        assert await send_records(producer, topic, 0, [], NOW_MS) == []
        assert await acknowledged(topic, 0, []) == -1
        await KafkaRecommendations(lambda: producer, topic).publish([])
        await KafkaDeadLetters(lambda: producer, topic).publish([])

    with_topic(kafka, use)


def test_refused_batch_among_good_ones_is_an_error(kafka: LocalKafka) -> None:
    async def use(producer: AIOKafkaProducer, topic: str) -> None:
        values = [b"small", b"x" * 50_000, b"small"]
        sent = await send_records(producer, topic, 0, [(b"k", value, NO_HEADERS) for value in values], NOW_MS)
        with pytest.raises(SinkStopped, match=rf"{topic}\[0\] \(MessageSizeTooLargeError"):
            await acknowledged(topic, 0, sent)

    with_topic(kafka, use, {"max.message.bytes": "30000"})


def test_closed_producer_is_an_error(kafka: LocalKafka) -> None:
    async def use(producer: AIOKafkaProducer, topic: str) -> None:
        await producer.send_and_wait(topic, b"v")
        await producer.stop()
        for known, reason in ((topic, "ProducerClosed"), ("never-seen", "TimeoutError")):
            with pytest.raises(SinkStopped, match=reason):
                await send_records(producer, known, 0, [(b"k", b"v", NO_HEADERS)], NOW_MS, give_up_s=0.5)

    with_topic(kafka, use)


def test_recommendations_lie_where_kafkas_partitioner_puts_their_users(kafka: LocalKafka) -> None:
    made = [recommendation(f"ü-{i}") for i in range(40)]

    async def use(producer: AIOKafkaProducer, topic: str) -> None:
        await KafkaRecommendations(lambda: producer, topic).publish([encoded(one) for one in made])
        for one in made:  # aiokafka's own partitioner is Java's
            await producer.send_and_wait(topic, b"reference", key=one.user_id.encode())
        found = await read(kafka, topic, 80)
        for records in found.values():
            ours = [one for one in records if one.value != b"reference"]
            assert {one.key for one in ours} == {one.key for one in records if one.value == b"reference"}
            assert all(wire.decode(one.value).user_id.encode() == one.key for one in ours)
        decoded = [wire.decode(one.value) for records in found.values() for one in records if one.value != b"reference"]
        assert sorted(decoded, key=lambda one: one.event_id) == sorted(made, key=lambda one: one.event_id)

    with_topic(kafka, use)


def test_dead_letters_keep_bytes_headers_and_place(kafka: LocalKafka) -> None:
    async def use(producer: AIOKafkaProducer, topic: str) -> None:
        await producer.send_and_wait(topic, b"\xff{", key=b"k", partition=2, headers=[("trace", b"1")])
        await producer.send_and_wait(topic, None, key=b"k", partition=2)
        bad = (await read(kafka, topic, 2))[2]
        rejected: list[Rejected] = decode_records(Kind.CLICK, bad, Limits(PARTITIONS), NOW_MS).rejected
        assert len(rejected) == 2
        await KafkaDeadLetters(lambda: producer, topic).publish(rejected)
        first, second = (await read(kafka, topic, 4))[2][2:]
        assert (first.key, first.value) == (b"k", b"\xff{")
        headers = dict(first.headers)
        assert headers.pop("error")
        place = {"topic": topic.encode(), "partition": b"2", "offset": b"0"}
        assert headers == {"trace": b"1", "reason": b"not_json", **place}
        assert (second.key, second.value) == (b"k", b"")
        assert dict(second.headers)["reason"] == b"null_value"

    with_topic(kafka, use)


def test_changelog_returns_the_last_offset_and_turns_empty_states_into_tombstones(kafka: LocalKafka) -> None:
    values = [b"\x01" * size for size in (3_000, 0, 8, 40_000, 16)]
    keys = [b"u%d" % i for i in range(len(values))]
    ends = np.cumsum([0, *map(len, values)])

    async def use(producer: AIOKafkaProducer, topic: str) -> None:
        log = KafkaChangelog(lambda: producer, topic)
        assert await log.write(1, keys, memoryview(b"".join(values)), ends) == 4
        assert await log.write(1, keys[:1], memoryview(values[0]), ends[:2]) == 5
        assert await log.write(1, [], memoryview(b""), ends[:1]) == -1
        found = (await read(kafka, topic, 6))[1]
        assert [one.key for one in found] == [*keys, keys[0]]
        assert [one.value for one in found] == [*(value or None for value in values), values[0]]

    with_topic(kafka, use)


def test_topic_that_is_missing_is_an_error_that_says_so(kafka: LocalKafka) -> None:
    async def use(producer: AIOKafkaProducer, topic: str) -> None:
        with pytest.raises(SinkStopped, match=r"missing.* exists"):
            await KafkaRecommendations(lambda: producer, f"{topic}-missing").publish([encoded(recommendation("u"))])

    with_topic(kafka, use, request_timeout_ms=1_000)
