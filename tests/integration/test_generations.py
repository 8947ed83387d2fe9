"""A generation is built beside the one that serves, compared, promoted, rolled back and dropped, while events flow."""

import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from model_store.model import load_model
from model_store.registry import ModelRegistry
from stream_app import cli, topics
from stream_app.client import InterestReader
from stream_app.local import LocalKafka
from stream_app.local.server import free_port
from stream_app.rebuild import rebuild
from stream_app.settings import Metrics, Settings, environment
from tests.bench.ground import Broker, unique
from tests.bench.model import TOPICS, VERSION, catalogue_model
from tests.failure.background import Background
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.found import look, read_topic
from tests.failure.nursery import Nursery
from tests.failure.people import ITEMS, MOST, Event, crowd, life_of
from tests.failure.service import Neighbour, now_ms, wait_for
from tests.failure.verdict import judge

# `tests/contract` tries the sinks on both servers; the worker is the same on both.
pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

PARTITIONS = 2
PEOPLE = 600
RATE_S = 0.007
SEEN_AT_ONCE = 12
HANDOVER_S = 3.0
MODELS = {1: VERSION, 2: f"{VERSION}-g2"}
NAMES = {1: set(TOPICS), 2: {*TOPICS[:10], *(f"new topic {number}" for number in range(9))}}
BAD = b"{nonsense"


class Load(Background):
    """Everybody acts in turn, each no more often than a state remembers; `journal`: what was sent, in order."""

    def __init__(self, service: Neighbour) -> None:
        super().__init__()
        self._service, self._dice = service, random.Random(5)
        # An erasure and what follows it lie in two topics, and a backlog may be read in another order than it was sent.
        self._people = [person for person in crowd(PEOPLE, seed=3) if life_of(person.user) != "reborn"]
        self.journal: list[Event] = []

    def _run(self) -> None:
        while not self._over.wait(RATE_S):
            person = self._dice.choice(self._people)
            if len(person.acted_ms) < MOST:
                self.act(person.act(now_ms()))

    def act(self, event: Event) -> None:
        value = json.dumps({name: part for name, part in event.items() if name != "kind"})
        self._service.send_raw(event["kind"], event["user_id"].encode(), value.encode())
        self.journal.append(event)

    @property
    def users(self) -> list[str]:
        return [person.user for person in self._people]


@dataclass
class Seen:
    """What a reader has seen, and what it should not have."""

    looks: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    versions: dict[tuple[int, str], int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def take(self, user: str, found: dict[str, Any], card: tuple[int, str, set[str]], at: int) -> None:
        """One hash with the card that is to explain it, read as of generation `at`."""
        generation, version = found["generation"], found["version"]
        fits = (generation, found["model"], found["topics"] <= card[2]) == (card[0], card[1], True)
        if not fits or generation != at or found["model"] != MODELS[generation]:
            self.faults.append(f"{user} read as of {at}: {found} with the card {card}")
        if version < self.versions.get((generation, user), 0):
            self.faults.append(f"{user}: version {version} of generation {generation} after a later one")
        self.versions[generation, user] = version
        self.looks[generation] += 1


class ThroughTheClient(Background):
    """Reads as a Python service does, all the time."""

    def __init__(self, url: str, users: list[str]) -> None:
        super().__init__()
        self.seen, self._users, self._dice = Seen(), users, random.Random(1)
        self._reader = InterestReader(url)

    def _run(self) -> None:
        with self._reader as reader:
            while not self._over.wait(0.01):
                found = reader.get_many(self._dice.sample(self._users, SEEN_AT_ONCE))
                for user, interest in found.items():
                    card = reader.model(interest.generation)
                    assert card is not None
                    plain = {
                        "generation": interest.generation, "version": interest.version, "model": interest.model,
                        "topics": {*interest.topics},
                    }  # fmt: skip
                    (first, *_) = found.values()
                    self.seen.take(user, plain, (card.generation, card.version, {*card.topics}), first.generation)


class ByHand(Background):
    """Reads the keys as `redis-layout.md` tells those who have another language: the pointer, then what it says."""

    def __init__(self, url: str, users: list[str]) -> None:
        super().__init__()
        self.seen, self._users, self._dice = Seen(), users, random.Random(2)
        self._client = redis.Redis.from_url(url, decode_responses=True)

    def _run(self) -> None:
        with self._client as client:
            while not self._over.wait(0.01):
                serving = json.loads(client.get("interest:serving") or '{"generation": 1, "prefix": ""}')
                prefix, users = serving["prefix"], self._dice.sample(self._users, SEEN_AT_ONCE)
                pipeline = client.pipeline(transaction=False)
                pipeline.hmget(f"interest:{prefix}model", "generation", "version", "topics")
                for user in users:
                    pipeline.hmget(f"interest:{prefix}{{{user}}}", "generation", "version", "model", "topics")
                card, *rows = pipeline.execute()
                for user, (generation, version, model, topics_) in zip(users, rows, strict=True):
                    if topics_ is None:
                        continue  # unknown, or erased
                    found = {
                        "generation": int(generation), "version": int(version), "model": model,
                        "topics": {*json.loads(topics_)},
                    }  # fmt: skip
                    known = (int(card[0]), card[1], {*json.loads(card[2])})
                    self.seen.take(user, found, known, serving["generation"])


@dataclass
class Stage:
    """Two generations on one stream."""

    settings: dict[int, Settings]
    workers: dict[int, Member]
    service: Neighbour
    load: Load
    client: ThroughTheClient
    by_hand: ByHand

    def interest(self, *command: str, code: int = 0) -> str:
        """What `interest` says with the settings of the first generation."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment(self.settings[1], {}).items():
                patch.setenv(name, value)
            done = CliRunner().invoke(cli.app, command)
        said = f"{done.output}{done.exception or ''}"
        assert (done.exit_code, done.exception is None or code > 0) == (code, True), said
        return said

    def both_see(self, generation: int) -> None:
        """Both readers read that generation, and both workers know."""
        before = [one.seen.looks[generation] for one in (self.client, self.by_hand)]
        wait_for(
            f"readers of generation {generation}",
            lambda: min(
                one.seen.looks[generation] - then for one, then in zip((self.client, self.by_hand), before, strict=True)
            ) > 50 or None,
        )  # fmt: skip
        for number, worker in self.workers.items():
            worker.wait("pointer", _says("interest_serving", number == generation), 60.0)

    def more(self, events: int = 50) -> None:
        """So many more events are sent and read by both generations."""
        goal = len(self.load.journal) + events
        wait_for("events", lambda: len(self.load.journal) >= goal or None)
        self.until_read()

    def until_read(self) -> None:
        """What was sent until now is committed by both."""
        self.service.flush()
        names, broker = list(self.settings[1].kafka.topics.inputs), Broker(self.settings[1].kafka.bootstrap)
        ends = broker.ends(names)
        for settings in self.settings.values():
            group = settings.kafka.consumer_group
            wait_for(f"commits of {group}", lambda group=group: not broker.lag(group, ends) or None)

    def published(self) -> dict[int, list[dict[str, Any]]]:
        """Recommendations in their topic, by generation."""
        kafka, made = self.settings[1].kafka, defaultdict(list)
        for record in read_topic(kafka.bootstrap, kafka.topics.recommendations):
            if record.value():
                event = json.loads(record.value())
                made[2 if event["event_id"].endswith(":g2") else 1].append(event)
        return made


def _says(metric: str, value: bool) -> Callable[[Any], bool]:
    return lambda scrape: scrape.total(metric) == value


@pytest.fixture
def stage(kafka: LocalKafka, redis_url: str, nursery: Nursery, tmp_path: Path) -> Iterator[Stage]:
    """Nothing runs yet."""
    url = redis_url.removesuffix("0") + "10"
    models = tmp_path / "models"
    catalogue_model(models, ITEMS)
    catalogue_model(models, ITEMS, seed=2, generation=2, topics=tuple(sorted(NAMES[2])))
    first = member_settings(
        kafka.bootstrap, url, str(models), unique("generations"), tmp_path, PARTITIONS, kafka={"handover_s": HANDOVER_S}
    )
    second = first.of_generation(2).model_copy(update={"metrics": Metrics(port=free_port())})
    settings = {1: first, 2: second}
    make_topics(first)
    workers = {number: Member(one, tmp_path / f"generation-{number}.log", nursery) for number, one in settings.items()}
    with ExitStack() as stack:
        service = Neighbour(first)
        stack.callback(service.close)
        load = Load(service)
        yield Stage(settings, workers, service, load, ThroughTheClient(url, load.users), ByHand(url, load.users))
        for worker in workers.values():
            if hasattr(worker, "_process"):
                worker.__exit__(None, None, None)


def test_a_generation_is_built_beside_the_one_that_serves_and_readers_never_see_a_mixture(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second = stage.workers[1], stage.workers[2]
    stage.service.send_raw("click", b"bad", BAD)
    first.start()
    first.wait_ready()
    with stage.load, stage.client, stage.by_hand:
        wait_for("some events", lambda: len(stage.load.journal) > 200 or None)
        assert "no worker of generation 2 has ever run" in stage.interest("generations", "promote", "2", code=1)
        topics.create(stage.settings[2])
        second.start()
        second.wait_ready()
        stage.more()
        alike = json.loads(stage.interest("generations", "compare", "1", "2", "--json"))
        assert min(side["users"] for side in alike["sides"]) > 50
        assert [side["version"] for side in alike["sides"]] == list(MODELS.values())
        assert alike["both"] >= alike["sampled"] >= alike["lists"] > 50
        assert 0 < alike["topics_cosine"] < 1
        assert 0 < alike["items_overlap"] < 1
        assert not stage.published()[2]
        _not_promoted_while_it_lags(stage, monkeypatch)
        _not_promoted_while_it_lacks_users(stage, tmp_path)

        assert "generation 2 serves" in stage.interest("generations", "promote", "2")
        stage.both_see(2)
        assert "serves" in stage.interest("generations", "drop", "2", code=1)
        time.sleep(HANDOVER_S)
        stage.until_read()
        silent = len(stage.published()[1])
        stage.more()
        assert len(stage.published()[1]) == silent

        assert "generation 1 serves again: 1 workers" in stage.interest("generations", "roll-back")
        stage.both_see(1)
        stage.more()
    stage.until_read()

    for reader in (stage.client, stage.by_hand):
        assert reader.seen.faults == []
        assert set(reader.seen.looks) == {1, 2}
    rows = json.loads(stage.interest("generations", "list", "--json"))
    assert [(row["generation"], row["role"], row["workers"], row["lag"]) for row in rows] == [
        (1, "serving", 1, 0),
        (2, "before", 1, 0),
    ]
    # Until the handover is over it is refused for another reason.
    wait_for(
        "a refusal because of its workers",
        lambda: "stop its workers" in stage.interest("generations", "drop", "2", code=1) or None,
    )
    assert [first.terminate(), second.terminate()] == [0, 0]
    _nothing_is_lost_or_double(stage, rows)
    _each_published_while_it_served(stage)

    assert "generation 2 is gone" in stage.interest("generations", "drop", "2")
    with redis.Redis.from_url(stage.settings[1].redis.url.get_secret_value()) as client:
        assert not client.keys("interest:g2:*")
        assert not client.keys("rec:g2:*")
        assert client.exists("interest:model")
    assert "was dropped" in stage.interest("generations", "roll-back", code=1)
    rows = json.loads(stage.interest("generations", "list", "--json"))
    assert [(row["generation"], row["topic"], row["version"]) for row in rows] == [
        (1, True, MODELS[1]),
        (2, False, MODELS[2]),
    ]


def _not_promoted_while_it_lags(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("stream_app.generations.switch.PATIENCE_S", 0.2)
        stage.workers[2].pause()
        goal = len(stage.load.journal) + 50
        wait_for("events", lambda: len(stage.load.journal) >= goal or None)
        assert "generation 2 has not read" in stage.interest("generations", "promote", "2", code=1)
        stage.workers[2].resume()
    stage.until_read()


def _not_promoted_while_it_lacks_users(stage: Stage, tmp_path: Path) -> None:
    """Nor when Redis has lost some: they are brought back from the state table of that generation."""
    settings, user = stage.settings[2], "person-1000"
    stage.load.act({"kind": "click", "event_id": "e1", "user_id": user, "item_id": "i1", "dwell_ms": 1, "ts": now_ms()})
    stage.until_read()
    model = load_model(ModelRegistry(settings.models.url).fetch(MODELS[2], tmp_path / MODELS[2]))
    with redis.Redis.from_url(settings.redis.url.get_secret_value()) as client:
        assert client.delete(f"interest:g2:{{{user}}}") == 1
        assert "1 users whom readers are shown now" in stage.interest("generations", "promote", "2", code=1)
        assert rebuild(settings, model, recommendations=False, settle_s=0.0).written == 1
        assert client.exists(f"interest:g2:{{{user}}}")


def _nothing_is_lost_or_double(stage: Stage, rows: list[dict[str, Any]]) -> None:
    """In either generation; the recommendations are looked at apart, since a shadow's are not published."""
    users = sorted({event["user_id"] for event in stage.load.journal})
    for row in rows:
        found = look(stage.settings[row["generation"]], users)
        verdict = judge(
            stage.load.journal, replace(found, sequences={}, rec_seq=dict.fromkeys(found.rec_seq, 0), dead_letters=[])
        )
        faults = (verdict.lost, verdict.double, verdict.wrong, verdict.redis_wrong)
        assert faults == (0, 0, 0, 0), verdict.examples
        assert row["users"] == sum(state.events > 0 for state in found.states.values())
        # The bad record was read by both, and set aside by the one that served.
        assert len(found.dead_letters) == 1


def _each_published_while_it_served(stage: Stage) -> None:
    made = stage.published()
    for generation, spans in ((1, 2), (2, 1)):
        ids = [event["event_id"] for event in made[generation]]
        assert len(set(ids)) == len(ids)
        numbers = defaultdict(list)
        for event in made[generation]:
            assert event["model_version"] == MODELS[generation]
            numbers[event["user_id"]].append(int(event["event_id"].split(":")[2]))
        for user, published in numbers.items():
            assert _runs(sorted(published)) <= spans, f"{user} of generation {generation}: {published}"
    told = {event["user_id"] for events in made.values() for event in events}
    assert told >= {event["user_id"] for event in stage.load.journal if life_of(event["user_id"]) == "plain"}


def _runs(numbers: list[int]) -> int:
    """How many runs of consecutive numbers there are."""
    return len(list(groupby(enumerate(numbers), lambda place: place[1] - place[0])))
