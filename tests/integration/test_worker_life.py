"""A worker's life beside others: killed, restarted, stopped, joined, flooded, and told nonsense."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from model_store.state import codec
from stream_app.faust_slab.fatal import EXIT_STOPPED
from stream_app.local import LocalKafka
from stream_app.local.server import free_port
from tests.bench.ground import Broker, unique
from tests.bench.model import catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.found import read_topic
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, wait_for

# `tests/contract` tries the sinks on both servers; the worker is the same on both.
pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

PARTITIONS = 4
USERS_EACH = 10
NEVER_S = 3_600.0
END_S = 90.0
JOIN, JOIN_S = "SlabConsumerThread.on_start", 5.0


@dataclass(frozen=True)
class Place:
    """Where workers of this module run."""

    bootstrap: str
    redis_url: str
    model_url: str
    folder: Path
    nursery: Nursery

    def member(self, name: str, number: int = 1, **sections: Any) -> Member:
        """A worker of the group `name`, not started."""
        settings = member_settings(
            self.bootstrap, sections.pop("redis_url", self.redis_url), sections.pop("model_url", self.model_url),
            name, self.folder, PARTITIONS, **sections,
        )  # fmt: skip
        return Member(settings, self.folder / f"{name}-{number}.log", self.nursery)


@pytest.fixture(scope="module")
def place(kafka: LocalKafka, redis_url: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("life")
    model_url = catalogue_model(folder / "models", 40)
    return Place(kafka.bootstrap, redis_url.removesuffix("0") + "2", model_url, folder, nursery)


@dataclass
class Story:
    """A group whose members come and go; `users` have sent `events` each."""

    first: Member
    second: Member
    service: Neighbour
    users: list[str]
    events: int = 0

    def everybody_clicks(self, times: int = 1) -> None:
        for _ in range(times):
            for user in self.users:
                self.service.send("click", user, item_id=f"i{self.events % 40}")
            self.events += 1

    def everybody_is_right(self) -> None:
        """All events count, once."""
        self.service.flush()
        wait_for("all events", lambda: (min(self._counts(), default=0) >= self.events) or None)
        assert set(self._counts()) == {self.events}

    def _counts(self) -> list[int]:
        found = self.service.reader.get_many(self.users)
        return [found[user].version if user in found else 0 for user in self.users]


@pytest.fixture(scope="module")
def story(place: Place) -> Iterator[Story]:
    """The first worker never commits of its own accord, so that a kill leaves everything to be replayed."""
    name = unique("life")
    first = place.member(name, kafka={"commit_interval_s": NEVER_S})
    second = place.member(name, 2)
    make_topics(first.settings)
    service = Neighbour(first.settings)
    users = [user for partition in range(PARTITIONS) for user in service.users_in(partition, USERS_EACH)]
    yield Story(first, second, service, users)
    first.__exit__(None, None, None)
    if hasattr(second, "_process"):
        second.__exit__(None, None, None)
    service.close()


# The tests of the story are told in order: a worker's start is what takes the time.


def test_a_killed_worker_replays_and_counts_nothing_twice(story: Story) -> None:
    story.first.start()
    story.first.wait_ready()
    story.everybody_clicks(3)
    story.everybody_is_right()
    sent = story.events * len(story.users)
    wait_for("durable states", lambda: _logged_events(story.first) == sent or None)
    story.first.kill()
    assert _lag(story.first) == sent
    story.first.start()
    scrape = story.first.wait("replay", lambda scrape: _total(scrape, "replayed") == sent, END_S)
    assert scrape.total("interest_restored_users_total") == len(story.users)
    assert _total(scrape, "applied") == 0
    story.everybody_is_right()


def test_sigterm_ends_in_order_and_commits_everything(story: Story) -> None:
    story.everybody_clicks()
    story.everybody_is_right()
    assert story.first.terminate() == 0, story.first.log_text()
    assert _lag(story.first) == 0


def test_a_worker_told_to_end_before_it_has_joined_ends_in_order(place: Place, nursery: Nursery) -> None:
    settings = _with_topics(place.member(unique("early"))).settings
    member = Member(settings, place.folder / "early.log", nursery, [{"linger": JOIN, "seconds": JOIN_S}])
    member.start()
    wait_for("the consumer to start", lambda: f"lingers in {JOIN}" in member.log_text() or None, END_S)
    assert member.terminate() == 0, member.log_text()


def test_a_restart_after_sigterm_applies_nothing_twice(story: Story) -> None:
    story.first.start()
    story.second.start()
    story.first.wait_ready()
    story.second.wait_ready()
    story.everybody_clicks()
    story.everybody_is_right()
    for member in (story.first, story.second):
        scrape = member.scrape()
        assert scrape is not None
        assert _total(scrape, "replayed") == 0


def test_a_second_worker_has_taken_half_of_the_partitions(story: Story) -> None:
    half = PARTITIONS // 2
    applied = 0.0
    for member in (story.first, story.second):
        scrape = member.wait("half", lambda scrape: scrape.total("interest_partitions") == half, END_S)
        assert scrape.total("interest_users") == half * USERS_EACH
        assert scrape.total("interest_restored_users_total") >= half * USERS_EACH
        applied += _total(scrape, "applied")
    assert applied == len(story.users)


def test_the_other_takes_over_from_one_that_leaves(story: Story) -> None:
    assert story.second.terminate() == 0, story.second.log_text()
    story.everybody_clicks()
    story.everybody_is_right()
    scrape = story.first.wait("all", lambda scrape: scrape.total("interest_partitions") == PARTITIONS, END_S)
    assert scrape.total("interest_users") == len(story.users)
    assert _total(scrape, "replayed") == 0


# -- workers that must not go on, all started at once


@pytest.fixture(scope="module")
def doomed(place: Place) -> Iterator[dict[str, Member]]:
    """Each is wrong in one way, and was started."""
    members = {
        "flood": _flooded(place),
        "no model": _with_topics(place.member(unique("no-model"), model_url=str(place.folder / "empty"))),
        "no redis": _with_topics(
            place.member(unique("no-redis"), redis_url=f"redis://127.0.0.1:{free_port()}/0", redis={"give_up_s": 1.0})
        ),
        "no topics": place.member(unique("no-topics")),
        "wrong partitions": _with_other_partitions(place),
        "no kafka": place.member(unique("no-kafka"), kafka={"bootstrap": f"127.0.0.1:{free_port()}"}),
    }
    for member in members.values():
        member.start()
    yield members
    for member in members.values():
        member.__exit__(None, None, None)


def _flooded(place: Place) -> Member:
    member = _with_topics(place.member(unique("flood"), accept={"flood_min_events": 50}))
    service = Neighbour(member.settings)
    for user in service.users_in(0, 20):
        service.send("click", user)
    for number in range(80):
        service.send_raw("rating", b"u%d" % number, b"not json")
    service.close()
    return member


def _with_topics(member: Member) -> Member:
    make_topics(member.settings)
    return member


def _with_other_partitions(place: Place) -> Member:
    """The topics have fewer partitions than the settings say."""
    name = unique("wrong-partitions")
    _with_topics(place.member(name))
    return place.member(name, kafka={"partitions": PARTITIONS + 1})


def test_a_flood_of_bad_events_stops_the_worker(doomed: dict[str, Member]) -> None:
    member = doomed["flood"]
    assert member.wait_exit(END_S) == EXIT_STOPPED
    log = member.log_text()
    assert "events are bad" in log
    assert "start workers with INTEREST_ACCEPT__FLOOD_SHARE=1" in log
    assert "Traceback" not in log
    assert Neighbour(member.settings).dead_letters() == []
    assert _lag(member) == 100


def test_the_flood_passes_a_worker_that_is_told_to_let_it(doomed: dict[str, Member]) -> None:
    member = doomed["flood"]
    member.told = {"INTEREST_ACCEPT__FLOOD_SHARE": "1"}
    member.start()
    wait_for("the flood to pass", lambda: _lag(member) == 0 or None, END_S)
    assert member.terminate() == 0, member.log_text()
    assert len(Neighbour(member.settings).dead_letters()) == 80


def test_without_a_model_a_worker_says_so(doomed: dict[str, Member]) -> None:
    member = doomed["no model"]
    assert member.wait_exit(END_S) == 1
    assert "interest train" in member.log_text()


def test_without_redis_a_worker_says_so(doomed: dict[str, Member]) -> None:
    member = doomed["no redis"]
    assert member.wait_exit(END_S) == EXIT_STOPPED
    assert "Redis at 127.0.0.1" in member.log_text()
    assert "Traceback" not in member.log_text()


def test_without_topics_a_worker_says_so(doomed: dict[str, Member]) -> None:
    member = doomed["no topics"]
    assert member.wait_exit(END_S) != 0
    assert "interest topics create" in member.log_text()


def test_with_another_partition_count_a_worker_says_so(doomed: dict[str, Member]) -> None:
    member = doomed["wrong partitions"]
    assert member.wait_exit(END_S) != 0
    log = member.log_text()
    assert member.settings.kafka.topics.ratings in log
    assert f"partition count is {PARTITIONS}, the settings say {PARTITIONS + 1}" in log


def test_without_kafka_a_worker_says_so(doomed: dict[str, Member]) -> None:
    member = doomed["no kafka"]
    assert member.wait_exit(END_S) != 0
    assert "no Kafka answers at 127.0.0.1" in member.log_text()


def _lag(member: Member) -> int:
    """Events that the group has not committed."""
    kafka = member.settings.kafka
    broker = Broker(kafka.bootstrap)
    return broker.lag(kafka.group, broker.ends(list(kafka.topics.inputs)))


def _logged_events(member: Member) -> int:
    """Events in the states that the changelog holds."""
    kafka = member.settings.kafka
    records = {record.key(): record.value() for record in read_topic(kafka.bootstrap, kafka.changelog)}
    states = codec.decode([value for value in records.values() if value])
    return int(states["events"].sum())


def _total(scrape: Any, outcome: str) -> float:
    return float(scrape.total("interest_events_total", outcome=outcome))
