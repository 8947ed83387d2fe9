"""The Redis contract on real servers: what `RedisSink` writes is what `InterestReader` reads, and never goes back."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
import redis

from model_store.state.layout import DIM
from stream_app.client import AsyncInterestReader, Interest, InterestReader, LayoutError
from stream_app.contracts import generations
from stream_app.contracts import recommendations as wire
from stream_app.contracts.errors import SinkStopped
from stream_app.contracts.generations import AT_FIRST, SERVING_KEY
from stream_app.contracts.recommendations import Item, Reason, Recommendation, Trigger
from stream_app.contracts.redis_layout import TOP_TOPICS, ModelCard, interest_key, model_key, recommendation_key
from stream_app.contracts.views import InterestViews
from stream_app.local import LocalValkey
from stream_app.settings import Redis as RedisSettings
from stream_app.sinks.interest_blob import pack
from stream_app.sinks.redis import RedisSink
from tests.contract.conftest import ClusterValkey, impatient
from tests.views import TOPICS, expected_windows, random_views

T = TypeVar("T")

ODD_IDS = [
    "plain",
    "{a}",
    "}",
    "}}{",
    "%7D",
    "%",
    "a}b",
    " two words ",
    "ключ 鍵 \U0001f511",
    "é" * 128,
    "x" * 256,
    "*?[a]",
    "model",
    "\u2028",
]


def run(settings: RedisSettings, use: Callable[[RedisSink], Awaitable[T]]) -> T:
    """Use an open sink in a loop of its own."""

    async def main() -> T:
        async with opened(settings) as sink:
            return await use(sink)

    return asyncio.run(main())


@asynccontextmanager
async def opened(settings: RedisSettings) -> AsyncIterator[RedisSink]:
    sink = RedisSink(settings)
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


def write(settings: RedisSettings, *many: InterestViews) -> list[int]:
    """Write views one after the other; how many users each wrote."""

    async def use(sink: RedisSink) -> list[int]:
        return [await sink.write(views) for views in many]

    return run(settings, use)


def recommendation(user: str, number: int = 1) -> Recommendation:
    return Recommendation(
        event_id=wire.recommendation_id(user, 0, number),
        user_id=user,
        generated_at=1_790_000_000_000,
        trigger=Trigger("click", "e1", 1_790_000_000_000),
        model_version="model-7",
        items=[Item("i1", 0.5, Reason("content", "Drama", "i0")), Item("i2", 0.25, Reason("social"))],
    )


def assert_read_back(found: Interest | None, views: InterestViews, user: int) -> None:
    assert found is not None
    facets = (found.vector, found.behaviour, found.social, found.content)
    np.testing.assert_array_equal(np.concatenate(facets), views.outputs[user, : 4 * DIM])
    assert found.user_id.encode() == views.keys[user]
    assert found.version == views.version[user]
    assert found.generation == views.generation
    assert found.events == views.events[user]
    assert found.event_ts_ms == views.event_ts_ms[user]
    assert found.updated_at_ms == views.updated_at_ms
    assert found.model == views.model_version
    assert round(sum(found.topics.values()), 9) == 1
    assert len(found.topics) <= TOP_TOPICS
    heaviest = views.topics[int(views.outputs[user, 4 * DIM :].argmax())]
    assert next(iter(found.topics)) == heaviest
    for name, counters in expected_windows(views.windows, user).items():
        mean = counters.pop("rating_mean")
        window = found.windows[name]
        assert {field: getattr(window, field) for field in counters} == counters
        assert window.rating_mean == (None if mean is None else pytest.approx(mean, abs=0.0005001))


def test_what_is_written_is_read_back_for_odd_ids_too(redis_settings: RedisSettings, redis_url: str) -> None:
    views = random_views(
        ODD_IDS, version=3, recommendations={i: wire.encode(recommendation(u)) for i, u in enumerate(ODD_IDS)}
    )
    assert write(redis_settings, views) == [len(ODD_IDS)]
    with InterestReader(redis_url) as reader:
        many = reader.get_many([*ODD_IDS, "nobody", ODD_IDS[0]])
        assert list(many) == ODD_IDS
        for i, user in enumerate(ODD_IDS):
            assert_read_back(reader.get(user), views, i)
            assert_read_back(many[user], views, i)
            assert reader.recommendations(user) == recommendation(user)
        assert reader.get("nobody") is None
        assert reader.recommendations("nobody") is None


def test_async_reader_reads_the_same(redis_settings: RedisSettings, redis_url: str) -> None:
    users = ["async-1", "async-2"]
    views = random_views(users, recommendations={1: wire.encode(recommendation("async-2"))})
    card = ModelCard("model-7", TOPICS)

    async def use(sink: RedisSink) -> None:
        await sink.write(views)
        await sink.announce(card, 1)
        async with AsyncInterestReader(redis_url) as reader:
            many = await reader.get_many(users)
            for i, user in enumerate(users):
                assert_read_back(await reader.get(user), views, i)
                assert_read_back(many[user], views, i)
            assert await reader.recommendations("async-2") == recommendation("async-2")
            assert await reader.recommendations("async-1") is None
            assert await reader.model() == card

    run(redis_settings, use)


def test_age_is_counted_from_the_last_event(redis_settings: RedisSettings, redis_url: str) -> None:
    write(redis_settings, random_views(["aged"], event_ts_ms=np.array([1_000])))
    with InterestReader(redis_url) as reader:
        found = reader.get("aged")
        assert found is not None
        assert found.age_s(3_500) == 2.5
        assert found.age_s() == pytest.approx(time.time() - 1, abs=60)


def test_older_version_loses_and_the_same_one_may_be_written_again(
    redis_settings: RedisSettings, redis_url: str
) -> None:
    users = ["guard-1", "guard-2"]
    recommended = {0: wire.encode(recommendation("guard-1", 2))}
    newer = random_views(users, version=8, seed=1, recommendations=recommended)
    older = random_views(users, version=7, seed=2, recommendations={0: wire.encode(recommendation("guard-1", 1))})
    assert write(redis_settings, newer, older, newer, older) == [2, 0, 2, 0]
    with InterestReader(redis_url) as reader:
        for i, user in enumerate(users):
            assert_read_back(reader.get(user), newer, i)
        assert reader.recommendations("guard-1") == recommendation("guard-1", 2)


def test_versions_are_compared_as_numbers(redis_settings: RedisSettings) -> None:
    at = [random_views(["numbers"], version=version) for version in (9, 10, 9, 2**53 - 1, 2**53 - 2)]
    assert write(redis_settings, *at) == [1, 1, 0, 1, 0]


def test_guard_is_kept_for_each_user_apart(redis_settings: RedisSettings, redis_url: str) -> None:
    users = [f"apart-{i}" for i in range(500)]
    first = random_views(users, version=5)
    versions = np.where(np.arange(500) % 3 == 0, 4, 6)
    mixed = replace(random_views(users, seed=9), version=versions)
    assert write(redis_settings, first, mixed) == [500, int((versions == 6).sum())]
    with InterestReader(redis_url) as reader:
        found = reader.get_many(users)
    for i, user in enumerate(users):
        assert_read_back(found[user], mixed if versions[i] == 6 else first, i)


def test_later_generation_wins_whatever_its_versions(redis_settings: RedisSettings, redis_url: str) -> None:
    old, new = random_views(["gen"], version=900), random_views(["gen"], version=2, seed=1, generation=1)
    late = random_views(["gen"], version=901)
    assert write(redis_settings, old, new, late, new) == [1, 1, 0, 1]
    with InterestReader(redis_url) as reader:
        assert_read_back(reader.get("gen"), new, 0)


def test_generations_have_keys_of_their_own_and_readers_follow_the_one_that_serves(
    own_server: LocalValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {
        generation: random_views(
            ["gen", "}odd"],
            version=9 - generation,
            seed=generation,
            generation=generation,
            recommendations={0: wire.encode(recommendation("gen", generation))},
        )
        for generation in (1, 2)
    }
    cards = {generation: ModelCard(f"model-{generation}", TOPICS, generation=generation) for generation in (1, 2)}

    async def use(sink: RedisSink) -> None:
        for generation in (2, 1):
            await sink.announce(cards[generation], 1)
            assert await sink.write(both[generation]) == 2
        assert sorted(await sink.users(2)) == sorted(await sink.users()) == [b"gen", b"}odd"]

    run(impatient(own_server.url), use)
    monkeypatch.setattr("stream_app.client.asking.LOOK_S", 0.0)
    with (
        redis.Redis.from_url(own_server.url) as client,
        InterestReader(own_server.url) as follows,
        InterestReader(own_server.url, generation=2) as stays,
    ):
        for serving in (AT_FIRST, AT_FIRST.then(2, 5), AT_FIRST.then(2, 5).then(1, 6)):
            if serving.since:
                client.set(SERVING_KEY, generations.encode(serving))
            for reader, generation in ((follows, serving.generation), (stays, 2)):
                assert reader.generation() == generation
                assert_read_back(reader.get("gen"), both[generation], 0)
                assert_read_back(reader.get_many(["}odd"])["}odd"], both[generation], 1)
                assert reader.recommendations("gen") == recommendation("gen", generation)
                assert reader.model() == cards[generation]
                assert reader.model(3 - generation) == cards[3 - generation]
        client.set(SERVING_KEY, "2")
        with pytest.raises(LayoutError, match="interest:serving"):
            follows.get("gen")
        assert stays.get("gen") is not None


def test_async_reader_follows_the_generation_that_serves(
    own_server: LocalValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = random_views(["gen"], generation=1), random_views(["gen"], seed=1, generation=2)
    card = ModelCard("model-2", TOPICS, generation=2)
    monkeypatch.setattr("stream_app.client.asking.LOOK_S", 0.0)

    async def use(sink: RedisSink) -> None:
        await sink.write(first)
        await sink.write(second)
        await sink.announce(card, 1)
        async with AsyncInterestReader(own_server.url) as reader:
            assert_read_back(await reader.get("gen"), first, 0)
            await sink.remember_serving(generations.encode(AT_FIRST.then(2, 5)))
            assert_read_back(await reader.get("gen"), second, 0)
            assert_read_back((await reader.get_many(["gen"]))["gen"], second, 0)
            assert (await reader.recommendations("gen"), await reader.model()) == (None, card)

    run(impatient(own_server.url), use)


def test_a_pointer_is_put_back_only_where_none_is(own_server: LocalValkey) -> None:
    async def use(sink: RedisSink) -> list[bytes | None]:
        await sink.remember_serving(b"one")
        await sink.remember_serving(b"two")
        return [await sink.serving(), await sink.look_serving()]

    assert run(impatient(own_server.url), use) == [b"one", b"one"]


def test_concurrent_writers_leave_the_newest(redis_settings: RedisSettings, redis_url: str) -> None:
    users = [f"race-{i}" for i in range(40)]
    all_views = [random_views(users, version=version, seed=version) for version in range(1, 21)]

    async def use(sink: RedisSink) -> None:
        order = np.random.default_rng(0).permutation(len(all_views))
        async with opened(redis_settings) as other:
            await asyncio.gather(*((sink, other)[i % 2].write(all_views[i]) for i in order))

    run(redis_settings, use)
    with InterestReader(redis_url) as reader:
        found = reader.get_many(users)
    for i, user in enumerate(users):
        assert_read_back(found[user], all_views[-1], i)


def test_erased_user_leaves_only_a_guard_for_a_while(redis_settings: RedisSettings, redis_url: str) -> None:
    users = ["erase-me", "keep-me"]
    told = {i: wire.encode(recommendation(user)) for i, user in enumerate(users)}
    before = random_views(users, version=3, recommendations=told)
    erased = random_views(users, version=4, seed=1, erased=np.array([True, False]), recommendations=told)
    assert write(redis_settings, before, erased, before) == [2, 2, 0]
    with redis.Redis.from_url(redis_url) as client, InterestReader(redis_url) as reader:
        assert reader.get("erase-me") is None
        assert reader.get_many(users).keys() == {"keep-me"}
        assert reader.recommendations("erase-me") is None
        assert reader.recommendations("keep-me") is not None
        assert client.hgetall(interest_key(b"erase-me")) == {b"generation": b"0", b"version": b"4"}
        assert 0 < client.ttl(interest_key(b"erase-me")) <= redis_settings.erased_ttl_s
        again = random_views(users, version=5, seed=2)
        assert write(redis_settings, again) == [2]
        assert_read_back(reader.get("erase-me"), again, 0)
        assert client.ttl(interest_key(b"erase-me")) > redis_settings.erased_ttl_s


def test_every_key_has_a_time_to_live(own_server: LocalValkey) -> None:
    users = [f"ttl-{i}" for i in range(250)]
    told = {i: wire.encode(recommendation(user)) for i, user in enumerate(users) if i % 3 == 0}
    views = random_views(users, erased=np.arange(250) % 5 == 0, recommendations=told)
    settings = impatient(own_server.url, ttl_s=1_000, erased_ttl_s=100)

    async def use(sink: RedisSink) -> None:
        await sink.announce(ModelCard("m", TOPICS), 1)
        await sink.write(views)

    run(settings, use)
    with redis.Redis.from_url(own_server.url) as client:
        keys = client.keys()
        assert len(keys) == 250 + 1 + sum(1 for i in told if i % 5)
        for key in keys:
            assert 0 < client.ttl(key) <= 1_000
        assert client.ttl(interest_key(b"ttl-0")) <= 100


def test_user_without_a_new_recommendation_keeps_the_last(redis_settings: RedisSettings, redis_url: str) -> None:
    told = {0: wire.encode(recommendation("keeps"))}
    write(redis_settings, random_views(["keeps"], recommendations=told), random_views(["keeps"], version=2))
    with InterestReader(redis_url) as reader:
        assert reader.recommendations("keeps") == recommendation("keeps")


def test_many_users_over_several_round_trips(redis_settings: RedisSettings, redis_url: str) -> None:
    users = [f"many-{i}" for i in range(3_333)]
    told = {i: wire.encode(recommendation(users[i])) for i in range(0, 3_333, 7)}
    views = random_views(users, recommendations=told)
    assert write(redis_settings, views) == [3_333]
    with InterestReader(redis_url) as reader:
        found = reader.get_many(users)
        for i, user in enumerate(users):
            assert_read_back(found[user], views, i)
        assert all(reader.recommendations(users[i]) == recommendation(users[i]) for i in list(told)[::40])


def test_fill_writes_what_is_missing_older_or_of_another_model(redis_settings: RedisSettings, redis_url: str) -> None:
    """And nothing else, so a repetition writes nothing; a dry run counts the same."""
    users = ["fill-missing", "fill-older", "fill-same", "fill-newer", "fill-model", "fill-erased"]
    versions = np.array([1, 4, 5, 6, 5, 5])
    held = replace(random_views(users, seed=1), version=versions)
    other_model = random_views(["fill-model"], version=5, seed=1, model_version="model-6")
    told = {i: wire.encode(recommendation(user)) for i, user in enumerate(users)}
    state = random_views(users, version=5, seed=2, erased=np.arange(6) == 5, recommendations=told)

    async def use(sink: RedisSink) -> list[int]:
        await sink.write(held)
        with redis.Redis.from_url(redis_url) as client:
            client.delete(interest_key(b"fill-missing"), interest_key(b"fill-model"))
        await sink.write(other_model)
        counted = await sink.fill(state, 1_000, dry_run=True)
        with InterestReader(redis_url) as reader:
            assert reader.get("fill-missing") is None
            assert reader.recommendations("fill-older") is None
        return [counted, await sink.fill(state, 1_000), await sink.fill(state, 1_000)]

    assert run(redis_settings, use) == [3, 3, 0]
    with redis.Redis.from_url(redis_url) as client, InterestReader(redis_url) as reader:
        for i, user in enumerate(users):
            filled = user in ("fill-missing", "fill-older", "fill-model")
            assert_read_back(reader.get(user), state if filled else held, i)
            assert (reader.recommendations(user) == recommendation(user)) is filled
            assert (client.ttl(interest_key(user.encode())) <= 1_000) is filled


def test_writing_again_changes_who_is_there_in_that_version_and_prolongs_no_life(
    redis_settings: RedisSettings, redis_url: str
) -> None:
    users = ["again-missing", "again-older", "again-same", "again-newer", "again-erased"]
    held = replace(random_views(users, seed=1), version=np.array([5, 4, 5, 6, 5]))
    now = random_views(users, version=5, seed=2, erased=np.arange(5) == 4)

    async def use(sink: RedisSink) -> list[int]:
        await sink.write(held)
        with redis.Redis.from_url(redis_url) as client:
            client.delete(interest_key(b"again-missing"))
            client.expire(interest_key(b"again-same"), 1_000)
        return [await sink.write_again(now), await sink.write_again(now)]

    assert run(redis_settings, use) == [1, 1]
    with redis.Redis.from_url(redis_url) as client, InterestReader(redis_url) as reader:
        assert reader.get("again-missing") is None
        for i, user in enumerate(users[1:], start=1):
            assert_read_back(reader.get(user), now if user == "again-same" else held, i)
        assert 0 < client.ttl(interest_key(b"again-same")) <= 1_000


def test_fill_erases_who_is_erased(redis_settings: RedisSettings, redis_url: str) -> None:
    old, erased = (
        random_views(["fill-gone"], version=3),
        random_views(["fill-gone"], version=4, erased=np.array([True])),
    )

    async def use(sink: RedisSink) -> list[int]:
        await sink.write(old)
        return [await sink.fill(erased, 1_000), await sink.fill(erased, 1_000)]

    assert run(redis_settings, use) == [1, 0]
    with InterestReader(redis_url) as reader:
        assert reader.get("fill-gone") is None


@pytest.mark.parametrize("damage", [lambda blob: blob[:-1], lambda blob: blob + b"\0", lambda blob: b"\3" + blob[1:]])
def test_a_damaged_blob_writes_nothing_and_stops_the_worker(
    redis_settings: RedisSettings, redis_url: str, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    """Not even the users before the damage: a vector that is cut would fail its readers."""
    users = ["damaged-1", "damaged-2"]
    monkeypatch.setattr("stream_app.sinks.redis.pack", lambda *columns: damage(pack(*columns)))
    with pytest.raises(SinkStopped, match="interests of 2 users are damaged"):
        write(redis_settings, random_views(users))
    with redis.Redis.from_url(redis_url) as client:
        assert not client.exists(*(interest_key(user.encode()) for user in users))


@pytest.mark.parametrize("version", [b"nan", b"inf", b"-1", b"", b"9" * 40, b"soon"])
def test_a_version_that_no_worker_wrote_keeps_nobody_out(
    redis_settings: RedisSettings, redis_url: str, version: bytes
) -> None:
    """Nothing is larger than "nan", which Lua reads as a number."""
    with redis.Redis.from_url(redis_url) as client:
        client.hset(interest_key(b"strange"), mapping={"generation": version, "version": version})
    assert write(redis_settings, random_views(["strange"])) == [1]
    with InterestReader(redis_url) as reader:
        assert reader.get("strange") is not None


def test_nobody_touched_is_nothing_written(redis_settings: RedisSettings) -> None:
    assert write(redis_settings, random_views([])) == [0]


def test_script_is_loaded_again_after_a_flush(redis_settings: RedisSettings, redis_url: str) -> None:
    async def use(sink: RedisSink) -> list[int]:
        first = await sink.write(random_views(["script"]))
        with redis.Redis.from_url(redis_url) as client:
            client.script_flush()
        return [first, await sink.write(random_views(["script"], version=2))]

    assert run(redis_settings, use) == [1, 1]


def test_writes_leave_nothing_to_the_collector(redis_settings: RedisSettings) -> None:
    """A worker writes hundreds of times a second, and lets the collector look at young objects once in 50,000."""
    views = random_views(["tidy"])

    async def use(sink: RedisSink) -> int:
        await sink.write(views)
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await sink.write(views)
            return gc.collect()
        finally:
            gc.enable()

    assert run(redis_settings, use) < 20


def test_killed_server_is_waited_for_and_written_again(own_server: LocalValkey) -> None:
    retries = 0

    def count() -> None:
        nonlocal retries
        retries += 1

    async def main() -> int:
        sink = RedisSink(impatient(own_server.url), on_retry=count)
        await sink.open()
        own_server.kill()
        writing = asyncio.create_task(sink.write(random_views(["survivor"])))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(own_server.restart)
        written = await writing
        await sink.close()
        return written

    assert asyncio.run(main()) == 1
    assert retries >= 1
    with InterestReader(own_server.url) as reader:
        assert reader.get("survivor") is not None


def test_frozen_server_times_out_and_is_tried_again(own_server: LocalValkey) -> None:
    async def use(sink: RedisSink) -> int:
        own_server.pause()
        writing = asyncio.create_task(sink.write(random_views(["patient"])))
        await asyncio.sleep(1)
        own_server.resume()
        return await writing

    assert run(impatient(own_server.url), use) == 1


def test_server_that_stays_away_stops_the_worker_with_advice(own_server: LocalValkey) -> None:
    async def use(sink: RedisSink) -> None:
        own_server.kill()
        with pytest.raises(
            SinkStopped, match=rf"{own_server.port} did not accept writes for 1 s .* Check that it runs"
        ):
            await sink.write(random_views(["lost"]))

    run(impatient(own_server.url, give_up_s=1), use)


def test_full_server_is_waited_for(own_server: LocalValkey) -> None:
    with redis.Redis.from_url(own_server.url) as client:
        client.config_set("maxmemory", 1)

        async def use(sink: RedisSink) -> int:
            writing = asyncio.create_task(sink.write(random_views(["full"])))
            await asyncio.sleep(0.5)
            assert not writing.done()
            client.config_set("maxmemory", 0)
            return await writing

        assert run(impatient(own_server.url), use) == 1
        client.config_set("maxmemory", 1)
        with pytest.raises(SinkStopped, match="memory"):
            write(impatient(own_server.url, give_up_s=1), random_views(["full"], version=2))


def test_read_only_replica_is_waited_for(own_server: LocalValkey) -> None:
    with redis.Redis.from_url(own_server.url) as client:
        client.replicaof("127.0.0.1", 1)

        async def use(sink: RedisSink) -> int:
            writing = asyncio.create_task(sink.write(random_views(["replica"])))
            await asyncio.sleep(0.5)
            assert not writing.done()
            client.replicaof("NO", "ONE")
            return await writing

        assert run(impatient(own_server.url), use) == 1


def test_key_of_another_program_stops_the_worker_at_once(redis_settings: RedisSettings, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(interest_key(b"taken"), "text", ex=60)
    started = time.monotonic()
    with pytest.raises(SinkStopped, match=r"refuses writes .*WRONGTYPE"):
        write(redis_settings, random_views(["taken"]))
    assert time.monotonic() - started < redis_settings.give_up_s


def test_wrong_password_stops_at_once_and_is_not_told(own_server: LocalValkey) -> None:
    with redis.Redis.from_url(own_server.url) as client:
        client.config_set("requirepass", "right")
    url = own_server.url.replace("redis://", "redis://:wrong-secret@")
    with pytest.raises(SinkStopped, match="refuses writes") as stopped:
        write(impatient(url), random_views(["a"]))
    assert "wrong-secret" not in str(stopped.value)


def test_model_card_is_announced_and_kept_alive(own_server: LocalValkey) -> None:
    card = ModelCard("model-7", TOPICS, generation=1)

    async def use(sink: RedisSink) -> None:
        with redis.Redis.from_url(own_server.url) as client, InterestReader(own_server.url) as reader:
            assert reader.model() is None
            await sink.announce(card, 1_000)
            assert reader.model() == card
            client.flushall()
            await sink.write(random_views(["a"], updated_at_ms=60_999))
            assert reader.model() is None
            await sink.write(random_views(["a"], updated_at_ms=61_000))
            assert reader.model() == card
            client.hset(model_key(), "layout", 99)
            with pytest.raises(LayoutError, match="99"):
                reader.model()

    run(impatient(own_server.url), use)


def test_a_server_that_has_lost_something_is_noticed_once(own_server: LocalValkey) -> None:
    """Empty: no model card. Replaced: another process, or one that was a replica for a while."""
    found: list[str] = []
    many = random_views([f"lost-{i}" for i in range(3_000)])  # in several round trips at once

    async def main() -> None:
        sink = RedisSink(impatient(own_server.url), on_loss=found.append)
        await sink.open()
        with redis.Redis.from_url(own_server.url) as client:
            await sink.announce(ModelCard("m", TOPICS), 1)
            assert found == ["empty"]
            await sink.write(many)
            assert found == ["empty"]
            client.script_flush()
            await sink.write(many)
            assert found == ["empty", "replaced"]
            client.replicaof("127.0.0.1", 1)
            writing = asyncio.create_task(sink.write(many))
            await asyncio.sleep(0.3)
            client.replicaof("NO", "ONE")
            await writing
            assert found == ["empty", "replaced", "replaced"]
        await asyncio.to_thread(own_server.restart)
        await sink.write(many)
        assert found == ["empty", "replaced", "replaced", "empty"]
        await sink.close()

    asyncio.run(main())


def test_cluster_takes_every_user_whatever_the_id(cluster: ClusterValkey) -> None:
    told = {i: wire.encode(recommendation(user)) for i, user in enumerate(ODD_IDS)}
    views = random_views(ODD_IDS, version=2, recommendations=told)
    older = random_views(ODD_IDS, version=1, seed=1)
    erased = random_views(ODD_IDS[:1], version=3, erased=np.array([True]))
    settings = impatient(cluster.url, cluster=True)

    async def use(sink: RedisSink) -> list[int]:
        await sink.announce(ModelCard("model-7", TOPICS), 1)
        return [await sink.write(one) for one in (views, older, erased)]

    assert run(settings, use) == [len(ODD_IDS), 0, 1]
    with InterestReader(cluster.url, cluster=True) as reader:
        found = reader.get_many(ODD_IDS)
        assert found.keys() == set(ODD_IDS[1:])
        for i, user in enumerate(ODD_IDS[1:], start=1):
            assert_read_back(found[user], views, i)
            assert reader.recommendations(user) == recommendation(user)
        assert reader.model() == ModelCard("model-7", TOPICS)
    with redis.Redis.from_url(cluster.url) as client:
        assert client.exists(recommendation_key(ODD_IDS[0].encode())) == 0
        client.script_flush()
    assert write(settings, random_views(ODD_IDS, version=4)) == [len(ODD_IDS)]
