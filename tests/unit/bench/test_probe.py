"""The reader whose clock the latency benchmark trusts."""

import time

import redis

from tests.bench.probe import KEY_PREFIX, TrackingClient

KEY = KEY_PREFIX + "7}"


def test_a_change_by_another_client_is_told_and_read(redis_url: str) -> None:
    client = TrackingClient(redis_url, KEY_PREFIX)
    with redis.Redis.from_url(redis_url) as other:
        other.hset(KEY, mapping={"event_ts": 123})
        other.hset("interest:{somebody}", mapping={"event_ts": 5})
        assert client.changed(timeout_s=5) == [KEY]
        assert client.event_ts(KEY) == 123
        other.delete(KEY, "interest:{somebody}")
    client.close()


def test_every_change_is_told_even_if_it_comes_during_a_read(redis_url: str) -> None:
    client = TrackingClient(redis_url, KEY_PREFIX)
    with redis.Redis.from_url(redis_url) as other:
        for ts in range(50):
            other.hset(KEY, mapping={"event_ts": ts})
            assert client.event_ts(KEY) == ts
        told = client.changed(timeout_s=5)
        deadline = time.monotonic() + 5
        while len(told) < 50 and time.monotonic() < deadline:
            told += client.changed(timeout_s=0.1)
        assert told == [KEY] * 50
        other.delete(KEY)
    client.close()


def test_nothing_is_told_where_nothing_changed(redis_url: str) -> None:
    client = TrackingClient(redis_url, KEY_PREFIX)
    assert client.changed(timeout_s=0.01) == []
    assert client.event_ts(KEY) is None
    client.close()
