"""Interests into Redis: many users in one guarded round trip.

Each user's write carries the state's version, and Redis keeps the newer one, so a late or repeated write does no harm.
That makes every failure simple: write the same again.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import structlog
from redis import exceptions
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay, wait_exponential, wait_random

from stream_app.access import is_refusal, mend_of_redis, redis_options
from stream_app.contracts.errors import SinkStopped
from stream_app.contracts.generations import FIRST, SERVING_KEY
from stream_app.contracts.redis_layout import (
    FACETS,
    VECTOR_BYTES,
    Field,
    ModelCard,
    everybody,
    followee_key,
    interest_keys,
    model_fields,
    model_key,
    recommendation_key,
    user_of,
)
from stream_app.contracts.views import InterestViews
from stream_app.settings import Redis as RedisSettings
from stream_app.sinks.interest_blob import HEAD_BYTES, pack

# About 2 MB: packed and sent in a few milliseconds, so that the event loop is never held up for long.
_USERS_PER_ROUND_TRIP = 1_000
_NAMES_PER_ROUND_TRIP = 10_000
# While a round trip is answered the next one is packed.
_LANES = 2
_KEYS_PER_SCAN = 10_000
# A Redis that came back empty learns the model card again after this time.
_ANNOUNCE_EVERY_MS = 60_000

_PASSING = (
    exceptions.ConnectionError,  # also LOADING
    exceptions.TimeoutError,
    exceptions.NoScriptError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterError,
    exceptions.ClusterDownError,
    exceptions.MovedError,
    exceptions.AskError,
    exceptions.TryAgainError,
    exceptions.MasterDownError,
)
# Server conditions that end by themselves or by an operator's hand, for which the client has no class of its own, or
# that older servers report from inside a script as a plain error.
_PASSING_WORDS = ("OOM ", "READONLY ", "LOADING ", "MISCONF ", "NOREPLICAS ", "BUSY ", "CLUSTERDOWN ", "MASTERDOWN ")

Loss = Literal["empty", "replaced"]
"""Redis holds nothing of ours, not even the model card; or it is another server than before, which may lack the last
writes: one that was restarted, or a replica that took over."""

T = TypeVar("T")
_Command = tuple[Any, ...]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Over what to write (`mode` in guarded_write.lua), and for how long it is to live."""

    mode: Literal["write", "fill", "look", "again"]
    ttl_s: int


class RedisSink:
    """Writes views; one instance a worker, used from one event loop.

    Args:
        settings: where Redis is, lifetimes of keys, patience.
        on_retry: called before each repeated attempt, for a metric.
        on_loss: called when Redis seems to have lost what was written.
    """

    def __init__(
        self,
        settings: RedisSettings,
        on_retry: Callable[[], None] | None = None,
        on_loss: Callable[[Loss], None] = lambda _found: None,
    ) -> None:
        self._settings = settings
        self._on_retry, self._on_loss = on_retry, on_loss
        self._client = _client(settings)
        self._script = _script()
        self._sha = hashlib.sha1(self._script, usedforsecurity=False).hexdigest()
        self._card: ModelCard | None = None
        self._announced_ms = 0
        self._demoted = False  # the server has said that it is a replica, and has taken no write since
        self._meeting = asyncio.Lock()

    async def open(self) -> None:
        """Reach Redis and load the script. Raises SinkStopped when Redis does not answer for `give_up_s`."""
        await self._patiently(self._load_script)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def announce(self, card: ModelCard, now_ms: int) -> None:
        """Tell readers which model is in use; `write` repeats it now and then."""
        self._card, self._announced_ms = card, now_ms
        if not await self._patiently(partial(self._write_card, card, now_ms)):
            self._on_loss("empty")

    async def write(self, views: InterestViews) -> int:
        """Write the views. Returns how many users were written; the others have a newer version in Redis already.

        A user's hash and recommendation change together, in one script. Repeats what fails for `give_up_s`, which is
        safe, then raises SinkStopped.
        """
        if self._card is not None and views.updated_at_ms - self._announced_ms >= _ANNOUNCE_EVERY_MS:
            await self.announce(self._card, views.updated_at_ms)
        return await self._write_by(_Rule("write", self._settings.ttl_s), views)

    async def write_again(self, views: InterestViews) -> int:
        """Write the views of users of whom Redis has that very version, without prolonging their lives: of people who
        have done nothing, while others whom they follow have. Returns how many they are. Raises SinkStopped as `write`
        does."""
        return await self._write_by(_Rule("again", self._settings.ttl_s), views)

    async def fill(self, views: InterestViews, ttl_s: int, *, dry_run: bool = False) -> int:
        """Write the views of users whom Redis lacks, or has in an older version or by another model, to live `ttl_s`.

        Returns how many they are; a dry run counts them only. Raises SinkStopped as `write` does.
        """
        return await self._write_by(_Rule("look" if dry_run else "fill", ttl_s), views)

    async def name_followees(self, names: Mapping[int, bytes | None]) -> None:
        """Keep who is behind hashes of followed users, as long as a user is kept; None: no more. Raises SinkStopped as
        `write` does."""
        commands: list[_Command] = [
            ("SET", followee_key(target), name, "EX", self._settings.ttl_s) if name else ("DEL", followee_key(target))
            for target, name in names.items()
        ]
        for start in range(0, len(commands), _NAMES_PER_ROUND_TRIP):
            part = commands[start : start + _NAMES_PER_ROUND_TRIP]
            await self._patiently(partial(self._round_trip, part))

    async def followee_names(self, targets: Sequence[int]) -> list[bytes | None]:
        """The users behind hashes, None where nobody is named; they are kept as long as if they were named now. Raises
        redis.RedisError."""
        keys = list(map(followee_key, targets))
        ttl_s = self._settings.ttl_s
        commands: list[_Command] = [one for key in keys for one in (("GET", key), ("EXPIRE", key, ttl_s))]
        return (await self._asked(commands))[::2]

    async def vectors(self, users: Sequence[bytes], generation: int) -> list[bytes | None]:
        """Users' vectors, little-endian float32 [DIM], None of who has none. Raises redis.RedisError."""
        keys = interest_keys(list(users), generation)
        return await self._asked([("HGET", key, Field.VECTOR.value) for key in keys])

    async def _asked(self, commands: list[_Command]) -> list[Any]:
        return _without_errors(await self._send(commands)) if commands else []

    async def serving(self) -> bytes | None:
        """What stands at `SERVING_KEY`. Raises SinkStopped as `write` does."""
        return await self._patiently(self.look_serving)

    async def look_serving(self) -> bytes | None:
        """The same, asked once: raises redis.RedisError."""
        found: bytes | None = await self._client.get(SERVING_KEY)
        return found

    async def remember_serving(self, value: bytes) -> None:
        """Put that back where nothing stands any more. Raises redis.RedisError."""
        await self._client.set(SERVING_KEY, value, nx=True)

    async def users(self, generation: int = FIRST) -> list[bytes]:
        """Ids of all users that Redis has a hash of, in no order. Raises SinkStopped as `write` does."""
        return await self._patiently(partial(self._scan, generation))

    async def _scan(self, generation: int) -> list[bytes]:
        keys = self._client.scan_iter(match=everybody(generation), count=_KEYS_PER_SCAN)
        return list({user_of(key) async for key in keys})  # SCAN may repeat one

    async def _write_by(self, rule: _Rule, views: InterestViews) -> int:
        starts = range(0, len(views), _USERS_PER_ROUND_TRIP)
        if len(starts) == 1:
            return await self._write_lane(rule, views, starts)
        lanes = (self._write_lane(rule, views, starts[lane::_LANES]) for lane in range(_LANES))
        return sum(await asyncio.gather(*lanes))

    async def _write_lane(self, rule: _Rule, views: InterestViews, starts: range) -> int:
        written = 0
        for start in starts:
            commands: list[_Command] = []
            for command in self._commands(rule, views, start, min(start + _USERS_PER_ROUND_TRIP, len(views))):
                if commands:
                    await asyncio.sleep(0)  # packing goes by turns with everything else in the loop
                commands.append(command)
            written += sum(await self._patiently(partial(self._round_trip, commands)))
        return written

    def _commands(self, rule: _Rule, views: InterestViews, start: int, stop: int) -> Iterator[_Command]:
        # A script's keys must lie in one slot of a cluster, and only one user's do.
        step = 1 if self._settings.cluster else self._settings.users_per_script
        for first in range(start, stop, step):
            yield self._command(rule, views, first, min(first + step, stop))

    def _command(self, rule: _Rule, views: InterestViews, start: int, stop: int) -> _Command:
        erased = (start + views.erased[start:stop].nonzero()[0]).tolist()
        told = [i for i in range(start, stop) if i in views.recommendations and not views.erased[i]]
        keys = interest_keys(views.keys[start:stop], views.generation)
        keys += [recommendation_key(views.keys[i], views.generation) for i in sorted(erased + told)]
        return (
            "EVALSHA",
            self._sha,
            len(keys),
            *keys,
            views.generation,
            views.updated_at_ms,
            views.model_version,
            rule.ttl_s,
            self._settings.erased_ttl_s,
            stop - start,
            pack(views, start, stop),
            rule.mode,
            *[views.recommendations[i] for i in told],
        )

    async def _round_trip(self, commands: list[_Command]) -> list[int]:
        results = await self._send(commands)
        if any(isinstance(result, exceptions.NoScriptError) for result in results):
            await self._meet_again()
            results = await self._send(commands)
        return _without_errors(results)

    async def _send(self, commands: list[_Command]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        # Errors come back as results: redis-py would put the whole command, megabytes of it, into their text.
        return await pipeline.execute(raise_on_error=False)

    async def _load_script(self) -> None:
        await self._client.script_load(self._script.decode())

    async def _meet_again(self) -> None:
        """A server that does not know the script is another one than before, or was restarted."""
        async with self._meeting:
            if all(await self._client.script_exists(self._sha)):
                return  # another lane, or another worker, was here first
            await self._load_script()
            self._demoted = False
            if self._card is not None:
                there = await self._write_card(self._card, self._announced_ms)
                self._on_loss("replaced" if there else "empty")

    async def _write_card(self, card: ModelCard, now_ms: int) -> bool:
        """Returns whether there was one before."""
        key = model_key(card.generation)
        there = bool(await self._client.exists(key))
        await self._client.hset(key, mapping=model_fields(card, now_ms))
        await self._client.expire(key, self._settings.ttl_s)
        return there

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeat an attempt while Redis fails in a way that passes."""
        began_s = time.monotonic()
        try:
            try:
                # tenacity makes a dozen objects that hold each other, which only the collector takes away.
                result = await attempt()
            except exceptions.RedisError as error:
                result = await self._again(attempt, error, began_s)
        except exceptions.RedisError as error:
            raise SinkStopped(self._explain(error)) from error
        if self._demoted:
            self._demoted = False
            self._on_loss("replaced")
        return result

    async def _again(self, attempt: Callable[[], Awaitable[T]], failed: exceptions.RedisError, began_s: float) -> T:
        """The attempts after one that `failed`, which counts as the first."""
        failures = [failed]
        async for trial in AsyncRetrying(
            retry=retry_if_exception(passes),
            stop=stop_after_delay(self._settings.give_up_s - (time.monotonic() - began_s)),
            wait=wait_exponential(multiplier=0.05, max=2.0) + wait_random(0, 0.05),
            before_sleep=self._before_sleep,
            reraise=True,
        ):
            with trial:
                if failures:
                    raise failures.pop()
                return await attempt()
        raise AssertionError("unreachable: tenacity returns or raises")

    def _before_sleep(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        _log.warning(
            "Redis does not take writes; they are tried again",
            address=self._address, attempt=state.attempt_number, why=str(error),
        )  # fmt: skip
        self._demoted |= "READONLY " in str(error) or isinstance(error, exceptions.ReadOnlyError)
        if self._on_retry:
            self._on_retry()

    @property
    def _address(self) -> str:
        url = urlsplit(self._settings.url.get_secret_value())
        return f"{url.hostname or url.path}:{url.port or 6379}"

    def _explain(self, error: exceptions.RedisError) -> str:
        where, why = f"Redis at {self._address}", f"{type(error).__name__}: {error}"
        if passes(error):
            return (
                f"{where} did not accept writes for {self._settings.give_up_s:g} s ({why}). Check that it runs, can be"
                " reached and has memory left. Nothing is lost: what is missing is written when this is started again."
            )
        rights = "check the rights of the user, and that no other program writes keys named interest:* or rec:*"
        return (
            f"{where} refuses writes ({why}): {mend_of_redis(error, rights)}. Nothing is lost: what is missing is "
            "written when this is started again."
        )


def passes(error: BaseException) -> bool:
    """Is it worth trying again?"""
    if isinstance(error, exceptions.AuthenticationError | exceptions.AuthorizationError) or is_refusal(error):
        return False
    text = str(error)
    return isinstance(error, _PASSING) or (
        isinstance(error, exceptions.ResponseError) and any(word in text for word in _PASSING_WORDS)
    )


def _without_errors(results: list[Any]) -> list[Any]:
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def _client(settings: RedisSettings) -> Any:
    kind = RedisCluster if settings.cluster else Redis
    # Retries are ours, so that patience is counted in one place.
    return kind.from_url(
        settings.url.get_secret_value(),
        socket_timeout=settings.timeout_s,
        socket_connect_timeout=settings.timeout_s,
        retry=Retry(NoBackoff(), 0),
        **redis_options(settings),
    )


def _script() -> bytes:
    text = Path(__file__).with_name("guarded_write.lua").read_text()
    return (
        text.replace("HEAD_BYTES", str(HEAD_BYTES))
        .replace("VECTORS_BYTES", str(len(FACETS) * VECTOR_BYTES))
        .replace("VECTOR_BYTES", str(VECTOR_BYTES))
        .encode()
    )
