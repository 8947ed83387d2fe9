"""Versions change under a worker that is at work: nobody is lost, and nobody is read out with two of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis

from model_store.encoder.columns import Outputs
from model_store.encoder.runtime import use_threads
from model_store.model import InterestModel, export, load_model, load_parts
from model_store.registry import ModelRegistry
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.features import features
from model_store.state.hashing import hash_ids
from model_store.state.layout import Kind
from stream_app.contracts.redis_layout import model_key
from stream_app.local import LocalKafka
from tests.bench.ground import unique
from tests.bench.model import VERSION, catalogue_model
from tests.failure.background import Background
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, now_ms, wait_for

# `tests/contract` tries the sinks on both servers; the worker is the same on both.
pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

ITEMS, USERS = 50, 40
RATE_S = 0.005
SWAPS = 6
VERSIONS = (VERSION, "second", "third")

Click = tuple[str, str, int]
"""User, item, time."""


class Load(Background):
    """Everybody clicks in turn."""

    def __init__(self, service: Neighbour) -> None:
        super().__init__()
        self._service = service
        self.sent: list[Click] = []

    def _run(self) -> None:
        while not self._over.wait(RATE_S):
            number = len(self.sent)
            click = f"u{number % USERS}", f"i{(7 * number) % ITEMS}", now_ms()
            self._service.send("click", click[0], item_id=click[1], ts=click[2])
            self.sent.append(click)


def _another(registry: ModelRegistry, folder: Path, version: str, factor: float) -> None:
    """A version with other weights."""
    parts = load_parts(registry.fetch(VERSION, folder / "base"))
    for weight in parts.network.trainable_variables:
        weight.assign(weight * factor)
    export(replace(parts, index=replace(parts.index, bias=parts.index.bias + factor)), folder / version, version)
    registry.publish(folder / version, version)


def test_versions_change_while_events_flow(kafka: LocalKafka, redis_url: str, tmp_path: Path, nursery: Nursery) -> None:
    use_threads(1)
    registry = ModelRegistry(catalogue_model(tmp_path / "models", ITEMS))
    for version, factor in (("second", 0.5), ("third", 1.5)):
        _another(registry, tmp_path, version, factor)
    settings = member_settings(
        kafka.bootstrap, redis_url.removesuffix("0") + "3", registry.url, unique("versions"), tmp_path,
        partitions=2, models={"poll_s": 0.1},
    )  # fmt: skip
    make_topics(settings)
    service, member = Neighbour(settings), Member(settings, tmp_path / "worker.log", nursery)
    with member, redis.Redis.from_url(settings.redis.url.get_secret_value()) as client:
        member.wait_ready()
        with Load(service) as load:
            wait_for("events to flow", lambda: len(load.sent) > 2 * USERS or None)
            for number in range(SWAPS):
                wanted = VERSIONS[(number + 1) % 3]
                registry.promote(wanted)
                wait_for(f"{wanted} in use", lambda name=wanted: _announced(client) == name or None)
            _try_a_broken_one(registry, tmp_path, member)
            before = len(load.sent)
            wait_for("events after all that", lambda: len(load.sent) > before + 2 * USERS or None)
        service.flush()
        service.until_committed()
        scrape = member.wait("everything applied", lambda _: True, 10)
        models = {name: load_model(registry.fetch(name, tmp_path / "check" / name)) for name in VERSIONS}
        _every_user_is_right(client, models, load.sent)
    service.close()
    assert scrape.total("interest_events_total", kind="click", outcome="applied") == len(load.sent)
    assert scrape.total("interest_model_swaps_total") == SWAPS


def _announced(client: "redis.Redis[bytes]") -> str:
    return (client.hget(model_key(1), "version") or b"").decode()


def _every_user_is_right(client: "redis.Redis[bytes]", models: dict[str, InterestModel], sent: list[Click]) -> None:
    """Each vector is that of the state after all clicks, read out with the version that stands beside it."""
    any_model = models[VERSION]
    arena, number = Arena(USERS), np.arange(len(sent))
    batch = EventBatch(
        [user.encode() for user, _, _ in sent],
        np.full(len(sent), Kind.CLICK, np.int8),
        number,
        np.array([ts_ms for _, _, ts_ms in sent], np.int64),
        (number + 1).astype(np.uint64),
        hash_ids([item for _, item, _ in sent]).hash,
        np.zeros(len(sent), np.float32),
        np.zeros(len(sent), np.uint8),
        [""] * len(sent),
    )
    rows = arena.rows_of(batch.keys)
    advance(arena, rows, batch, any_model.writes, any_model.decays)
    for user in range(USERS):
        found = client.hgetall(f"interest:{{u{user}}}")
        row = np.array([arena.row(b"u%d" % user)])
        assert int(found[b"version"]) == arena.records["version"][row[0]]
        expected = Outputs.of(models[found[b"model"].decode()].readout.large(features(arena.records, row)))
        for name in ("vector", "behaviour", "content"):
            np.testing.assert_allclose(
                np.frombuffer(found[name.encode()], "<f4"), getattr(expected, name)[0], atol=1e-4
            )


def _try_a_broken_one(registry: ModelRegistry, folder: Path, member: Member) -> None:
    parts = load_parts(registry.fetch(VERSION, folder / "base"))
    index = replace(parts.index, vectors=np.full_like(parts.index.vectors, np.nan))
    export(replace(parts, index=index), folder / "broken", "broken")
    registry.publish(folder / "broken", "broken")
    registry.promote("broken")
    wait_for(
        "the broken one to be refused",
        lambda: _refused(member) or None,
    )


def _refused(member: Member) -> float:
    scrape = member.scrape()
    return scrape.total("interest_model_refused_total", reason="not_finite") if scrape else 0
