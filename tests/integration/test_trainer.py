"""The trainer beside a real Kafka: what it learns, what it publishes, and what a crash costs it."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Producer

from model_store.encoder.columns import Outputs
from model_store.encoder.runtime import use_threads
from model_store.model import InterestModel, load_model
from model_store.registry import ModelRegistry
from model_store.state.arena import Arena
from model_store.state.features import features
from model_store.state.hashing import hash_id
from model_store.state.layout import DIM
from stream_app.contracts.knowledge import Knowledge, deleted, encode
from stream_app.local import LocalKafka
from stream_app.settings import Settings, environment
from stream_app.trainer.loop import Trainer
from stream_app.trainer.metrics import TrainerMetrics
from stream_app.trainer.publisher import PREFIX
from stream_app.trainer.snapshots import Snapshots
from stream_app.trainer.start import build_trainer
from tests.bench.ground import unique
from tests.bench.model import TOPICS, VERSION, catalogue_model
from tests.failure.crew import make_topics, member_settings
from tests.failure.service import Neighbour, now_ms, wait_for

ITEMS, USERS = 40, 60
NEW = "never-seen-before"
POLICY = {"held_out_share": 0.0, "learn_interval_s": 0.05, "publish_interval_s": 3600.0, "keep_versions": 2}
NO_REDIS = "redis://127.0.0.1:1/0"  # the trainer needs none


@dataclass
class World:
    """Settings, the topics behind them, and a producer."""

    settings: Settings
    service: Neighbour
    folder: Path
    sent: int = 0

    @property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.settings.models.url)

    def fetched(self, version: str) -> Path:
        return self.registry.fetch(version, self.folder / "fetched" / version)

    def served(self) -> InterestModel:
        version = self.registry.current()
        assert version is not None
        return load_model(self.fetched(version))

    def walk(self, rounds: int, items: list[str]) -> None:
        """Everybody goes through the items, one click each a round."""
        for _ in range(rounds):
            for user in range(USERS):
                item = items[(self.sent // USERS + user) % len(items)]
                self.service.send("click", f"u{user}", item_id=item, ts=now_ms())
                self.sent += 1
        self.service.flush()


@pytest.fixture
def world(kafka: LocalKafka, tmp_path: Path) -> Iterator[World]:
    use_threads(1)
    settings = member_settings(
        kafka.bootstrap, NO_REDIS, catalogue_model(tmp_path / "models", ITEMS), unique("trainer"), tmp_path,
        trainer=POLICY,
    )  # fmt: skip
    make_topics(settings)
    service = Neighbour(settings)
    yield World(settings, service, tmp_path)
    service.close()


class Running:
    """A trainer in this process, which ends as a crash would unless told otherwise."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.snapshots = Snapshots(world.settings.data_dir / "trainer")
        self.metrics = TrainerMetrics()
        self.trainer = build_trainer(world.settings, world.served(), world.fetched, self.snapshots, self.metrics)

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.trainer.close()
        self.snapshots.close()

    def read_to(self, records: int) -> Trainer:
        """Turns until so many records were read since it began."""

        def turned() -> bool | None:
            self.trainer.turn()
            return self.metrics.records._value.get() >= records or None

        wait_for("the trainer to read", turned)
        self.trainer.turn()
        self.trainer._learn()
        return self.trainer


def outcome(running: Running, name: str) -> float:
    return float(running.metrics.versions.labels(name)._value.get())


def test_what_was_clicked_is_in_the_next_version_new_items_too(world: World) -> None:
    before = world.served()
    walk = [*(f"i{item}" for item in range(10)), NEW]
    with Running(world) as running:
        world.walk(11, walk)
        running.read_to(world.sent).publish()
        assert outcome(running, "promoted") == 1
    after = world.served()
    assert after.version.startswith(f"{PREFIX}-g1-")
    assert after.writes.vectors.tobytes() == before.writes.vectors.tobytes()
    assert after.decays == before.decays
    assert after.index.item_ids == (*before.index.item_ids, NEW)
    assert np.linalg.norm(after.index.vectors[-1]) > 0  # it began at zero
    clicks = Counter(walk[(number // USERS + number % USERS) % len(walk)] for number in range(world.sent))
    for row, item in enumerate(after.index.item_ids):
        # Seconds old, so nothing has faded.
        np.testing.assert_allclose(
            np.expm1(after.index.priors[row]) * 0.1, clicks[item], atol=0.02 * (1 + clicks[item])
        )
    pairs = after.index.transitions
    assert pairs is not None
    last, first = after.index.rows_of(np.array([hash_id(NEW), hash_id("i0")], np.uint64))
    followers = pairs.after[pairs.bounds[last] : pairs.bounds[last + 1]]
    assert followers.tolist() == [first]


def test_a_crash_costs_nothing_and_nothing_is_learnt_twice(world: World) -> None:
    walk = [f"i{item}" for item in range(ITEMS)]
    world.walk(6, walk)
    with Running(world) as running:
        running.read_to(world.sent).snapshot()
        kept = world.sent
        world.walk(5, walk)
        lost = running.read_to(world.sent)._learner.state()
    with Running(world) as running:  # the first one died without a snapshot of the last five rounds
        assert running.trainer._learner.popularity.counts[:, 2].sum() == pytest.approx(kept, rel=0.01)
        again = running.read_to(world.sent - kept)._learner
        found = again.state()
        events = sum(int(arena.records["events"].sum()) for arena in running.trainer._states.values())
    assert events == world.sent
    assert again.popularity.counts[:, 2].sum() == pytest.approx(world.sent, rel=0.01)
    for name in ("pair_codes", "pair_times"):
        np.testing.assert_array_equal(found[name], lost[name])
    rounds = [sum(len(state[name]) for name in state if name.endswith("-wanted")) for state in (found, lost)]
    assert rounds[0] == rounds[1]


def test_after_a_crash_it_promotes_on_from_what_it_promoted_since_its_snapshot(world: World) -> None:
    walk = [f"i{item}" for item in range(ITEMS)]
    world.walk(2, walk)
    with Running(world) as running:
        running.read_to(world.sent).snapshot()
        kept = world.sent
        world.walk(2, walk)
        running.read_to(world.sent).publish()
    ours = world.registry.current()
    assert ours != VERSION
    with Running(world) as running:
        running.read_to(world.sent - kept)
        wait_for("another second, since versions are named by it", lambda: _publishes(running, "promoted"))
        assert outcome(running, "held_back") == 0
    assert world.registry.current() not in (VERSION, ours)


def test_a_version_that_is_not_sound_and_one_that_nobody_asked_for_are_not_promoted(world: World) -> None:
    with Running(world) as running:
        world.walk(2, [f"i{item}" for item in range(ITEMS)])
        trainer = running.read_to(world.sent)
        trainer._learner._own_bias.assign(np.full(trainer._learner._own_bias.shape, np.nan, np.float32))
        trainer._learner._index = trainer._learner._new_index()
        trainer.publish()
        assert (outcome(running, "refused"), world.registry.current()) == (1, VERSION)
    with Running(world) as running:
        running.read_to(world.sent).publish()
        ours = world.registry.current()
        assert ours != VERSION
        world.registry.promote(VERSION)  # somebody rolls back
        world.walk(1, ["i1", "i2"])
        running.read_to(world.sent)
        wait_for("another second, since versions are named by it", lambda: _publishes(running, "held_back"))
        assert world.registry.current() == VERSION
        assert ours is not None
        world.registry.promote(ours)
        world.walk(1, ["i1", "i2"])
        running.read_to(world.sent)
        wait_for("promotion", lambda: _publishes(running, "promoted", 2))
        assert world.registry.current() not in (VERSION, ours)
        kept = [version for version in world.registry.list() if version.startswith(PREFIX)]
        assert len(kept) <= 4  # the last two, one that is served, and one that they are stored as differences from
        assert VERSION in world.registry.list()


def _publishes(running: Running, name: str, times: int = 1) -> bool | None:
    running.trainer.publish()
    return outcome(running, name) >= times or None


def test_the_command_learns_until_it_is_told_to_stop(world: World) -> None:
    world.walk(3, [f"i{item}" for item in range(ITEMS)])
    settings = world.settings.model_copy(
        update={"trainer": world.settings.trainer.model_copy(update={"publish_interval_s": 0.2})}
    )
    with (world.folder / "trainer.log").open("wb") as log:
        command = [sys.executable, "-m", "stream_app", "trainer", "--metrics-port", "0"]
        process = subprocess.Popen(command, env=environment(settings, os.environ), stdout=log, stderr=log)
        try:
            wait_for("a version", lambda: world.registry.current() != VERSION or None, timeout_s=120)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    (progress,) = (settings.data_dir / "trainer" / "generation-1").glob("1/progress.json")
    told = json.loads(progress.read_bytes())
    assert told["promoted"] == world.registry.current()
    clicks = told["offsets"][settings.kafka.topics.clicks]
    assert sum(clicks.values()) == world.sent


def test_it_learns_from_what_the_catalogue_tells_and_offers_nothing_that_was_deleted(world: World) -> None:
    producer = Producer({"bootstrap.servers": world.settings.kafka.bootstrap})
    told = Knowledge("told", 1, title="Told", topics={TOPICS[1]: 1.0})
    for knowledge in (told, Knowledge("gone", 1, title="Gone"), deleted("gone", 2), deleted("i3", 2)):
        producer.produce(world.settings.kafka.topics.knowledge, encode(knowledge), knowledge.item_id)
    assert not producer.flush(30)
    with Running(world) as running:
        world.walk(3, ["i1", "told"])
        trainer = running.read_to(world.sent)
        producer.produce(world.settings.kafka.topics.knowledge, encode(Knowledge("late", 3, title="Late")), "late")
        assert not producer.flush(30)
        wait_for("the news", lambda: "late" in trainer._learner.item_ids or trainer.turn())
        trainer.publish()
        assert outcome(running, "promoted") == 1
    index = world.served().index
    assert index.item_ids[ITEMS:] == ("told", "late")
    assert index.titles[ITEMS:] == ("Told", "Late")
    assert index.shares[ITEMS, 1] == 1
    hidden = {item for item, bias in zip(index.item_ids, index.bias, strict=True) if bias < -1e6}
    assert hidden == {"i3"}


def test_what_followees_like_is_learnt_from_and_known_after_a_crash(world: World) -> None:
    world.service.send("click", "u0", item_id="i7")
    world.service.flush()
    followers = [f"u{user}" for user in range(1, USERS)]
    for user in followers:
        world.service.send("follow", user, target_id="u0", target_type="user")
    world.service.flush()
    with Running(world) as running:
        trainer = running.read_to(USERS)
        expected = _direction_of(trainer, "u0")
        np.testing.assert_allclose(_social_of(trainer, "u5")[:DIM], expected, atol=1e-4)
        assert not _social_of(trainer, "u0").any()
        assert not trainer._learner.network.knows_follows()
        world.walk(3, [f"i{item}" for item in range(10)])
        trainer = running.read_to(USERS + world.sent)
        assert trainer._learner.network.knows_follows()
        assert "social" in trainer._learner.index().reasons
        trainer.snapshot()
    with Running(world) as running:
        np.testing.assert_allclose(
            _social_of(running.trainer, "u5")[:DIM], _direction_of(running.trainer, "u0"), atol=1e-4
        )


def _place(trainer: Trainer, user: str) -> tuple[Arena, np.ndarray]:
    (found,) = [
        (arena, arena.row(user.encode())) for arena in trainer._states.values() if arena.row(user.encode()) is not None
    ]
    return found[0], np.array([found[1]])


def _social_of(trainer: Trainer, user: str) -> np.ndarray:
    social = trainer._followees.social(*_place(trainer, user), now_ms())
    assert social is not None
    return social[0]


def _direction_of(trainer: Trainer, user: str) -> np.ndarray:
    arena, rows = _place(trainer, user)
    vector = Outputs.of(trainer._learner.outputs(features(arena.records, rows))).vector[0]
    return vector / np.sqrt(np.mean(vector.astype(np.float64) ** 2))
