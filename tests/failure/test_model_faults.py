"""The model, or the code that applies events, goes wrong in a worker at work: it stops, nothing of it gets out, and the
next worker goes on as if nothing had been."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_store.registry import ModelRegistry
from stream_app.faust_slab.fatal import EXIT_STOPPED
from stream_app.local import LocalKafka
from tests.bench.ground import Broker, unique
from tests.bench.model import catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.found import Found, look
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, wait_for

# The servers' part is the same on both; `tests/contract` tries the other one.
pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

USERS = 5
END_S = 90.0
IN_A_THREAD = {"models": {"inline_users": 0}}
"""However few users there are, TensorFlow works in its thread, and the event loop goes on turning."""

STORIES: Mapping[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "raises": ("tensorflow-raises", {}, ("worker stopped: refresh", "RuntimeError: planted", "Traceback")),
    "gives NaN": (
        "tensorflow-gives-nan",
        IN_A_THREAD,
        ("gives NaN or infinity for 1 of", "their states are sound", "roll-back"),
    ),
    "stalls": ("tensorflow-stalls", {}, ("the event loop has not turned for", "_read_out")),
    "stalls in its thread": (
        "tensorflow-stalls",
        IN_A_THREAD,
        ("worker stopped: refresh", "the readout thread has not come back from Readout.large"),
    ),
    "advance raises": ("advance-raises", {}, ("worker stopped: advance", "RuntimeError: planted")),
}
"""Name -> what is planted, settings, what the worker says at its end."""


@dataclass(frozen=True)
class Story:
    """A worker that is well, and goes wrong once `now` exists; each on topics of its own."""

    member: Member
    service: Neighbour
    users: list[str]
    now: Path

    def everybody_clicks(self) -> None:
        for user in self.users:
            self.service.send("click", user)
        self.service.flush()

    def everybody_shows(self, version: int) -> None:
        wait_for(f"version {version}", lambda: self._versions() == {version} or None, END_S)

    def _versions(self) -> set[int]:
        found = self.service.reader.get_many(self.users)
        return {found[user].version if user in found else 0 for user in self.users}

    def lag(self) -> int:
        kafka = self.member.settings.kafka
        broker = Broker(kafka.bootstrap)
        return broker.lag(kafka.group, broker.ends(list(kafka.topics.inputs)))


@pytest.fixture(scope="module")
def stories(
    kafka: LocalKafka, redis_url: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Story]]:
    """All at once, since each waits most of its time: they were well, one click each was committed, and then another
    was sent."""
    folder = tmp_path_factory.mktemp("model-faults")
    model, url = catalogue_model(folder / "models", 40), redis_url.removesuffix("0") + "6"
    told: dict[str, Story] = {}
    for number, (name, (plant, sections, _)) in enumerate(STORIES.items()):
        group, now = unique("wounded"), folder / f"now-{number}"
        settings = member_settings(
            kafka.bootstrap, url, model, group, folder, 1, cycle={"stall_s": 5.0}, **sections
        )  # fmt: skip
        make_topics(settings)
        member = Member(settings, folder / f"{group}.log", nursery, [{"plant": plant, "when": str(now)}])
        service = Neighbour(settings)
        told[name] = Story(member, service, service.users_in(0, USERS), now)
        member.start()
    try:
        for story in told.values():
            story.member.wait_ready()
            story.everybody_clicks()
        for story in told.values():
            story.service.until_committed()
            story.now.touch()
            story.everybody_clicks()
        yield told
    finally:
        for story in told.values():
            story.member.kill()
            story.service.close()


@pytest.fixture(scope="module")
def ended(stories: dict[str, Story]) -> dict[str, int]:
    """Exit status of each."""
    return {name: story.member.wait_exit(END_S) for name, story in stories.items()}


@pytest.mark.parametrize("name", STORIES)
def test_the_worker_stops_and_says_why(name: str, stories: dict[str, Story], ended: dict[str, int]) -> None:
    assert ended[name] == EXIT_STOPPED
    log = stories[name].member.log_text()
    for words in STORIES[name][2]:
        assert words in log
    if "gives" in name:
        version = ModelRegistry(stories[name].member.settings.models.url).current()
        assert f"model {version} gives" in log


@pytest.fixture(scope="module")
def left(stories: dict[str, Story], ended: dict[str, int]) -> dict[str, Found]:
    """What the ended ones have left."""
    return _look_at_all(stories)


@pytest.mark.parametrize("name", STORIES)
def test_nothing_past_it_is_committed_or_shown(name: str, stories: dict[str, Story], left: dict[str, Found]) -> None:
    story, found = stories[name], left[name]
    assert story.lag() == USERS
    assert {found.states[user].version for user in story.users} == {1}
    assert {found.redis[user].version for user in story.users} == {1}
    for interest in story.service.reader.get_many(story.users).values():
        assert np.isfinite(interest.vector).all()
    assert {last for (user, _), made in found.sequences.items() for last in made if user in story.users} == {1}


@pytest.fixture(scope="module")
def mended(stories: dict[str, Story], left: dict[str, Found]) -> dict[str, Found]:
    """What was planted is gone, all were started again, and have done what was waiting."""
    for story in stories.values():
        story.now.unlink()
        story.member.start()
    for story in stories.values():
        story.everybody_shows(2)
        story.service.until_committed()
    return _look_at_all(stories)


@pytest.mark.parametrize("name", STORIES)
def test_after_a_restart_every_event_counts_once(
    name: str, stories: dict[str, Story], mended: dict[str, Found]
) -> None:
    users, found = stories[name].users, mended[name]
    assert {found.states[user].version for user in users} == {2}
    assert {found.states[user].events for user in users} == {2}
    assert {found.redis[user].version for user in users} == {2}


def _look_at_all(stories: dict[str, Story]) -> dict[str, Found]:
    with ThreadPoolExecutor(len(stories)) as pool:
        looks = {name: pool.submit(look, story.member.settings, story.users) for name, story in stories.items()}
        return {name: one.result() for name, one in looks.items()}
