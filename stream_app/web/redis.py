"""The clients of Redis that the pages read with."""

from typing import Any

from pydantic_settings import SettingsError
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stream_app.access import reader_options, redis_options
from stream_app.client import AsyncInterestReader
from stream_app.settings import Settings


def reader_of(settings: Settings) -> AsyncInterestReader:
    """Of the generation that serves. Raises `SettingsError`."""
    try:
        return AsyncInterestReader(_url(settings), retry=_once_more(), **reader_options(settings))
    except ValueError as problem:
        raise SettingsError(f"redis.url: {problem}") from problem


def redis_client(settings: Settings) -> Any:
    """For what the reader has no method for. Raises `SettingsError`."""
    redis = settings.redis
    kind: Any = RedisCluster if redis.cluster else Redis
    try:
        return kind.from_url(_url(settings), socket_timeout=redis.timeout_s, retry=_once_more(), **redis_options(redis))
    except ValueError as problem:
        raise SettingsError(f"redis.url: {problem}") from problem


def _url(settings: Settings) -> str:
    return settings.redis.url.get_secret_value()


def _once_more() -> Retry:
    return Retry(NoBackoff(), 1)  # a connection may have gone stale
