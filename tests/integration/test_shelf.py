"""A catalogue tells of items while a worker is at work: they are recommended, written and taken away again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Producer

from model_store.encoder.columns import Outputs
from model_store.encoder.runtime import use_threads
from model_store.model import InterestModel, export, load_model, load_parts
from model_store.registry import ModelRegistry
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.content import Projection
from model_store.state.features import features
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM, FACET_DIM, Kind
from stream_app.contracts.knowledge import Knowledge, deleted, encode
from stream_app.local import LocalKafka
from stream_app.settings import Settings
from stream_app.shelf import shelf_of
from tests.bench.ground import unique
from tests.bench.model import TOPICS, VERSION, catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, new_user, wait_for

pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

ITEMS = 30


def model_that_likes_the_first_topic(folder: Path) -> ModelRegistry:
    """An item of which only that topic is known is better than all that the model knows."""
    drafts, registry = ModelRegistry(catalogue_model(folder / "drafts", ITEMS)), ModelRegistry(str(folder / "models"))
    parts = load_parts(drafts.fetch(VERSION, folder / "base"))
    bias = 100 * np.eye(FACET_DIM, dtype=np.float32)[0]
    spread = np.random.default_rng(0).normal(size=(FACET_DIM, DIM)).astype(np.float32)
    writes = replace(parts.writes, projection=Projection(spread, bias, 0.1))
    index = replace(parts.index, projection=Projection(np.zeros_like(spread), bias))
    export(replace(parts, writes=writes, index=index), folder / "liking", "liking")
    registry.publish(folder / "liking", "liking")
    registry.promote("liking")
    return registry


class Catalogue:
    def __init__(self, settings: Settings) -> None:
        self._producer = Producer({"bootstrap.servers": settings.kafka.bootstrap, "log_level": 3})
        self._topic = settings.kafka.topics.knowledge

    def say(self, item: str, value: bytes | None) -> None:
        self._producer.produce(self._topic, value, item.encode())
        assert not self._producer.flush(30)

    def tell(self, item: str) -> None:
        self.say(item, encode(Knowledge(item, 1, title=item.title(), topics={TOPICS[0]: 1.0})))


def offered(service: Neighbour, item: str = "i1") -> list[str]:
    """What somebody new is recommended after a click."""
    user = new_user()
    service.send("click", user, item_id=item)
    service.events_of(user, 1)
    (found,) = wait_for("a recommendation", lambda: service.recommendations(user) or None)
    return [item["item_id"] for item in found["items"]]


def test_told_items_are_recommended_and_written_and_deleted_ones_are_not(
    kafka: LocalKafka, redis_url: str, tmp_path: Path, nursery: Nursery
) -> None:
    use_threads(1)
    registry = model_that_likes_the_first_topic(tmp_path)
    settings = member_settings(
        kafka.bootstrap, redis_url.removesuffix("0") + "3", registry.url, unique("shelf"), tmp_path,
        partitions=2, models={"poll_s": 0.1},
    )  # fmt: skip
    make_topics(settings)
    service, member, catalogue = (
        Neighbour(settings),
        Member(settings, tmp_path / "worker.log", nursery),
        Catalogue(settings),
    )
    catalogue.tell("early")
    with member:
        member.wait_ready()
        assert offered(service)[0] == "early"
        assert "late" not in offered(service, "late")

        catalogue.tell("late")
        wait_for("late to be offered", lambda: set(offered(service)[:2]) == {"early", "late"} or None)

        catalogue.say("early", b"garbage")
        catalogue.say("early", encode(deleted("early", 2)))
        wait_for("early to be gone", lambda: "early" not in offered(service) or None)
        scrape = member.wait("one item left", lambda scrape: scrape.total("interest_catalogue_items") == 1, 10)
        assert scrape.total("interest_knowledge_unused_total", reason="unreadable") == 1

        user = new_user()
        event = service.send("click", user, item_id="late")
        found = service.events_of(user, 1)
        expected = vector_after(load_model(registry.fetch("liking", tmp_path / "check")), "late", event["ts"])
        np.testing.assert_allclose(found.vector, expected, atol=1e-4)
    service.close()


def vector_after(model: InterestModel, item: str, ts_ms: int) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    """Of a user who clicked that item alone, which the catalogue told of."""
    shelf = shelf_of(model)
    shelf.take(item.encode(), encode(Knowledge(item, 1, topics={TOPICS[0]: 1.0})))
    arena = Arena(1)
    batch = EventBatch(
        [b"u"], np.array([Kind.CLICK], np.int8), np.array([0]), np.array([ts_ms]), np.array([1], np.uint64),
        hash_ids([item]).hash, np.zeros(1, np.float32), np.zeros(1, np.uint8), [""],
    )  # fmt: skip
    rows = arena.rows_of(batch.keys)
    advance(arena, rows, batch, shelf.put_into(model).writes, model.decays)
    found = Outputs.of(model.readout.large(features(arena.records, rows))).vector[0]
    unlike = Arena(1)
    advance(unlike, unlike.rows_of(batch.keys), batch, model.writes, model.decays)
    assert np.abs(found - Outputs.of(model.readout.large(features(unlike.records, rows))).vector[0]).max() > 0.1
    return found
