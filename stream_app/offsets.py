"""Where the group stands in the input topics, and going on past records that are gone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stream_app.contracts.standing import Standing
from stream_app.settings import Settings
from stream_app.topics import administration

if TYPE_CHECKING:
    from kafka import TopicPartition


class OffsetsError(RuntimeError):
    """Offsets cannot be changed as things are. The message says what to do."""


def standings(settings: Settings) -> list[Standing]:
    """The group's place in each input partition; one that was never committed stands at the first record.

    Raises `KafkaUnreachableError`.
    """
    with administration(settings) as admin:
        return _standings(admin, settings)


def accept_loss(settings: Settings) -> list[Standing]:
    """Commit the first record that is left wherever earlier ones were not read, and return those places as they were.

    Holds for what is gone by now, and for nothing that goes later. Raises `OffsetsError` while a worker of the group
    runs, `KafkaUnreachableError`.
    """
    from kafka import OffsetAndMetadata, TopicPartition

    group = settings.kafka.group
    with administration(settings) as admin:
        gone = [one for one in _standings(admin, settings) if one.gone]
        new = {TopicPartition(one.topic, one.partition): OffsetAndMetadata(one.first, "", None) for one in gone}
        answers = admin.alter_group_offsets(group, new)
    refused = {error.__name__ for error in answers.values() if getattr(error, "errno", 0)}
    if refused:
        raise OffsetsError(
            f"Kafka did not change the offsets of {group} ({', '.join(sorted(refused))}): stop its workers first; "
            f"one that was killed counts for another {settings.kafka.session_timeout_s:g} s"
        )
    return gone


def _standings(admin: Any, settings: Settings) -> list[Standing]:
    from kafka import TopicPartition
    from kafka.admin import OffsetSpec

    inputs = admin.describe_topics(list(settings.kafka.topics.inputs))
    places = [TopicPartition(topic["name"], number) for topic in inputs for number in range(len(topic["partitions"]))]
    first = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
    end = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
    committed = _committed(admin, settings.kafka.group, places)
    return [
        Standing(at.topic, at.partition, committed.get(at, first[at].offset), first[at].offset, end[at].offset)
        for at in places
    ]


def _committed(admin: Any, group: str, places: "Sequence[TopicPartition]") -> "dict[TopicPartition, int]":
    """Of the partitions that the group has committed."""
    found = admin.list_group_offsets({group: list(places)})[group]
    return {at: one.offset for at, one in found.items() if one.offset > 0}
