"""Topics made, checked and mended, and events replayed, on a real broker."""

import threading
from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaConsumer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.structs import TopicPartition

from model_store.state.hashing import partition_of
from stream_app import topics
from stream_app.doctor import examine
from stream_app.local import LocalKafka, LocalValkey
from stream_app.replay import Pace, replay
from stream_app.settings import Settings, Topics, load
from stream_app.sources import synthetic

PARTITIONS = 5


@pytest.fixture
def settings(kafka: LocalKafka, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Topics of the test's own, which are deleted after it."""
    prefix = request.node.name.replace("[", ".").replace("]", "")
    names = {name: f"{prefix}.{name}" for name in Topics.model_fields}
    made = load(kafka={"bootstrap": kafka.bootstrap, "group": prefix, "partitions": PARTITIONS, "topics": names})
    yield made
    with topics.administration(made) as admin:
        mine = [name for name in admin.list_topics() if name.startswith(prefix)]
        if mine:
            admin.delete_topics(mine)


def test_create_makes_all_topics_once_and_right(settings: Settings) -> None:
    assert [finding.problem for finding in topics.check(settings)] == ["does not exist"]
    assert len(topics.create(settings)) == 9
    assert topics.create(settings) == []
    assert topics.check(settings) == []


def test_wrong_configuration_is_found_and_repaired(settings: Settings) -> None:
    topics.create(settings)
    clicks = settings.kafka.topics.clicks
    with topics.administration(settings) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, clicks, {"retention.ms": "1000"})])
    _until(lambda: [finding.topics for finding in topics.check(settings)] == [(clicks,)])
    assert topics.repair(settings) == [clicks]
    _until(lambda: topics.check(settings) == [])


def test_other_partition_counts_are_found_and_never_changed(settings: Settings) -> None:
    topics.create(settings)
    more = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"partitions": PARTITIONS + 1})})
    assert topics.create(more) == []
    (finding,) = topics.check(more)
    assert f"INTEREST_KAFKA__PARTITIONS={PARTITIONS}" in finding.mend


def test_doctor_is_content_with_everything_but_the_missing_model(
    settings: Settings, redis_server: LocalValkey, tmp_path_factory: pytest.TempPathFactory
) -> None:
    topics.create(settings)
    changes = {"redis": {"url": redis_server.url}, "models": {"url": str(tmp_path_factory.mktemp("models"))}}
    answers = {check.name: check.ok for check in examine(load(kafka=settings.kafka.model_dump(), **changes))}
    assert answers.pop("model") is False
    assert set(answers.values()) == {True}


def test_replayed_users_lie_where_kafka_puts_them(settings: Settings) -> None:
    topics.create(settings)
    source = synthetic(3_000, users=200, items=30, zipf=1.1, seed=5)
    sent = replay(source, settings)
    by_kind = {
        "click": settings.kafka.topics.clicks,
        "follow": settings.kafka.topics.follows,
        "rating": settings.kafka.topics.ratings,
    }
    wanted = {(by_kind[record.kind], record.key, record.value) for record in source.records()}
    found = {(record.topic, record.key, record.value): record.partition for record in _read(settings, sent.events)}
    assert sent.events == 3_000
    assert set(found) == wanted
    assert all(partition == partition_of(key, PARTITIONS) for (_, key, _), partition in found.items())


def test_replay_can_be_stopped(settings: Settings) -> None:
    topics.create(settings)
    stop = threading.Event()
    sent = replay(
        synthetic(1_000_000, 10, 10, 0, 1), settings, Pace(rate=10_000), progress=lambda _: stop.set(), stop=stop
    )
    assert 0 < sent.events < 1_000_000


def _read(settings: Settings, count: int) -> list[object]:
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest")
    names = settings.kafka.topics.inputs
    consumer.assign([TopicPartition(name, number) for name in names for number in range(PARTITIONS)])
    records: list[object] = []
    for _ in range(60):
        records += [record for batch in consumer.poll(500).values() for record in batch]
        if len(records) >= count:
            break
    consumer.close()
    return records


def _until(condition: Callable[[], bool], tries: int = 50) -> None:
    """The broker takes a moment to tell of a change it has accepted."""
    pause = threading.Event()
    for _ in range(tries):
        if condition():
            return
        pause.wait(0.1)
    raise AssertionError("it never came true")
