"""What Redis has of a generation: its users, their latest recommendations, where it has the items, and whether it
serves."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from redis import Redis, RedisCluster

from stream_app.access import redis_options
from stream_app.contracts import generations
from stream_app.contracts.generations import FIRST, SERVING_KEY, Serving
from stream_app.contracts.redis_layout import (
    Field,
    PlaceField,
    bound_key,
    every_place,
    every_recommendation,
    everybody,
    interest_key,
    model_key,
    user_of,
    vectors_key,
)
from stream_app.generations.errors import GenerationError
from stream_app.settings import Settings

KEYS_AT_ONCE = 10_000


@contextmanager
def redis_of(settings: Settings) -> Iterator[Any]:
    """A client. What is done with it may raise redis.RedisError."""
    redis = settings.redis
    client: Any = (RedisCluster if redis.cluster else Redis).from_url(
        redis.url.get_secret_value(),
        socket_timeout=redis.timeout_s,
        socket_connect_timeout=redis.timeout_s,
        **redis_options(redis),
    )
    try:
        yield client
    finally:
        client.close()


def serving(client: Any) -> Serving:
    """The generation that serves. Raises GenerationError for what no command wrote."""
    try:
        return generations.decode(client.get(SERVING_KEY))
    except generations.UNREADABLE as error:
        raise GenerationError(
            f"Redis holds at {SERVING_KEY.decode()} what no command wrote ({str(error)[:200]}): delete the key, then "
            "promote the generation that is to serve"
        ) from error


def point(client: Any, to: Serving) -> None:
    """The switch: readers see all of it at once."""
    client.set(SERVING_KEY, generations.encode(to))


def has_card(client: Any, generation: int) -> bool:
    """Whether a worker of that generation has ever told readers of its model."""
    return bool(client.exists(model_key(generation)))


def users(client: Any, generation: int) -> set[bytes]:
    """Ids of all users with a hash; some may be erased (`with_interests`)."""
    return {user_of(key) for key in client.scan_iter(match=everybody(generation), count=KEYS_AT_ONCE)}


def with_interests(client: Any, generation: int, some: Sequence[bytes]) -> list[bytes]:
    """Those of some users whom readers are shown: an erased one has a hash for a while, without interests."""
    found: list[bytes] = []
    for part in _batched(some):
        pipeline = client.pipeline(transaction=False)
        for user in part:
            pipeline.hget(interest_key(user, generation), Field.EVENTS)
        found += [user for user, events in zip(part, pipeline.execute(), strict=True) if events is not None]
    return found


def forget(client: Any, generation: int) -> int:
    """Delete all keys of a generation; returns how many. Where the first one has the items stands in hashes that say
    what is known of them: from those it goes, and they stay."""
    gone = int(client.delete(model_key(generation)))
    gone += int(client.delete(vectors_key(generation), bound_key(generation)))
    for pattern in (everybody(generation), every_recommendation(generation)):
        gone += _each(client, pattern, lambda pipeline, key: pipeline.delete(key))
    if generation != FIRST:
        return gone + _each(client, every_place(generation), lambda pipeline, key: pipeline.delete(key))
    _each(client, every_place(generation), lambda pipeline, key: pipeline.hdel(key, *PlaceField))
    return gone


def _each(client: Any, pattern: bytes, command: Callable[[Any, bytes], Any]) -> int:
    """Sum of what the command returns for the keys."""
    found = 0
    for keys in _batched(client.scan_iter(match=pattern, count=KEYS_AT_ONCE)):
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            command(pipeline, key)
        found += sum(pipeline.execute())
    return found


def _batched(many: Any) -> Iterator[list[Any]]:
    """In helpings of a thousand."""
    rest = iter(many)
    while part := list(islice(rest, 1_000)):
        yield part
