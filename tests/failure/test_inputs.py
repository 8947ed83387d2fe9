"""What arrives from Kafka: poison, transactions, records out of order, records that are gone, topics that grow."""

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)
from kafka import KafkaProducer
from typer.testing import CliRunner

from stream_app import cli, offsets
from stream_app.contracts.reasons import Reason
from stream_app.faust_slab.fatal import EXIT_STOPPED
from stream_app.local import LocalKafka
from stream_app.settings import Settings, environment
from tests.bench.ground import Broker, Ground, unique
from tests.bench.model import catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.found import look
from tests.failure.fresh import rounds
from tests.failure.letters import Post, compare, letter_of
from tests.failure.nursery import Nursery
from tests.failure.people import ITEMS, Event, crowd, life_of
from tests.failure.poison import Place, Poison, poisons
from tests.failure.service import Neighbour, now_ms, wait_for
from tests.failure.verdict import judge

# The servers' part is the same on both; `tests/contract` tries the other one.
pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

PARTITIONS = 4
PEOPLE, ACTS = 120, 10
END_S = 40.0
FRESH_GROUPS = 2


@dataclass
class Source:
    """Produces, with transactions if it has an id for them, and knows where each record went."""

    settings: Settings
    transactional_id: str | None = None
    places: list[tuple[Place, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        kafka = self.settings.kafka
        self.topics = dict(zip(("click", "follow", "rating", "erasure"), kafka.topics.inputs, strict=True))
        config: dict[str, Any] = {
            "bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random", "enable.idempotence": True,
            "message.max.bytes": 1_100_000, "log_level": 3,
        }  # fmt: skip
        if self.transactional_id:
            config["transactional.id"] = self.transactional_id
        self.producer = Producer(config)
        if self.transactional_id:
            self.producer.init_transactions(30)

    def send(self, event: Event) -> None:
        """A valid event, as `people` makes them."""
        value = json.dumps({name: part for name, part in event.items() if name != "kind"}).encode()
        self._produce(self.topics[event["kind"]], event["user_id"].encode(), value, -1, [], event)

    def send_poison(self, one: Poison) -> None:
        partition = -1 if one.partition is None else one.partition
        self._produce(self.topics[one.kind], one.key, one.value, partition, one.headers, one)

    def _produce(self, topic: str, key: Any, value: Any, partition: int, headers: Any, what: Any) -> None:
        def delivered(error: Any, message: Message) -> None:
            if error is None:
                place = (message.topic() or "", message.partition() or 0, message.offset() or 0)
                self.places.append((place, what))

        self.producer.produce(topic, value, key, partition, headers=headers, on_delivery=delivered)
        self.producer.poll(0)

    def flush(self) -> None:
        assert self.producer.flush(30) == 0

    def bad(self) -> dict[Place, Poison]:
        """The poison that Kafka has, by place."""
        return {place: what for place, what in self.places if isinstance(what, Poison)}


@dataclass
class Story:
    """One group and what was sent to it. The tests of the module are told in order: starts take the time."""

    member: Member
    service: Neighbour
    admin: AdminClient
    journal: list[Event] = field(default_factory=list)
    bad: dict[Place, Poison] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        return self.member.settings

    def click(self, user: str, source: Source, item: int = 1) -> Event:
        event = {
            "kind": "click", "event_id": unique("click"), "user_id": user, "item_id": f"i{item}", "dwell_ms": 700,
            "ts": now_ms(),
        }  # fmt: skip
        source.send(event)
        return event

    def check(self) -> None:
        """The worker has ended: all that was sent counts once, and what is bad is in dead letters."""
        users = sorted({event["user_id"] for event in self.journal})
        verdict = judge(self.journal, look(self.settings, users), self.bad)
        assert verdict.sound, (verdict, verdict.examples)


@pytest.fixture(scope="module")
def story(
    kafka: LocalKafka, redis_url: str, tmp_path_factory: pytest.TempPathFactory, nursery: Nursery
) -> Iterator[Story]:
    """A worker, started while the events below already wait for it. The broker stamps the ratings itself."""
    folder, name = tmp_path_factory.mktemp("inputs"), unique("inputs")
    settings = member_settings(
        kafka.bootstrap, redis_url.removesuffix("0") + "5", catalogue_model(folder / "models", ITEMS), name, folder,
        PARTITIONS, kafka={"metadata_max_age_s": 1.0}, flush={"interval_s": 1.0},
    )  # fmt: skip
    make_topics(settings)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 3})
    stamped = ConfigEntry("message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET)
    ratings = ConfigResource(ResourceType.TOPIC, settings.kafka.topics.ratings, incremental_configs=[stamped])
    for future in admin.incremental_alter_configs([ratings]).values():
        future.result()
    service = Neighbour(settings)
    member = Member(settings, folder / "worker.log", nursery)
    member.start()
    yield Story(member, service, admin)
    member.__exit__(None, None, None)
    service.close()


# -- poison, transactions, retries and disorder in one stream


def test_good_events_count_once_whatever_is_between_them(story: Story) -> None:
    """Retries and late events are among what people do; others send poison, or take back what they sent."""
    dice = random.Random(4)
    plain, careful = Source(story.settings), Source(story.settings, unique("transactions"))
    acts = [(person, turn) for person in crowd(PEOPLE, 4) if life_of(person.user) != "reborn" for turn in range(ACTS)]
    dice.shuffle(acts)
    bad = list(poisons(dice, PARTITIONS))
    while acts or bad:
        # A user's events come through one producer, or their order would be anybody's guess.
        some, acts = acts[:25], acts[25:]
        committed, poison, bad = dice.random() < 0.6, bad[:6], bad[6:]
        careful.producer.begin_transaction()
        for person, _ in some:
            through_transaction = int(person.user.rsplit("-", 1)[1]) % 2
            if through_transaction and not committed:
                careful.send({**_never(person.user), "ts": now_ms()})
                continue
            event = person.act(now_ms())
            story.journal.append(event)
            (careful if through_transaction else plain).send(event)
        for place, one in enumerate(poison):
            (careful if place % 2 and committed else plain).send_poison(one)
        if committed:
            careful.producer.commit_transaction(30)
        else:
            careful.flush()
            careful.producer.abort_transaction(30)
    plain.flush()
    story.bad |= plain.bad() | careful.bad()
    assert len(story.bad) >= 100
    story.member.wait_ready()
    story.service.until_committed()
    assert story.member.exit_code() is None


def test_every_bad_record_is_set_aside_once_as_it_came(story: Story) -> None:
    letters = [letter_of(record) for record in story.service.dead_letters()]
    assert compare(story.bad, letters, PARTITIONS) == Post()
    assert {letter.said["reason"] for letter in letters} == {str(reason) for reason in Reason}


def test_every_record_that_was_not_taken_back_is_accounted_for(story: Story) -> None:
    scrape = story.member.scrape()
    assert scrape is not None
    by_outcome = scrape.by("interest_events_total", "outcome")
    assert by_outcome["dead_lettered"] == len(story.bad)
    assert sum(by_outcome.values()) == len(story.bad) + len(story.journal)
    assert by_outcome["replayed"] == 0


def test_an_open_transaction_holds_up_its_partition_only(story: Story) -> None:
    source, (held,), (free,) = Source(story.settings, unique("open")), *(
        story.service.users_in(partition, 1) for partition in (0, 1)
    )  # fmt: skip
    plain = Source(story.settings)
    source.producer.begin_transaction()
    story.journal.append(story.click(held, source))
    source.flush()
    story.journal += [story.click(user, plain) for user in (held, free)]
    plain.flush()
    story.service.events_of(free, 1)
    assert story.service.reader.get(held) is None
    source.producer.commit_transaction(30)
    story.service.events_of(held, 2)
    story.service.until_committed()


# -- records that are gone


def test_a_slow_worker_that_is_overtaken_says_what_is_gone(story: Story) -> None:
    """It has applied three events and flushed none; those and six more are deleted before it reads on."""
    (user,) = story.service.users_in(2, 1)
    source = Source(story.settings)
    story.journal += [story.click(user, source, number) for number in range(3)]
    source.flush()
    story.service.events_of(user, 3)
    story.member.pause()
    time.sleep(0.5)  # a fetch that is under way would still be answered with what comes now
    for number in range(6):
        story.click(user, source, number)
    source.flush()
    first = _end(story, 2)
    _delete_before(story, 2, first)
    story.journal += [story.click(user, source, number) for number in range(2)]
    source.flush()
    with pytest.raises(offsets.OffsetsError, match="stop its workers first"):
        offsets.accept_loss(story.settings, wait_s=0)
    story.member.resume()
    assert story.member.wait_exit(END_S) == EXIT_STOPPED
    assert _gone_text(story, first) in story.member.log_text()


def test_a_worker_does_not_start_past_what_is_gone(story: Story) -> None:
    before = len(story.member.log_text())
    story.member.start()
    assert story.member.wait_exit(END_S) == EXIT_STOPPED
    log = story.member.log_text()[before:]
    assert _gone_text(story, _end(story, 2) - 2) in log
    assert "interest offsets accept-loss" in log
    assert "Traceback" not in log


def test_what_is_gone_is_shown_and_accepted_once(story: Story) -> None:
    shown = _interest(story, "offsets", "show", "--json")
    assert shown.exit_code == 1
    clicks = story.settings.kafka.topics.clicks
    gone = {(one["topic"], one["partition"]): one["gone"] for one in json.loads(shown.stdout) if one["gone"]}
    assert gone == {(clicks, 2): 6}
    accepted = _interest(story, "offsets", "accept-loss")
    assert accepted.exit_code == 0
    assert f"{clicks}[2]: 6 records given up" in accepted.stdout
    assert _interest(story, "offsets", "show").exit_code == 0
    assert "nothing is missing" in _interest(story, "offsets", "accept-loss").stdout


def test_after_that_the_worker_goes_on_with_what_is_left(story: Story) -> None:
    story.member.start()
    story.member.wait_ready()
    story.service.until_committed()
    assert story.member.terminate() == 0, story.member.log_text()
    story.check()


# -- a record that the client cannot read


class NoText(str):
    """A header's name as other clients may send it."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return b"\xff\xfe"


def test_a_record_that_cannot_be_read_is_named_and_can_be_passed(story: Story) -> None:
    """No parser of a header is in our hands. What comes before it is committed, what comes after it is not lost."""
    (user,) = story.service.users_in(1, 1)
    clicks, before = story.settings.kafka.topics.clicks, len(story.member.log_text())
    source, at = Source(story.settings), _end(story, 1) + 3
    story.journal += [story.click(user, source, number) for number in range(3)]
    source.flush()
    careless = KafkaProducer(bootstrap_servers=story.settings.kafka.bootstrap)
    careless.send(clicks, b"{}", user.encode(), [(NoText("x"), b"")], partition=1).get(30)
    careless.close()
    story.journal += [story.click(user, source, number) for number in range(2)]
    source.flush()
    story.member.start()
    assert story.member.wait_exit(END_S) == EXIT_STOPPED
    assert f"offset {at} of {clicks}[1]" in story.member.log_text()[before:]
    assert Broker(story.settings.kafka.bootstrap).committed(story.settings.kafka.group)[clicks, 1] == at
    _commit(story, TopicPartition(clicks, 1, at + 1))
    story.member.start()
    story.member.wait_ready()
    story.service.until_committed()
    assert story.member.terminate() == 0
    story.check()


# -- a group that has committed nothing


def test_brand_new_groups_count_their_backlog_once(
    kafka: LocalKafka, redis_url: str, tmp_path: Path, nursery: Nursery
) -> None:
    """`python -m tests.failure.fresh --rounds 50` does it more often."""
    on = Ground(kafka.bootstrap, redis_url.removesuffix("0") + "6", tmp_path)
    tally = rounds(on, nursery, FRESH_GROUPS, seed=2)
    assert (tally.rounds, tally.lost, tally.double, tally.unsound) == (FRESH_GROUPS, 0, 0, [])
    assert tally.events > 1_000


# -- topics that grow


def test_a_topic_that_grows_stops_the_worker(story: Story) -> None:
    story.member.start()
    story.member.wait_ready()
    before = len(story.member.log_text())
    ratings = story.settings.kafka.topics.ratings
    _grow(story, ratings)
    source = Source(story.settings)
    for user in story.service.users_in(3, 5):
        story.journal.append(story.click(user, source))
    source.flush()
    assert story.member.wait_exit(END_S) == EXIT_STOPPED
    assert f"{ratings} has {PARTITIONS + 1} partitions" in story.member.log_text()[before:]


def test_nor_does_it_start_again(story: Story) -> None:
    before = len(story.member.log_text())
    story.member.start()
    assert story.member.wait_exit(END_S) == 1
    log = story.member.log_text()[before:]
    assert story.settings.kafka.topics.ratings in log
    assert "new group" in log


def test_nor_with_the_new_count_everywhere(story: Story, nursery: Nursery) -> None:
    """The states are still where the old count put them, and new events of their users would not be."""
    kafka = story.settings.kafka
    _grow(story, *(name for name in (*kafka.topics.inputs, kafka.changelog) if name != kafka.topics.ratings))
    grown = story.settings.model_copy(update={"kafka": kafka.model_copy(update={"partitions": PARTITIONS + 1})})
    before = len(story.member.log_text())
    wait_for("the dead to leave", lambda: _is_empty(story) or None, END_S)
    with Member(grown, story.member.log, nursery) as member:
        assert member.wait_exit(END_S) == EXIT_STOPPED
    assert "made with another partition count" in story.member.log_text()[before:]


def _is_empty(story: Story) -> bool:
    group = story.settings.kafka.group
    return bool(story.admin.describe_consumer_groups([group])[group].result().state == ConsumerGroupState.EMPTY)


def _commit(story: Story, at: TopicPartition) -> None:
    """As kafka-consumer-groups.sh does, once the dead worker has left."""

    def done() -> bool | None:
        wanted = ConsumerGroupTopicPartitions(story.settings.kafka.group, [at])
        answer = story.admin.alter_consumer_group_offsets([wanted])
        (changed,) = next(iter(answer.values())).result().topic_partitions
        return None if changed.error else True

    wait_for("new offset", done)


def _grow(story: Story, *names: str) -> None:
    """One partition more."""
    grown = [NewPartitions(name, PARTITIONS + 1) for name in names]
    for future in story.admin.create_partitions(grown).values():
        future.result()


def _never(user: str) -> Event:
    """An event that is taken back."""
    return {"kind": "click", "event_id": unique("never"), "user_id": user, "item_id": "i0", "dwell_ms": 1}


def _end(story: Story, partition: int) -> int:
    clicks = story.settings.kafka.topics.clicks
    return Broker(story.settings.kafka.bootstrap).ends([clicks])[clicks, partition]


def _delete_before(story: Story, partition: int, offset: int) -> None:
    at = TopicPartition(story.settings.kafka.topics.clicks, partition, offset)
    for future in story.admin.delete_records([at]).values():
        future.result()


def _gone_text(story: Story, first: int) -> str:
    clicks = story.settings.kafka.topics.clicks
    return f"{clicks}[2]: expected offset {first - 6}, the first available is {first}, 6 gone"


def _interest(story: Story, *command: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(story.settings, {}).items():
            patch.setenv(name, value)
        return CliRunner().invoke(cli.app, command)
