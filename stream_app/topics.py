"""The Kafka topics: what each must look like, making them, and finding what is wrong with them.

The inputs and the state's changelog have one partition count, since a user's events and state must meet in one
worker. Kafka cannot take partitions away, and adding some would send a user's events to another partition than the
state, so a wrong count is never mended in place.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from stream_app.access import kafka_options
from stream_app.reaching import reach_timeout_ms, reaching
from stream_app.settings import Settings

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
MIB = 1 << 20

# Recovery reads the whole changelog: compaction must keep it near one record a user.
CHANGELOG = {
    "cleanup.policy": "compact",
    "segment.bytes": str(64 * MIB),
    "segment.ms": str(HOUR_MS),
    "min.cleanable.dirty.ratio": "0.1",
    # A state that a fenced worker overwrites late is written again at its owner's next flush: until then it must stay.
    "min.compaction.lag.ms": str(MINUTE_MS),
    "max.compaction.lag.ms": str(HOUR_MS),
    "delete.retention.ms": str(DAY_MS),
}
INPUT = {"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)}
ITEMS = {"cleanup.policy": "compact"}
# Every worker reads all of it when it starts.
KNOWLEDGE = {
    "cleanup.policy": "compact",
    "segment.bytes": str(64 * MIB),
    "segment.ms": str(HOUR_MS),
    "min.cleanable.dirty.ratio": "0.1",
    # What a process that was frozen tells late is told otherwise by the owner: until then the later word must stay.
    "min.compaction.lag.ms": str(MINUTE_MS),
    "max.compaction.lag.ms": str(DAY_MS),
}
# An erased user's recommendations go within two days, by a tombstone.
RECOMMENDATIONS = {
    "cleanup.policy": "compact,delete",
    "retention.ms": str(7 * DAY_MS),
    "min.compaction.lag.ms": str(DAY_MS),  # until then a consumer sees every one
    "max.compaction.lag.ms": str(2 * DAY_MS),
    "delete.retention.ms": str(DAY_MS),
}
# A dead letter holds a whole record of the size that Kafka takes, and says what is wrong with it.
DEAD_LETTERS = {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS), "max.message.bytes": str(2 * MIB)}


@dataclass(frozen=True)
class Topic:
    """What a topic must be. `partitions` binds only where `exact_partitions`: elsewhere any number works."""

    name: str
    partitions: int
    replication: int
    exact_partitions: bool
    configs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ActualTopic:
    """What a topic is. `configs` are those that `Topic` names."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]


@dataclass(frozen=True)
class Finding:
    """Something wrong with topics: what, and what to do about it. One that `stops` keeps a worker from starting."""

    topics: tuple[str, ...]
    problem: str
    mend: str
    stops: bool = False


def wanted(settings: Settings) -> tuple[Topic, ...]:
    """All topics of this project, inputs first, then the changelog."""
    kafka = settings.kafka
    safety = {"min.insync.replicas": "2"} if kafka.replication >= 3 else {}

    def topic(name: str, configs: Mapping[str, str], *, exact: bool = False) -> Topic:
        return Topic(name, kafka.partitions, kafka.replication, exact, {**configs, **safety})

    return (
        *(topic(name, INPUT, exact=True) for name in kafka.topics.inputs),
        topic(kafka.changelog, CHANGELOG, exact=True),
        topic(kafka.topics.items, ITEMS),
        topic(kafka.topics.knowledge, KNOWLEDGE),
        topic(kafka.topics.recommendations, RECOMMENDATIONS),
        topic(kafka.topics.dead_letters, DEAD_LETTERS),
    )


def create(settings: Settings) -> list[str]:
    """Make the topics that are missing and return their names; those that exist are left as they are.

    Raises `KafkaUnreachableError`.
    """
    from kafka.errors import TopicAlreadyExistsError

    with administration(settings) as admin:
        existing = set(admin.list_topics())
        missing = [topic for topic in wanted(settings) if topic.name not in existing]
        if missing:
            # Somebody else may have made one meanwhile: that it exists is all that was wanted.
            with suppress(TopicAlreadyExistsError):
                admin.create_topics({topic.name: _creation(topic) for topic in missing}, wait_for_metadata=True)
        return [topic.name for topic in missing]


def repair(settings: Settings) -> list[str]:
    """Set the configurations that are wrong and return the topics changed. Partition counts stay. Raises
    `KafkaUnreachableError`."""
    from kafka.admin import ConfigResource, ConfigResourceType

    with administration(settings) as admin:
        found = _actual(admin, wanted(settings))
        wrong = {
            topic.name: differing
            for topic in wanted(settings)
            if (differing := _differing(topic, found.get(topic.name)))
        }
        if wrong:
            resources = [ConfigResource(ConfigResourceType.TOPIC, name, configs) for name, configs in wrong.items()]
            admin.alter_configs(resources)
        return list(wrong)


def check(settings: Settings) -> list[Finding]:
    """What is wrong with the topics; empty when nothing is. Raises `KafkaUnreachableError`."""
    with administration(settings) as admin:
        return judge(wanted(settings), _actual(admin, wanted(settings)))


def judge(topics: Sequence[Topic], found: Mapping[str, ActualTopic]) -> list[Finding]:
    """Compare what must be with what is, by topic name."""
    findings = [finding for topic in topics for finding in _judge_one(topic, found.get(topic.name))]
    return [*_judge_partitions(topics, found), *_merged(findings)]


def _merged(findings: Sequence[Finding]) -> list[Finding]:
    """One finding where several topics have the same problem."""
    names: dict[tuple[str, str, bool], tuple[str, ...]] = {}
    for finding in findings:
        key = (finding.problem, finding.mend, finding.stops)
        names[key] = (*names.get(key, ()), *finding.topics)
    return [Finding(topics, *key) for key, topics in names.items()]


def _judge_partitions(topics: Sequence[Topic], found: Mapping[str, ActualTopic]) -> list[Finding]:
    counts = {
        topic.name: found[topic.name].partitions for topic in topics if topic.exact_partitions and topic.name in found
    }
    if len(set(counts.values())) < 2:
        return []
    listing = ", ".join(f"{name} {count}" for name, count in counts.items())
    return [
        Finding(
            topics=tuple(counts),
            problem=f"partition counts differ ({listing}): a user's events and state would be in different workers",
            mend=(
                "while nothing has been read yet, delete the odd ones, then `interest topics create`. Afterwards the "
                "count is for life, and an input made anew would give its offsets to other events: go on with new "
                "topic names and a new group, into which the events are replayed"
            ),
            stops=True,
        )
    ]


def _judge_one(topic: Topic, actual: ActualTopic | None) -> Iterator[Finding]:
    if actual is None:
        yield Finding((topic.name,), "does not exist", "interest topics create", stops=True)
        return
    if topic.exact_partitions and actual.partitions != topic.partitions:
        yield Finding(
            (topic.name,),
            f"the partition count is {actual.partitions}, the settings say {topic.partitions}",
            f"INTEREST_KAFKA__PARTITIONS={actual.partitions} if it was made so; if it has grown, new topic names and a "
            "new group: the count is for life",
            stops=True,
        )
    if actual.replication < topic.replication:
        yield Finding(
            (topic.name,),
            f"the replication factor is {actual.replication}, the settings say {topic.replication}",
            f"reassign its partitions (kafka-reassign-partitions), or INTEREST_KAFKA__REPLICATION={actual.replication}",
        )
    for name, value in _differing(topic, actual).items():
        is_now = actual.configs.get(name, "not set")
        yield Finding(
            (topic.name,),
            f"{name} is {is_now}, should be {value}",
            "interest topics create --repair",
            stops=_loses_events(topic, name, is_now),
        )


def _loses_events(topic: Topic, config: str, is_now: str) -> bool:
    """Compaction of an input keeps each user's last event only. Kafka tells nobody what it took."""
    return topic.configs.get(config) == "delete" and topic.exact_partitions and "compact" in is_now


def _differing(topic: Topic, actual: ActualTopic | None) -> dict[str, str]:
    """Configurations that are not as wanted, with the value wanted."""
    if actual is None:
        return {}
    return {name: value for name, value in topic.configs.items() if not _same(actual.configs.get(name), value)}


def _same(actual: str | None, value: str) -> bool:
    try:
        return actual is not None and (actual == value or float(actual) == float(value))
    except ValueError:
        return False


def _creation(topic: Topic) -> dict[str, object]:
    return {
        "num_partitions": topic.partitions,
        "replication_factor": topic.replication,
        "configs": dict(topic.configs),
    }


def _actual(admin: Any, topics: Sequence[Topic]) -> dict[str, ActualTopic]:
    from kafka.admin import ConfigFilterType, ConfigResource, ConfigResourceType

    existing = set(admin.list_topics())
    present = [topic for topic in topics if topic.name in existing]
    if not present:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name, dict(topic.configs)) for topic in present]
    configs = admin.describe_configs(resources, config_filter=ConfigFilterType.ALL)["topic"]
    described = {
        topic["name"]: topic["partitions"] for topic in admin.describe_topics([topic.name for topic in present])
    }
    return {
        topic.name: ActualTopic(
            topic.name,
            partitions=len(described[topic.name]),
            replication=min(len(partition["replica_nodes"]) for partition in described[topic.name]),
            configs={name: str(entry["value"]) for name, entry in configs[topic.name].items()},
        )
        for topic in present
    }


@contextmanager
def administration(settings: Settings) -> Iterator[Any]:
    """A `KafkaAdminClient`. Raises `KafkaUnreachableError`, whose message says where and what to do."""
    # Late: this client takes a third of a second to import.
    from kafka import KafkaAdminClient
    from kafka.errors import AuthorizationError, KafkaConnectionError, KafkaTimeoutError, SaslAuthenticationFailedError

    options = kafka_options(settings.kafka)
    with reaching(
        settings,
        KafkaConnectionError,
        KafkaTimeoutError,
        SaslAuthenticationFailedError,
        AuthorizationError,
        ValueError,
    ):
        admin = KafkaAdminClient(
            bootstrap_servers=settings.kafka.bootstrap.split(","),
            bootstrap_timeout_ms=reach_timeout_ms(settings.kafka),
            **options,
        )
        try:
            yield admin
        finally:
            admin.close()
