"""A topic read to the end that it has now, without a group: nothing is committed, and nobody gets less for it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_app.access import kafka_options
from stream_app.settings import Settings

STALL_S = 60.0
"""Kafka may be silent for so long."""
FETCH_BYTES = 8 << 20


class ReadError(RuntimeError):
    """Kafka gives no records. The message says where."""


@asynccontextmanager
async def reader(settings: Settings) -> AsyncIterator[Any]:
    """What `read` reads with. May raise KafkaError."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap,
        **kafka_options(settings.kafka),
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_bytes=FETCH_BYTES,
        check_crcs=False,
        request_timeout_ms=int(settings.kafka.request_timeout_s * 1000),
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def read(consumer: Any, topic: str, partition: int, first: int = 0) -> AsyncIterator[tuple[list[Any], int, int]]:
    """Records of a partition from `first` up to the end that it has now, how many offsets they span (compaction leaves
    gaps), and the next offset. Raises ReadError, KafkaError."""
    at = TopicPartition(topic, partition)
    consumer.assign([at])
    if first:
        consumer.seek(at, first)
    else:
        await consumer.seek_to_beginning(at)
    end = (await consumer.end_offsets([at]))[at]
    position, heard_s = await consumer.position(at), time.monotonic()
    while position < end:
        fetched = await consumer.getmany(at, timeout_ms=500)
        before, position = position, await consumer.position(at)
        if position > before:
            heard_s = time.monotonic()
            yield fetched.get(at, []), position - before, position
        elif time.monotonic() - heard_s > STALL_S:
            raise ReadError(
                f"{topic}[{partition}] gave no records for {STALL_S:.0f} s at offset {position} of {end}: check the "
                "broker (interest doctor)."
            )
