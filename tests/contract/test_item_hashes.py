"""The Redis contract of items on real servers: what `ItemHashes` writes is what `InterestReader` reads."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
import pytest
import redis

from model_store.state.layout import DIM
from stream_app.catalog.sinks import ItemHashes, Places
from stream_app.client import AsyncInterestReader, InterestReader, ItemKnowledge, LayoutError
from stream_app.contracts.knowledge import Knowledge, deleted, packed
from stream_app.contracts.redis_layout import item_key
from stream_app.settings import Redis as RedisSettings
from stream_app.settings import Settings
from tests.contract.conftest import ClusterValkey, impatient
from tests.contract.test_redis import ODD_IDS
from tests.failure.service import wait_for

CONTENT = np.array([0.5, -0.25, 0.125], np.float32)  # as they are in float16


@contextmanager
def hashes(settings: RedisSettings, generation: int = 1) -> Iterator[ItemHashes]:
    with closing(ItemHashes(Settings(redis=settings).of_generation(generation))) as items:
        yield items


def knowledge(item: str) -> Knowledge:
    return Knowledge(
        item, 17, f"Title of {item}", "hash", "hashing:3", "maker", 5, packed(CONTENT),
        topics={"War": 0.75, "Sea": 0.25}, audience="whoever reads", mood="calm", source="tags",
    )  # fmt: skip


def assert_read_back(found: ItemKnowledge | None, item: str) -> None:
    assert found is not None
    assert (found.item_id, found.title, found.creator_id) == (item, f"Title of {item}", "maker")
    assert list(found.topics.items()) == [("War", 0.75), ("Sea", 0.25)]
    assert (found.audience, found.mood, found.published_at_ms) == ("whoever reads", "calm", 5)
    assert (found.encoder, found.updated_at_ms) == ("hashing:3", 17)
    np.testing.assert_array_equal(found.content, CONTENT)


def test_what_is_written_is_read_back_for_odd_ids_too_until_it_is_deleted(
    redis_settings: RedisSettings, redis_url: str
) -> None:
    with hashes(redis_settings) as writer:
        writer.write([knowledge(item) for item in ODD_IDS])
        with InterestReader(redis_url) as reader:
            found = reader.items([*ODD_IDS, "nobody knows", ODD_IDS[0]])
            assert list(found) == ODD_IDS
            for item in ODD_IDS:
                assert_read_back(found[item], item)
                assert found[item].place is None
            writer.write([deleted(item, 18) for item in ODD_IDS])
            assert reader.items(ODD_IDS) == reader.items([]) == {}
            assert reader.item(ODD_IDS[0]) is None


@pytest.mark.parametrize("generation", [1, 2])
def test_each_generation_has_its_place_for_an_item(
    redis_settings: RedisSettings, redis_url: str, generation: int
) -> None:
    ids = ["placed", "also"]
    with hashes(redis_settings, generation) as items:
        vectors = np.random.default_rng(generation).normal(size=(2, DIM)).astype(np.float32)
        items.write([knowledge(item) for item in ids])
        items.place(Places("v7", ids, vectors, np.array([0.1, -np.inf], np.float32)))

        async def read() -> ItemKnowledge | None:
            async with AsyncInterestReader(redis_url, generation=generation) as reader:
                return await reader.item("also")

        with (
            InterestReader(redis_url, generation=generation) as reader,
            InterestReader(redis_url, generation=9) as other,
        ):
            found = reader.item("placed")
            assert_read_back(found, "placed")
            assert found is not None
            assert found.place is not None
            np.testing.assert_array_equal(found.place.vector, vectors[0])
            assert np.float32(found.place.bias) == np.float32(0.1)
            assert found.place.model == "v7"
            also = asyncio.run(read())
            assert also is not None
            assert also.place is not None
            assert also.place.bias == -np.inf
            assert_read_back(other.item("placed"), "placed")
            elsewhere = other.item("placed")
            assert elsewhere is not None
            assert elsewhere.place is None
        items.write([deleted(item, 18) for item in ids])
        with redis.Redis.from_url(redis_url) as client:
            assert client.keys("item:*{placed}") == client.keys("item:*{also}") == []


def test_what_no_catalogue_wrote_is_said_to_be_so(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client, InterestReader(redis_url) as reader:
        for fields in ({"title": "alone"}, {"title": b"\xff", "topics": "{}"}):
            client.delete(item_key(b"strange"))
            client.hset(item_key(b"strange"), mapping=fields)
            with pytest.raises(LayoutError, match=r"item:\{strange\}"):
                reader.item("strange")
        client.delete(item_key(b"strange"))


def test_a_cluster_takes_every_item_whatever_the_id(cluster: ClusterValkey) -> None:
    with redis.Redis.from_url(cluster.url) as client:
        wait_for("the cluster", lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok" or None)
    with hashes(impatient(cluster.url, cluster=True), 2) as writer:
        writer.write([knowledge(item) for item in ODD_IDS])
        vectors = np.ones((len(ODD_IDS), DIM), np.float32)
        writer.place(Places("v", ODD_IDS, vectors, vectors[:, 0]))
    with InterestReader(cluster.url, cluster=True, generation=2) as reader:
        found = reader.items(ODD_IDS)
    for item in ODD_IDS:
        assert_read_back(found[item], item)
        assert found[item].place is not None
