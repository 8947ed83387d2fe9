"""The catalogue service beside a real Kafka and Redis: what becomes of items, and what a crash or an outage costs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis

from model_store.catalog.encoders.hashing import HashingEncoder
from model_store.items import load_items
from model_store.registry import ModelRegistry
from stream_app.client import InterestReader
from stream_app.contracts.knowledge import unpacked
from stream_app.local import LocalKafka
from tests.bench.ground import unique
from tests.bench.model import VERSION, catalogue_model
from tests.failure.catalogue import Encoder, World
from tests.failure.crew import make_topics, member_settings
from tests.failure.found import read_topic
from tests.failure.service import wait_for

pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")


@pytest.fixture
def world(kafka: LocalKafka, redis_url: str, tmp_path: Path) -> World:
    settings = member_settings(
        kafka.bootstrap, redis_url.removesuffix("0") + "4", str(tmp_path / "models"), unique("catalog"), tmp_path,
        partitions=2,
    )  # fmt: skip
    make_topics(settings)
    return World(settings, Encoder())


def test_an_item_becomes_knowledge_and_an_item_in_redis(world: World) -> None:
    world.say("i7", tags=["war", "unheard of"], creator_id="c", published_at=5, description="A long march.")
    world.work_off()
    known = world.knowledge()["i7"]
    assert (known.title, known.creator_id, known.published_at) == ("I7", "c", 5)
    assert (known.topics, known.source, known.origin) == ({"War": 1.0}, "tags", "")
    expected = HashingEncoder(64).encode(["I7. war, unheard of. A long march."])[0]
    np.testing.assert_allclose(unpacked(known.vector), expected, atol=1e-3)
    found = world.in_redis("i7")
    assert (found[b"title"], json.loads(found[b"topics"])) == (b"I7", {"War": 1.0})
    np.testing.assert_allclose(np.frombuffer(found[b"content"], "<f4"), expected, atol=1e-3)
    assert world.count("described") == 1


def test_what_was_found_out_before_costs_nothing_and_an_edit_keeps_what_states_summed(world: World) -> None:
    world.say("a")
    world.say("b")
    world.work_off()
    first = world.knowledge()["a"].vector
    world.say("a", description="Now with more words.")
    world.say("b", creator_id="somebody")
    world.say("b", creator_id="somebody")
    world.work_off()
    assert sorted(world.described) == ["A", "A. Now with more words.", "B"]
    known = world.knowledge()
    assert known["a"].origin == first != known["a"].vector
    assert known["b"].creator_id == "somebody"
    assert known["b"].origin == ""
    world.say("a")
    world.work_off()
    assert (world.knowledge()["a"].vector, world.knowledge()["a"].origin) == (first, "")
    # Another encoder: everything anew, and what states summed by the old one says nothing to the new.
    world.encoder.name = "other"
    for item in "ab":
        world.say(item)
    world.work_off()
    assert {one.encoder for one in world.knowledge().values()} == {"other"}
    assert world.knowledge()["a"].origin == ""


def test_a_deleted_item_goes_everywhere_and_may_come_back(world: World) -> None:
    for item in ("gone", "withdrawn"):
        world.say(item)
    world.work_off()
    assert world.in_redis("gone")
    world.say("gone", deleted=True)
    world.say_raw(b"withdrawn", None)
    world.say("never described", deleted=True)
    world.work_off()
    known = world.knowledge()
    assert all(known[item].deleted for item in ("gone", "withdrawn", "never described"))
    assert not world.in_redis("gone")
    assert not world.in_redis("withdrawn")
    world.say("gone")
    world.work_off()
    assert not world.knowledge()["gone"].deleted
    assert world.in_redis("gone")[b"title"] == b"Gone"


def test_what_is_no_item_is_dead_lettered_and_the_stream_goes_on(world: World) -> None:
    world.say_raw(b"a", b"garbage")
    world.say_raw(b"a", b'{"item_id": "b", "title": "B"}')
    world.say("untitled", title=" ")
    world.say("fine")
    world.work_off()
    letters = read_topic(world.settings.kafka.bootstrap, world.settings.kafka.topics.dead_letters)
    reasons = sorted(dict(letter.headers() or [])["reason"] for letter in letters)
    assert reasons == [b"key_mismatch", b"missing_field", b"not_json"]
    assert set(world.knowledge()) == {"fine"}
    assert world.count("dead_lettered") == 3


def test_a_text_that_the_encoder_refuses_is_known_without_a_vector(world: World) -> None:
    world.say("fine")
    world.say("unspeakable", tags=["Drama"])
    world.work_off()
    known = world.knowledge()
    assert known["unspeakable"].vector == ""
    assert known["unspeakable"].topics == {"Drama": 1.0}
    assert known["fine"].vector
    assert world.in_redis("unspeakable")[b"content"] == b""


def test_an_encoder_that_is_away_is_waited_for(world: World) -> None:
    world.say("a")
    world.encoder.away = 3  # first when the topics of the taxonomy are encoded
    world.work_off()
    assert set(world.knowledge()) == {"a"}
    assert world.metrics.retries.labels("encoder")._value.get() == 3
    assert not world.metrics.waits


def test_killed_between_publishing_and_committing_it_encodes_nothing_of_that_again(world: World) -> None:
    for number in range(20):
        world.say(f"i{number}")

    def die(_offsets: object) -> None:
        raise KeyboardInterrupt

    with world.service() as catalog:
        catalog._feed.commit = die  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            catalog.run(once=True)
    told, encoded = {one.title for one in world.knowledge().values()}, len(world.described)
    assert len(told) >= 2  # the batch that was under way, in whole
    world.work_off()
    assert len(world.knowledge()) == 20
    assert sorted(world.described[encoded:]) == sorted({f"I{number}" for number in range(20)} - told)


def test_redis_away_holds_items_up_and_loses_none(world: World) -> None:
    world.say("held up")
    lost = world.settings.redis.model_copy(update={"url": type(world.settings.redis.url)("redis://127.0.0.1:1/0")})
    away = replace(world, settings=world.settings.model_copy(update={"redis": lost}))
    with away.running():
        wait_for("it to wait for Redis", lambda: away.metrics.waits == {"redis"} or None)
        assert not [check for check in away.metrics._ready() if check.name == "waits" and check.passed]
    assert not world.in_redis("held up")
    world.work_off()  # its offset was not committed
    assert world.in_redis("held up")[b"title"] == b"Held Up"
    assert world.encoder.texts.count("Held Up") == 1


def test_items_are_placed_where_the_served_model_has_them(world: World, tmp_path: Path) -> None:
    url = catalogue_model(tmp_path / "models", 3)
    assert url == world.settings.models.url
    for item in ("i1", "new"):
        world.say(item)
    world.work_off()
    index = load_items(ModelRegistry(url).fetch(VERSION, tmp_path / "check")).index
    with InterestReader(world.settings.redis.url.get_secret_value()) as reader:
        found = reader.items(["i1", "new", "nobody told of"])
        assert set(found) == {"i1", "new"}
        place = found["i1"].place
        assert place is not None
        np.testing.assert_array_equal(place.vector, index.vectors[1])
        assert (np.float32(place.bias), place.model) == (index.bias[1], VERSION)
        assert found["new"].place is not None
        world.say("i1", deleted=True)
        world.work_off()
        assert reader.item("i1") is None
    assert not world.in_redis("i1")
    assert world.metrics.placed._value.get() == 3  # the second process knew nothing of what the first one had placed


def test_redis_that_lost_everything_is_refilled(world: World) -> None:
    for item in ("a", "b"):
        world.say(item)
    world.work_off()
    with redis.Redis.from_url(world.settings.redis.url.get_secret_value()) as client:
        client.delete("item:{a}", "item:{b}")
    with world.service() as catalog:
        assert catalog.refill_redis() == 2
    assert world.in_redis("a")[b"title"] == b"A"
    assert world.in_redis("b")
