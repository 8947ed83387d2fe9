"""What `generations drop` takes out of real servers: all of one generation, nothing of the others, no item."""

from contextlib import closing

import numpy as np
import pytest
import redis

from model_store.state.layout import DIM
from stream_app.catalog.sinks import ItemHashes, Places
from stream_app.contracts.knowledge import Knowledge
from stream_app.contracts.redis_layout import interest_key, model_key, recommendation_key
from stream_app.generations.in_redis import forget
from stream_app.settings import Redis as RedisSettings
from stream_app.settings import Settings
from tests.contract.conftest import impatient
from tests.contract.test_redis import ODD_IDS

GENERATIONS = (1, 2, 12)
PLACE = {b"vector", b"bias", b"model"}


def fill(settings: RedisSettings, client: redis.Redis) -> None:
    vectors = np.ones((len(ODD_IDS), DIM), np.float32)
    for generation in GENERATIONS:
        with closing(ItemHashes(Settings(redis=settings).of_generation(generation))) as items:
            items.write([Knowledge(item, 1, title="T", topics={"War": 1.0}) for item in ODD_IDS])
            items.place(Places("v", ODD_IDS, vectors, vectors[:, 0]))
        for key in (model_key(generation), *(interest_key(user.encode(), generation) for user in ODD_IDS)):
            client.hset(key, "version", "1")
        for user in ODD_IDS:
            client.set(recommendation_key(user.encode(), generation), "{}")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_all_of_a_generation_goes_and_nothing_else(redis_url: str, generation: int) -> None:
    url = redis_url.removesuffix("0") + "11"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        fill(impatient(url), client)
        before = set(client.keys())
        of_it = {key for key in before if generation_of(key) == generation and not key.startswith(b"item:{")}
        assert len(of_it) == 1 + len(ODD_IDS) * (2 if generation == 1 else 3)
        assert forget(client, generation) == len(of_it)
        assert set(client.keys()) == before - of_it
        for key in [key for key in before if key.startswith(b"item:{")]:
            fields = set(client.hgetall(key))
            assert b"title" in fields
            assert fields & PLACE == (set() if generation == 1 else PLACE)
        client.flushdb()


def generation_of(key: bytes) -> int:
    """By what stands before the brace, or before `model`."""
    told = key.split(b"{")[0].removesuffix(b"model").split(b":")[1]
    return int(told.removeprefix(b"g")) if told else 1
