"""Many records into one partition, by whole batches.

aiokafka's `send` makes a future and a task switch for each record; a batch that is built here and handed over makes one
for some hundreds. The accumulator holds one batch a partition at a time, so order is kept.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_app.contracts.errors import SinkStopped

# aiokafka takes headers as a list only.
KafkaRecord = tuple[bytes | None, bytes | memoryview | None, list[tuple[str, bytes | None]]]
NO_HEADERS: list[tuple[str, bytes | None]] = []
Sent = list[tuple[int, "asyncio.Future[Any]"]]
GetProducer = Callable[[], AIOKafkaProducer]

# Records between two turns of the event loop: about a millisecond.
_RECORDS_PER_TURN = 256
GIVE_UP_S = 20.0
"""What aiokafka repeats for ever is waited for this long, unless told otherwise: an idempotent producer's writes that
too few replicas confirm, the metadata of a topic once the producer is closed."""


def wall_clock_ms() -> int:
    """Milliseconds since 1970, UTC; also the timestamp of records, by which Kafka's retention goes."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class TopicSink:
    """What every sink of a topic has.

    Attributes:
        producer: gives the started producer; asked at each call, since Faust makes it late.
        topic: name.
        clock: wall-clock ms, the records' timestamp.
        give_up_s: longest wait for Kafka to take or to acknowledge a batch.
    """

    producer: GetProducer
    topic: str
    clock: Callable[[], int] = wall_clock_ms
    give_up_s: float = GIVE_UP_S


async def send_records(
    producer: AIOKafkaProducer,
    topic: str,
    partition: int,
    records: Iterable[KafkaRecord],
    now_ms: int,
    give_up_s: float = GIVE_UP_S,
) -> Sent:
    """Hand (key, value, headers) records over to the producer, in order; `acknowledged` waits for the broker.

    Args:
        producer: started; its batch size bounds a batch. A larger single record travels alone.
        topic: name.
        partition: of that topic.
        records: may be a generator; it is drawn from between turns of the event loop.
        now_ms: the records' timestamp, wall clock. Kafka's retention goes by it.
        give_up_s: longest wait for the producer to take a batch.

    Returns:
        For each batch how many records it has, and a future of the broker's answer.

    Raises:
        SinkStopped: the producer did not take a batch in time, or is closed.
    """
    sent: Sent = []
    batch = producer.create_batch()
    try:
        for number, (key, value, headers) in enumerate(records, start=1):
            if batch.append(key=key, value=value, timestamp=now_ms, headers=headers) is None:
                sent.append(await _hand_over(producer, batch, topic, partition, give_up_s))
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=now_ms, headers=headers)
            if number % _RECORDS_PER_TURN == 0:
                await asyncio.sleep(0)
        if batch.record_count():
            sent.append(await _hand_over(producer, batch, topic, partition, give_up_s))
    except (KafkaError, TimeoutError) as error:
        raise _stopped(topic, partition, error) from error
    return sent


async def _hand_over(
    producer: AIOKafkaProducer, batch: Any, topic: str, partition: int, give_up_s: float
) -> tuple[int, "asyncio.Future[Any]"]:
    async with asyncio.timeout(give_up_s):
        return batch.record_count(), await producer.send_batch(batch, topic, partition=partition)


async def acknowledged(topic: str, partition: int, sent: Sent, give_up_s: float = GIVE_UP_S) -> int:
    """Wait until the broker has all of them. Returns the offset of the last one, -1 if there are none.

    Raises SinkStopped if any failed, or was not answered within `give_up_s`.
    """
    try:
        async with asyncio.timeout(give_up_s):
            answers: list[Any] = await asyncio.gather(*(future for _, future in sent), return_exceptions=True)
    except TimeoutError as error:
        raise _stopped(topic, partition, TimeoutError(f"no answer within {give_up_s:.0f} s")) from error
    for answer in answers:
        if isinstance(answer, KafkaError):
            raise _stopped(topic, partition, answer) from answer
        if isinstance(answer, BaseException):
            raise answer
    return answers[-1].offset + sent[-1][0] - 1 if sent else -1


async def publish(
    producer: AIOKafkaProducer,
    topic: str,
    by_partition: Mapping[int, Sequence[KafkaRecord]],
    now_ms: int,
    give_up_s: float = GIVE_UP_S,
) -> None:
    """Send records to several partitions of a topic at once and wait for the broker. Raises SinkStopped."""

    async def one(partition: int, records: Sequence[KafkaRecord]) -> None:
        sent = await send_records(producer, topic, partition, records, now_ms, give_up_s)
        await acknowledged(topic, partition, sent, give_up_s)

    await asyncio.gather(*(one(partition, records) for partition, records in by_partition.items()))


async def partitions_of(producer: AIOKafkaProducer, topic: str, give_up_s: float = GIVE_UP_S) -> int:
    """How many partitions a topic has; asked of the broker once. Raises SinkStopped if there is no such topic."""
    try:
        async with asyncio.timeout(give_up_s):
            return len(await producer.partitions_for(topic))
    except (KafkaError, TimeoutError) as error:
        raise _stopped(topic, 0, error) from error


def _stopped(topic: str, partition: int, error: Exception) -> SinkStopped:
    return SinkStopped(
        f"Kafka did not take records for {topic}[{partition}] ({type(error).__name__}: {error}). Check that the topic"
        " exists, has a leader and accepts records of this size from this user. Nothing is lost: the worker resumes"
        " when it is started again."
    )
