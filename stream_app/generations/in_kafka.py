"""What Kafka has of a generation: its group's place in the inputs, and the users of its state topic."""

import asyncio
import logging
import re
import time
from dataclasses import dataclass

from aiokafka.errors import KafkaError

from stream_app.contracts.generations import FIRST
from stream_app.generations.errors import GenerationError
from stream_app.offsets import standings
from stream_app.reading import ReadError, read, reader
from stream_app.settings import Settings
from stream_app.topics import administration

MARK = b"\0"
"""A key that begins so is no user's: what is left of an erasure."""
ASK_S = 0.5


@dataclass(frozen=True, slots=True)
class Held:
    """Users of a state topic, and when something was last written there (wall-clock ms, 0 if never)."""

    users: int
    written_ms: int


def built(settings: Settings) -> list[int]:
    """Generations that have a state topic. Raises `KafkaUnreachableError`."""
    pattern = re.compile(rf"{re.escape(settings.kafka.group)}(?:-g([1-9][0-9]*))?-state-changelog")
    with administration(settings) as admin:
        found = (pattern.fullmatch(name) for name in admin.list_topics())
        return sorted(int(one[1] or FIRST) for one in found if one)


def lag(settings: Settings) -> int:
    """Events that the group has not committed. Raises `KafkaUnreachableError`."""
    return sum(max(0, one.end - max(one.next, one.first)) for one in standings(settings))


def unread_after(settings: Settings, patience_s: float) -> int:
    """Of the events that the inputs hold now, those that the group has not committed once the time is over, if any."""
    deadline = time.monotonic() + patience_s
    ends = {(one.topic, one.partition): one.end for one in standings(settings)}
    while True:
        found = standings(settings)
        left = sum(max(0, ends[one.topic, one.partition] - max(one.next, one.first)) for one in found)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(ASK_S)


def members(settings: Settings) -> int:
    """Workers in the group. Raises `KafkaUnreachableError`."""
    # It warns, a page for each worker, that it does not know Faust's notes; nobody needs to know them here.
    logging.getLogger("kafka.admin._groups").setLevel(logging.ERROR)
    with administration(settings) as admin:
        return len(admin.describe_groups([settings.kafka.consumer_group])[settings.kafka.consumer_group]["members"])


def held(settings: Settings) -> Held:
    """Reads the state topic whole. Raises GenerationError."""
    try:
        return asyncio.run(_held(settings))
    except (ReadError, KafkaError) as error:
        raise GenerationError(f"{settings.kafka.changelog} cannot be read: {type(error).__name__}: {error}") from error


async def _held(settings: Settings) -> Held:
    users, written_ms = 0, 0
    async with reader(settings) as consumer:
        for partition in range(settings.kafka.partitions):
            last: dict[bytes, bool] = {}
            async for records, _, _ in read(consumer, settings.kafka.changelog, partition):
                last.update((record.key or b"", bool(record.value)) for record in records)
                written_ms = max([written_ms, *(record.timestamp for record in records)])
            users += sum(held and not key.startswith(MARK) for key, held in last.items())
    return Held(users, written_ms)


def forget(settings: Settings) -> None:
    """Delete the group and the state topic. Raises GenerationError while workers are in the group."""
    kafka = settings.kafka
    with administration(settings) as admin:
        answer = admin.delete_groups([kafka.consumer_group])[kafka.consumer_group]
        if answer not in ("OK", "GroupIdNotFoundError"):
            raise GenerationError(
                f"Kafka does not delete the group {kafka.consumer_group} ({answer}): stop its workers"
            )
        if kafka.changelog in admin.list_topics():
            admin.delete_topics([kafka.changelog])
