"""The vector set of items on a real Redis that has those, and what a server without them says."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from model_store.state.layout import DIM
from stream_app.catalog.sinks import ItemHashes, Places
from stream_app.client import AsyncInterestReader, Interest, InterestReader, NoItemVectorsError
from stream_app.contracts.knowledge import Knowledge, deleted
from stream_app.contracts.redis_layout import bound_key, vectors_key
from stream_app.generations.in_redis import forget
from stream_app.local import LocalValkey
from stream_app.settings import Redis as RedisSettings
from stream_app.settings import Settings
from tests.contract.conftest import ClusterValkey, impatient
from tests.contract.test_redis import ODD_IDS
from tests.failure.service import wait_for

DEPLOY = Path(__file__).parents[2] / "deploy"
IDS = [*ODD_IDS, *(f"i{number}" for number in range(1_500))]


@pytest.fixture
def server(redis_8: Path, tmp_path: Path) -> Iterator[LocalValkey]:
    with LocalValkey(tmp_path / "redis_8", binary=redis_8) as one:
        yield one


class Shop:
    """Items in Redis, and the same in arrays."""

    def __init__(self, settings: RedisSettings, generation: int = 1, seed: int = 7) -> None:
        self.hashes = ItemHashes(Settings(redis=settings).of_generation(generation))
        self.generation, self.rng = generation, np.random.default_rng(seed)
        self.truth: dict[str, tuple[np.ndarray, float]] = {}

    def place(self, ids: list[str], length: float = 1.0, bias: float | None = None) -> None:
        vectors = (self.rng.normal(size=(len(ids), DIM)) * length / DIM**0.5).astype(np.float32)
        biases = self.rng.normal(size=len(ids)).astype(np.float32) if bias is None else np.full(len(ids), bias, "<f4")
        self.hashes.write([Knowledge(item, 1, title="T") for item in ids])
        self.hashes.place(Places("v", ids, vectors, biases))
        self.truth |= {item: (vectors[row], float(biases[row])) for row, item in enumerate(ids)}

    def user(self) -> Interest:
        vector = self.rng.normal(size=DIM).astype(np.float32)
        return Interest("u", vector, vector, vector, vector, {}, {}, 1, self.generation, 1, 0, 0, "v")

    def best(self, user: Interest, count: int) -> dict[str, float]:
        scores = {item: float(user.vector @ vector + bias) for item, (vector, bias) in self.truth.items()}
        return dict(sorted(scores.items(), key=lambda pair: -pair[1])[:count])

    def assert_found(self, reader: InterestReader, count: int = 20) -> None:
        """The first twenty in their order; further down some are as good as alike in float32."""
        user = self.user()
        found, best = reader.similar_items(user, count, exact=True), self.best(user, count)
        assert list(found)[:20] == list(best)[:20]
        assert found.keys() == best.keys()
        assert list(found.values()) == sorted(found.values(), reverse=True)
        np.testing.assert_allclose(list(found.values()), [best[item] for item in found], atol=1e-3)


@pytest.fixture
def shop_of() -> Iterator[Callable[..., Shop]]:
    """Shops that are closed in the end."""
    with ExitStack() as stack:

        def made(*args: Any, **named: Any) -> Shop:
            shop = Shop(*args, **named)
            stack.enter_context(closing(shop.hashes))
            return shop

        yield made


@pytest.mark.parametrize("generation", [1, 2])
def test_the_best_items_are_found_after_a_fill_an_edit_and_a_deletion(
    shop_of: Callable[..., Shop], server: LocalValkey, generation: int
) -> None:
    shop = shop_of(impatient(server.url), generation)
    with InterestReader(server.url) as reader, redis.Redis.from_url(server.url) as client:
        shop.place(IDS)
        shop.assert_found(reader, len(IDS))
        shop.place(IDS[:40])
        shop.assert_found(reader, len(IDS))
        shop.hashes.write([deleted(item, 2) for item in IDS[:3]])
        shop.place(IDS[3:5], bias=-np.inf)
        for item in IDS[:5]:
            del shop.truth[item]
        shop.assert_found(reader, len(IDS))
        assert client.execute_command("VCARD", vectors_key(generation)) == len(shop.truth)
        user = shop.user()
        assert reader.similar_items("nobody") == {}

        async def ask() -> dict[str, float]:
            async with AsyncInterestReader(server.url) as other:
                return await other.similar_items(user)

        assert asyncio.run(ask()) == reader.similar_items(user)


def test_a_search_that_may_miss_items_misses_few(shop_of: Callable[..., Shop], server: LocalValkey) -> None:
    shop = shop_of(impatient(server.url))
    shop.place(IDS)
    with InterestReader(server.url) as reader:
        users = [shop.user() for _ in range(50)]
        hits = [len(reader.similar_items(user).keys() & shop.best(user, 20).keys()) for user in users]
    assert np.mean(hits) >= 0.97 * 20


def test_an_item_that_is_too_long_has_the_set_built_anew(shop_of: Callable[..., Shop], server: LocalValkey) -> None:
    shop = shop_of(impatient(server.url))
    with InterestReader(server.url) as reader, redis.Redis.from_url(server.url) as client:
        shop.place(IDS)
        before = float(client.get(bound_key()) or 0)
        shop.place(["giant", IDS[0]], length=10 * before)
        assert float(client.get(bound_key()) or 0) > 10 * before
        shop.assert_found(reader, len(shop.truth))
        assert client.ttl(vectors_key()) == -1
        assert client.keys("item:building:*") == []


def test_what_another_process_puts_and_removes_while_the_set_is_built_is_in_it(
    shop_of: Callable[..., Shop], server: LocalValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, other = shop_of(impatient(server.url)), shop_of(impatient(server.url), seed=8)
    shop.place(IDS)
    swap = shop.hashes._vectors._swap

    def meanwhile(*args: object, **named: object) -> object:
        if not other.truth:
            other.place(["new", IDS[7]])
            other.hashes.write([deleted(IDS[8], 2)])
        return swap(*args, **named)

    monkeypatch.setattr(shop.hashes._vectors, "_swap", meanwhile)
    shop.place(["giant"], length=1e3)
    shop.truth |= other.truth
    del shop.truth[IDS[8]]
    with InterestReader(server.url) as reader:
        shop.assert_found(reader, len(shop.truth))


def test_two_that_build_at_once_leave_one_set_under_one_bound(
    shop_of: Callable[..., Shop], server: LocalValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, other = shop_of(impatient(server.url)), shop_of(impatient(server.url), seed=8)
    shop.place(IDS)
    swap = shop.hashes._vectors._swap

    def too_late(*args: object, **named: object) -> object:
        if not other.truth:
            other.place(["larger"], length=1e3)
        return swap(*args, **named)

    monkeypatch.setattr(shop.hashes._vectors, "_swap", too_late)
    shop.place(["large"], length=1e2)
    shop.truth |= other.truth
    with InterestReader(server.url) as reader, redis.Redis.from_url(server.url) as client:
        shop.assert_found(reader, len(shop.truth))
        assert client.keys("item:building:*") == []


def test_a_generation_that_is_dropped_takes_its_set_along(shop_of: Callable[..., Shop], server: LocalValkey) -> None:
    with redis.Redis.from_url(server.url) as client:
        for generation in (1, 2):
            shop_of(impatient(server.url), generation).place(IDS[:3])
        assert forget(client, 2) == 5  # three hashes, the set and its bound
        assert set(client.keys("item:*vectors*")) == {vectors_key(), bound_key()}
        assert forget(client, 1) == 2
        with InterestReader(server.url) as reader, pytest.raises(NoItemVectorsError, match="interest catalog"):
            reader.similar_items(shop_of(impatient(server.url)).user())


def test_a_cluster_has_the_set_on_one_node(shop_of: Callable[..., Shop], redis_8: Path, tmp_path: Path) -> None:
    with ClusterValkey(tmp_path / "cluster", binary=redis_8) as server:
        server.own_all_slots()
        with redis.Redis.from_url(server.url) as client:
            wait_for("the cluster", lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok" or None)
        shop = shop_of(impatient(server.url, cluster=True), 2)
        shop.place(IDS[:50])
        shop.place(["giant"], length=1e3)
        with InterestReader(server.url, cluster=True) as reader:
            shop.assert_found(reader, 51)


def users_of(file: str) -> str:
    """An access list whose passwords are `x`."""
    return re.sub(r">\S+", ">x", (DEPLOY / file).read_text())


@pytest.mark.parametrize("file", ["redis-users.acl", "redis-8-users.acl"])
def test_the_rights_of_the_access_list_are_enough(
    shop_of: Callable[..., Shop], redis_8: Path, tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalValkey(tmp_path / "server", binary=redis_8) as server, redis.Redis.from_url(server.url) as client:
        for line in users_of(file).splitlines()[1:]:
            client.execute_command("ACL SETUSER", *line.split()[1:])
        shop = shop_of(impatient(server.url, username="interest", password="x"))
        shop.place(IDS[:10])
        shop.place(["giant"], length=1e3)
        shop.hashes.write([deleted(IDS[0], 2)])
        del shop.truth[IDS[0]]
        assert client.hget("item:{giant}", "model") == b"v"
        if file == "redis-8-users.acl":
            with InterestReader(server.url, username="interest-reader", password="x") as reader:
                shop.assert_found(reader, 10)
        else:
            assert capsys.readouterr().out.count("redis-8-users.acl") == 1
            assert client.exists(vectors_key()) == 0


def test_the_two_access_lists_differ_by_the_vector_sets_alone() -> None:
    plain, with_sets = (
        [line.split() for line in users_of(file).splitlines()] for file in ("redis-users.acl", "redis-8-users.acl")
    )
    assert [line[: len(before)] for line, before in zip(with_sets, plain, strict=True)] == plain
    more = {right for line, before in zip(with_sets, plain, strict=True) for right in line[len(before) :]}
    # The reader has no command that writes; Redis asks for the right to write all the same where VSIM has its key.
    keys = {"~item:vectors", "~item:g*:vectors"}
    assert more == {"+vadd", "+vrem", "+vrandmember", "+rename", "+persist", "+vsim"} | keys


def test_where_the_server_has_no_vector_sets_there_is_nothing_new(
    shop_of: Callable[..., Shop], redis_url: str, redis_settings: RedisSettings
) -> None:
    shop = shop_of(redis_settings, generation=5)
    shop.place(IDS[:3])
    shop.hashes.write([deleted(IDS[0], 2)])
    with redis.Redis.from_url(redis_url) as client, InterestReader(redis_url) as reader:
        if client.execute_command("COMMAND INFO", "VADD")[0] is not None:
            pytest.skip("this server has vector sets")
        assert client.keys("item:*vectors*") == []
        with pytest.raises(NoItemVectorsError, match="a Redis of 8"):
            reader.similar_items(shop.user())
