"""What both Python readers promise beside what `tests/conformance` asks: matrices, patience, and answers kept."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from model_store.state.layout import DIM
from stream_app.client import InterestReader, LayoutError
from stream_app.contracts import recommendations as wire
from stream_app.contracts.redis_layout import FACETS, ModelCard, interest_key
from stream_app.local import LocalValkey
from stream_app.settings import Redis as RedisSettings
from stream_app.sinks.redis import RedisSink
from tests.conformance.drivers import PYTHON
from tests.contract.conftest import impatient
from tests.contract.test_item_vectors import users_of
from tests.contract.test_redis import ODD_IDS, recommendation, run, write
from tests.failure.service import wait_for
from tests.views import TOPICS, random_views

Reader = Callable[..., Any]


@pytest.fixture(params=PYTHON)
def reader_of(request: pytest.FixtureRequest) -> Reader:
    """`InterestReader`, and the asyncio one in a loop of its own."""
    return PYTHON[request.param]


@pytest.fixture
def server_8(redis_8: Path, tmp_path: Path) -> Iterator[LocalValkey]:
    with LocalValkey(tmp_path / "redis_8", binary=redis_8) as one:
        yield one


def hash_reads(client: redis.Redis) -> int:
    """How often hashes were asked for."""
    return sum(
        client.info("commandstats").get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("hmget", "hgetall")
    )


# -- many users as a matrix


@pytest.mark.parametrize("facet", FACETS)
def test_rows_of_a_matrix_are_the_users_vectors_in_their_order(
    reader_of: Reader, redis_settings: RedisSettings, redis_url: str, facet: Any
) -> None:
    views = random_views(ODD_IDS, version=3, event_ts_ms=np.arange(len(ODD_IDS)) + 5)
    write(redis_settings, views)
    asked = [ODD_IDS[2], "nobody", ODD_IDS[0], ODD_IDS[2], *ODD_IDS]
    rows = [ODD_IDS.index(user) if user in ODD_IDS else -1 for user in asked]
    start = FACETS.index(facet) * DIM
    with reader_of(redis_url) as reader:
        found = reader.vectors(asked, facet)
    expected = np.where(np.array(rows)[:, None] >= 0, views.outputs[rows, start : start + DIM], 0)
    np.testing.assert_array_equal(found.matrix, expected)
    assert (found.matrix.dtype, found.user_ids, len(found)) == (np.float32, tuple(asked), len(asked))
    assert found.found.tolist() == [row >= 0 for row in rows]
    assert found.event_ts_ms.tolist() == [row + 5 if row >= 0 else 0 for row in rows]
    assert found.generation == 1


def test_a_matrix_of_nobody_has_the_right_shape(reader_of: Reader, redis_url: str) -> None:
    with reader_of(redis_url) as reader:
        assert reader.vectors([]).matrix.shape == (0, DIM)
        assert reader.vectors(["nobody"]).matrix.shape == (1, DIM)
        assert not reader.vectors(["nobody"]).found.any()


@pytest.mark.parametrize("changes", [{"vector": b"1234"}, {"vector": b"123"}, {"event_ts": b"soon"}])
def test_a_row_that_no_worker_wrote_names_its_key(
    reader_of: Reader, redis_settings: RedisSettings, redis_url: str, changes: dict[str, bytes]
) -> None:
    write(redis_settings, random_views(["whole", "hurt"]))
    with redis.Redis.from_url(redis_url) as client, reader_of(redis_url) as reader:
        client.hset(interest_key(b"hurt"), mapping=changes)
        with pytest.raises(LayoutError, match=r"interest:\{hurt\}"):
            reader.vectors(["whole", "hurt"])
        client.delete(interest_key(b"hurt"))


def test_many_are_asked_for_in_one_round_trip(reader_of: Reader, own_server: LocalValkey) -> None:
    """A client that waits for each answer has Redis read from its socket once for each."""
    users = [f"u{number}" for number in range(50)]
    write(impatient(own_server.url), random_views(users))
    with redis.Redis.from_url(own_server.url) as client, reader_of(own_server.url, generation=1) as reader:
        for method in (reader.get_many, reader.vectors):
            method(users)
            before = client.info("stats")["total_reads_processed"]
            method(users)
            # One is the question itself.
            assert client.info("stats")["total_reads_processed"] - before <= 3


# -- patience


def test_what_has_timed_out_is_not_asked_again(reader_of: Reader, own_server: LocalValkey) -> None:
    with redis.Redis.from_url(own_server.url) as client, reader_of(own_server.url, socket_timeout=0.2) as reader:
        assert reader.get("u") is None
        before = client.info("stats")["total_connections_received"]
        own_server.pause()
        with pytest.raises(redis.TimeoutError):
            reader.get("u")
        own_server.resume()
        assert reader.get("u") is None
        assert client.info("stats")["total_connections_received"] - before == 1


def test_a_lost_connection_is_made_anew(reader_of: Reader, own_server: LocalValkey) -> None:
    with redis.Redis.from_url(own_server.url) as client, reader_of(own_server.url) as reader:
        assert reader.get("u") is None
        client.client_kill_filter(_type="normal", skipme=True)
        assert reader.get("u") is None
    own_server.kill()
    with reader_of(own_server.url) as reader, pytest.raises(redis.ConnectionError):
        reader.get("u")


# -- answers kept in the process


def test_what_is_kept_is_not_asked_for_until_it_changes(server_8: LocalValkey) -> None:
    settings = impatient(server_8.url)
    old = random_views(["kept"], recommendations={0: wire.encode(recommendation("kept"))})
    new = random_views(["kept"], version=2, seed=1, recommendations={0: wire.encode(recommendation("kept", 2))})
    card = ModelCard("model-7", TOPICS, generation=1)

    async def fill(sink: RedisSink) -> None:
        await sink.announce(card, 1)
        await sink.write(old)

    run(settings, fill)
    with redis.Redis.from_url(server_8.url) as client, InterestReader(server_8.url, cache=100) as reader:
        before = hash_reads(client)
        for _ in range(3):
            assert reader.get("kept").version == 1
            assert reader.get("stranger") is None
            assert reader.recommendations("kept") == recommendation("kept")
            assert reader.model() == card
        assert hash_reads(client) - before == 3
        write(settings, new)
        wait_for("the new version", lambda: reader.get("kept").version == 2 or None)
        wait_for("its list", lambda: reader.recommendations("kept") == recommendation("kept", 2) or None)
        write(settings, random_views(["kept"], version=3, erased=np.array([True])))
        wait_for("the erasure", lambda: reader.get("kept") is None or None)
        assert reader.recommendations("kept") is None


def test_nothing_is_kept_of_a_lost_connection(server_8: LocalValkey) -> None:
    write(impatient(server_8.url), random_views(["kept"]))
    with InterestReader(server_8.url, cache=100, generation=1) as reader:
        assert reader.get("kept") is not None
        server_8.kill()
        with pytest.raises(redis.ConnectionError):
            reader.get("kept")
        server_8.restart()
        assert reader.get("kept") is None


def test_no_more_is_kept_than_was_said(server_8: LocalValkey) -> None:
    users = [f"u{number}" for number in range(20)]
    write(impatient(server_8.url), random_views(users))
    with redis.Redis.from_url(server_8.url) as client, InterestReader(server_8.url, cache=5, generation=1) as reader:
        for user in users:
            reader.get(user)
        before = hash_reads(client)
        for user in users[-5:]:
            reader.get(user)
        assert hash_reads(client) == before
        reader.get(users[0])
        assert hash_reads(client) == before + 1


def test_a_server_with_which_nothing_may_be_kept_says_so(redis_url: str) -> None:
    """Valkey, and Debian's Redis, which is older: redis-py refuses them."""
    with InterestReader(redis_url, cache=100) as reader, pytest.raises(redis.ConnectionError, match=r"Redis 7\.4"):
        reader.get("u")


@pytest.mark.parametrize("file", ["redis-users.acl", "redis-8-users.acl"])
def test_readers_have_the_right_to_be_told_of_changes(server_8: LocalValkey, file: str) -> None:
    with redis.Redis.from_url(server_8.url) as client:
        for line in users_of(file).splitlines()[1:]:
            client.execute_command("ACL SETUSER", *line.split()[1:])
        rights = {"username": "interest-reader", "password": "x"}
        with InterestReader(server_8.url, cache=100, generation=1, **rights) as reader:
            for _ in range(3):
                assert reader.get("u") is None
        assert hash_reads(client) == 1
