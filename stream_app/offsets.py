"""Where the group stands in the input topics, and going on past records that are gone."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stream_app.contracts.standing import Standing
from stream_app.settings import Settings
from stream_app.topics import administration

if TYPE_CHECKING:
    from kafka import TopicPartition

RETRY_S = 0.5


class OffsetsError(RuntimeError):
    """Offsets cannot be changed as things are. The message says what to do."""


def standings(settings: Settings) -> list[Standing]:
    """The group's place in each input partition; one that was never committed stands at the first record.

    Raises `KafkaUnreachableError`.
    """
    with administration(settings) as admin:
        return _standings(admin, settings)


def accept_loss(settings: Settings, wait_s: float) -> list[Standing]:
    """Commit the first record that is left wherever earlier ones were not read, and return those places as they were.

    Holds for what is gone by now, and for nothing that goes later. Kafka refuses while the group has workers, and
    one that stopped itself or was killed counts for another session time-out: so this is tried for `wait_s`. Raises
    `OffsetsError` after that, `KafkaUnreachableError`.
    """
    deadline = time.monotonic() + wait_s
    with administration(settings) as admin:
        gone = [one for one in _standings(admin, settings) if one.gone]
        while refusal := _refusal(admin, settings.kafka.consumer_group, gone):
            if time.monotonic() > deadline:
                raise OffsetsError(
                    f"Kafka did not change the offsets of {settings.kafka.consumer_group} ({refusal}): stop its "
                    "workers first"
                )
            time.sleep(RETRY_S)
    return gone


def _refusal(admin: Any, group: str, gone: Sequence[Standing]) -> str:
    """Name of the error if Kafka does not commit where the logs begin."""
    from kafka import OffsetAndMetadata, TopicPartition

    new = {TopicPartition(one.topic, one.partition): OffsetAndMetadata(one.first, "", None) for one in gone}
    answers = admin.alter_group_offsets(group, new)
    return ", ".join(sorted({error.__name__ for error in answers.values() if error.errno}))


def _standings(admin: Any, settings: Settings) -> list[Standing]:
    from kafka import TopicPartition
    from kafka.admin import OffsetSpec

    inputs = admin.describe_topics(list(settings.kafka.topics.inputs))
    places = [TopicPartition(topic["name"], number) for topic in inputs for number in range(len(topic["partitions"]))]
    first = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
    end = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
    committed = _committed(admin, settings.kafka.consumer_group, places)
    return [
        Standing(at.topic, at.partition, committed.get(at, first[at].offset), first[at].offset, end[at].offset)
        for at in places
    ]


def _committed(admin: Any, group: str, places: "Sequence[TopicPartition]") -> "dict[TopicPartition, int]":
    """Of the partitions that the group has committed."""
    found = admin.list_group_offsets({group: list(places)})[group]
    return {at: one.offset for at, one in found.items() if one.offset > 0}
