"""Kafka does not take what is written: no offset is committed past it, and a restart makes it good."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclOperation,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from stream_app.faust_slab.fatal import EXIT_STOPPED
from stream_app.local import LocalKafka, LocalValkey
from stream_app.local.server import free_port
from stream_app.settings import Settings, environment
from tests.bench.ground import Broker, unique
from tests.bench.model import catalogue_model
from tests.failure import rights
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.found import look
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour

END_S = 90.0
GIVE_UP_S = 2.0
TOO_LARGE = {"max.message.bytes": "70"}


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalValkey]:
    """The servers' part is the same on both; `tests/contract` tries the other one."""
    with LocalValkey(tmp_path_factory.mktemp("broker") / "valkey") as server:
        yield server


class Story:
    """A worker of topics of its own; each of its users has clicked once, and that is committed."""

    def __init__(
        self,
        kafka: LocalKafka,
        valkey: LocalValkey,
        nursery: Nursery,
        folder: Path,
    ) -> None:
        self.settings = member_settings(
            kafka.bootstrap,
            valkey.url,
            catalogue_model(folder / "models", 40),
            unique("broker"),
            folder,
            2,
            recommend={"min_interval_s": 0.0},
            flush={"timeout_s": GIVE_UP_S},
        )
        make_topics(self.settings)
        self.member = Member(self.settings, folder / "worker.log", nursery)
        self.service = Neighbour(self.settings)
        self.users = [user for partition in range(2) for user in self.service.users_in(partition, 3)]

    def __enter__(self) -> "Story":
        self.member.start()
        self.member.wait_ready()
        self.everybody_clicks()
        self.service.until_committed()
        return self

    def __exit__(self, *_: object) -> None:
        self.member.__exit__(None, None, None)
        self.service.close()

    def everybody_clicks(self) -> None:
        for user in self.users:
            self.service.send("click", user)
        self.service.flush()

    def committed(self) -> dict[tuple[str, int], int]:
        return Broker(self.settings.kafka.bootstrap).committed(self.settings.kafka.group)

    def is_made_good(self, version: int, dead_letters: int) -> None:
        """Another worker brings everything to where it should be."""
        self.member.start()
        self.service.until_committed()
        assert self.member.terminate() == 0
        found = look(self.settings, self.users)
        assert {found.states[user].version for user in self.users} == {version}
        assert {found.states[user].events for user in self.users} == {version}
        assert {found.redis[user].version for user in self.users} == {version}
        assert len(found.dead_letters) == dead_letters


def _topic(settings: Settings, sink: str) -> str:
    topics = settings.kafka.topics
    return {
        "changelog": settings.kafka.changelog,
        "recommendations": topics.recommendations,
        "dead letters": topics.dead_letters,
    }[sink]


def _configure(kafka: LocalKafka, topic: str, config: dict[str, str], what: AlterConfigOpType) -> None:
    entries = [ConfigEntry(name, value, incremental_operation=what) for name, value in config.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.incremental_alter_configs([resource])[resource].result()


@pytest.mark.parametrize(
    "sink",
    [
        "changelog",
        "recommendations",
        "dead letters",
    ],
)
def test_nothing_is_committed_past_a_refused_write(
    sink: str,
    kafka: LocalKafka,
    valkey: LocalValkey,
    nursery: Nursery,
    tmp_path: Path,
) -> None:
    with Story(kafka, valkey, nursery, tmp_path) as story:
        topic, before = _topic(story.settings, sink), story.committed()
        _configure(kafka, topic, TOO_LARGE, AlterConfigOpType.SET)
        story.service.send_raw("click", story.users[0].encode(), b"no JSON")
        story.everybody_clicks()
        assert story.member.wait_exit(END_S) == EXIT_STOPPED
        assert story.committed() == before
        _explains(story.member, topic, "MessageSizeTooLargeError")
        _configure(kafka, topic, TOO_LARGE, AlterConfigOpType.DELETE)
        # Dead letters that were published before the fault are published again.
        letters = len(story.service.dead_letters())
        story.is_made_good(2, letters + 1)


def test_nothing_is_committed_past_a_topic_that_is_gone(
    kafka: LocalKafka, valkey: LocalValkey, nursery: Nursery, tmp_path: Path
) -> None:
    with Story(kafka, valkey, nursery, tmp_path) as story:
        topic, before = _topic(story.settings, "recommendations"), story.committed()
        Broker(kafka.bootstrap).delete([topic])
        story.service.send_raw("click", story.users[0].encode(), b"no JSON")
        story.everybody_clicks()
        assert story.member.wait_exit(END_S) == EXIT_STOPPED
        assert story.committed() == before
        _explains(story.member, topic, "Kafka did not take records")
        make_topics(story.settings)
        letters = len(story.service.dead_letters())
        story.is_made_good(2, letters + 1)


@pytest.mark.parametrize("kind", [ResourceType.GROUP, ResourceType.TOPIC])
def test_nothing_is_committed_without_the_right_to_read(
    kind: ResourceType, kafka: LocalKafka, valkey: LocalValkey, nursery: Nursery, tmp_path: Path
) -> None:
    """Kafka refuses the group's offsets, or the events; it may forbid so while workers run."""
    with Story(kafka, valkey, nursery, tmp_path) as story:
        mine, before = story.settings.kafka, story.committed()
        name = mine.group if kind is ResourceType.GROUP else mine.topics.clicks
        rights.withdraw(kafka.bootstrap, kind, name, AclOperation.READ)
        story.everybody_clicks()
        assert story.member.wait_exit(END_S) == EXIT_STOPPED
        assert story.committed() == before
        assert "this user may read" in _explanation(story.member)
        rights.give_back(kafka.bootstrap, kind, name)
        story.is_made_good(2, 0)


def _explains(member: Member, topic: str, said: str) -> None:
    told = _explanation(member)
    assert f"Kafka did not take records for {topic}[" in told
    assert said in told


def _explanation(member: Member) -> str:
    """One line, no traceback."""
    told = [line for line in member.log_text().splitlines() if "worker stopped" in line]
    assert len(told) == 1
    assert "Traceback" not in member.log_text()
    return told[0]


PAST_THE_CHECK = """
from model_store.model import load_model
from stream_app.app import run_worker
from stream_app.commands.serving import served_model
from stream_app.settings import load
run_worker(load(), load_model(served_model(load())))
"""
"""What `interest worker` does when it has found that Kafka answers."""


def test_a_broker_that_goes_while_a_worker_starts_is_named(valkey: LocalValkey, tmp_path: Path) -> None:
    nobody, model = f"127.0.0.1:{free_port()}", catalogue_model(tmp_path / "models", 40)
    settings = member_settings(nobody, valkey.url, model, unique("gone"), tmp_path, 2)
    worker = subprocess.run(
        [sys.executable, "-c", PAST_THE_CHECK],
        env=environment(settings, os.environ),
        capture_output=True,
        text=True,
        timeout=END_S,
        check=False,
    )
    assert worker.returncode == EXIT_STOPPED, worker.stderr
    assert f"no Kafka answers at {nobody} any more" in worker.stderr
