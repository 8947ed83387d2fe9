"""Whether this worker is to publish what all generations share: recommendations and dead letters.

Only the generation that serves does, and the one before it for the time of a handover. Which one serves is looked up
in Redis twice a second, so a worker needs no restart when it is promoted. All else goes on in every generation.
"""

import asyncio
from typing import NoReturn, Protocol

import structlog
from redis.exceptions import RedisError

from stream_app.contracts import generations
from stream_app.contracts.errors import StopWorker
from stream_app.contracts.generations import AT_FIRST, SERVING_KEY, Serving
from stream_app.observability import WorkerMetrics
from stream_app.ports import Clock
from stream_app.settings import Kafka

LOOK_S = 0.5

log = structlog.get_logger(__name__)


class Pointer(Protocol):
    """Where the generation that serves is written down: `sinks.redis.RedisSink`."""

    async def serving(self) -> bytes | None: ...
    async def look_serving(self) -> bytes | None: ...
    async def remember_serving(self, value: bytes, /) -> None: ...


class Publishing:
    """Looks at the pointer; `may` says what follows from the last look."""

    def __init__(self, pointer: Pointer, kafka: Kafka, metrics: WorkerMetrics, clock: Clock) -> None:
        self._pointer, self._metrics, self._clock = pointer, metrics, clock
        self._generation, self._handover_ms = kafka.generation, int(kafka.handover_s * 1000)
        self._seen: bytes | None = None
        self._serving = AT_FIRST

    def may(self) -> bool:
        """Whether to publish now."""
        return self._serving.publishes(self._generation, self._clock(), self._handover_ms)

    async def begin(self) -> None:
        """The first look. Raises StopWorker when Redis does not answer, or holds what no command wrote."""
        self._take(await self._pointer.serving())

    async def watch_forever(self) -> NoReturn:
        """Look again and again; while Redis is away, what was seen last holds."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except RedisError as error:
                log.debug("which generation serves could not be looked up", error=str(error))

    async def look(self) -> None:
        """Once. Where the pointer is gone, because Redis lost everything, the one seen last is put back. Raises
        redis.RedisError, StopWorker."""
        found = await self._pointer.look_serving()
        if found is None and self._seen is not None:
            await self._pointer.remember_serving(self._seen)
        else:
            self._take(found)

    def _take(self, found: bytes | None) -> None:
        self._serving = _read(found)
        self._metrics.serving.set(self._serving.generation == self._generation)
        if found != self._seen:
            log.info(
                "another generation serves", generation=self._serving.generation, mine=self._generation,
                publishes=self.may(),
            )  # fmt: skip
        self._seen = found


def _read(found: bytes | None) -> Serving:
    try:
        return generations.decode(found)
    except generations.UNREADABLE as error:
        raise StopWorker(
            f"Redis holds at {SERVING_KEY.decode()} what no command wrote ({str(error)[:200]}): "
            "interest generations promote N"
        ) from error
