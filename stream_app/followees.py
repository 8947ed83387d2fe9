"""Whom this worker's users follow, and what those like now.

A followed user's vector is read from Redis, where every worker writes its users' ones: in one round trip for all who
are refreshed together, and one more for followees of whom not even the name is known here (after a restart). A follow
brings the name along. What creators and topics stand for comes with the model.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Protocol, TypeGuard

import numpy as np
import numpy.typing as npt
import structlog
from redis.exceptions import RedisError

from model_store.state import followees
from model_store.state.followees import Directions
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM
from stream_app.observability import WorkerMetrics
from stream_app.settings import Social

log = structlog.get_logger(__name__)

Float32 = npt.NDArray[np.float32]
UInt64 = npt.NDArray[np.uint64]

MOST = 10_000
"""Read in one round trip; whose turn does not come is read when one of their followers is refreshed the next time."""
REST_MS = 1_000
"""So long nothing is read after Redis did not answer, and nobody again of whom it had nothing."""

_VECTOR_BYTES = 4 * DIM


class Directory(Protocol):
    """Where names and vectors are looked up: `sinks.redis.RedisSink`. See `ports.InterestSink`."""

    async def followee_names(self, targets: Sequence[int], /) -> Sequence[bytes | None]: ...
    async def vectors(self, users: Sequence[bytes], generation: int, /) -> Sequence[bytes | None]: ...


class Followees:
    """Looks up, and keeps what it found. Used from one event loop."""

    def __init__(self, directory: Directory, settings: Social, generation: int, metrics: WorkerMetrics) -> None:
        self._directory, self._settings, self._generation = directory, settings, generation
        self._metrics, self._max_age_ms = metrics, int(settings.max_age_s * 1000)
        self._read = Directions(settings.room)
        self._blocked = hash_ids(list(settings.blocked)).hash
        self._names: dict[int, bytes] = {}
        self._rests_until_ms = 0
        self.fix(Directions(0))

    def fix(self, fixed: Directions) -> None:
        """What creators and topics stand for from now on."""
        self._fixed = fixed.without(self._blocked) if self._settings.enabled else Directions(0)

    def meet(self, names: Mapping[int, bytes]) -> None:
        """Users whom somebody follows, by their hashes."""
        self._names |= names
        if len(self._names) > self._settings.room:
            for target in list(islice(self._names, len(self._names) // 2)):
                del self._names[target]

    def forget(self, users: Sequence[bytes]) -> dict[int, None]:
        """Users who were erased; returns the hashes of their names."""
        hashes = followees.followee_hashes(list(users))
        self._read.drop(hashes)
        for target in hashes.tolist():
            self._names.pop(target, None)
        return dict.fromkeys(hashes.tolist())

    def social(self, records: npt.NDArray[np.void], rows: npt.NDArray[np.int64]) -> Float32:
        """float32 [n, SOCIAL_WIDTH]: what `features` is to be given of these users."""
        return followees.social(records, rows, self._fixed, self._read)

    async def look_up(self, targets: UInt64, now_ms: int) -> None:
        """Read what these followees (distinct) like, unless that was read not long ago. When Redis does not answer in
        time, what is known stays: no event waits for it any longer."""
        if not self._settings.enabled or not len(targets) or self._rests(now_ms):
            return
        targets = targets[self._fixed.rows(targets) < 0]
        due = self._read.read_before(targets, now_ms - self._max_age_ms)[:MOST]
        if not len(due):
            return
        try:
            with self._metrics.timed("followees"):
                async with asyncio.timeout(self._settings.timeout_s):
                    await self._read_all(due, now_ms)
        except (RedisError, TimeoutError, OSError) as error:
            self._rests_until_ms = now_ms + REST_MS
            self._metrics.followee_reads.labels("failed").inc(len(due))
            log.warning("followees' vectors cannot be read now; those known stay", followees=len(due), why=str(error))

    def _rests(self, now_ms: int) -> bool:
        """Not for long, even if the clock is put back."""
        return 0 < self._rests_until_ms - now_ms <= REST_MS

    async def _read_all(self, due: UInt64, now_ms: int) -> None:
        unnamed = [target for target in due.tolist() if target not in self._names]
        if unnamed:
            found = zip(unnamed, await self._directory.followee_names(unnamed), strict=True)
            self.meet({target: name for target, name in found if name is not None})
        named = [target for target in due.tolist() if target in self._names]
        vectors = await self._directory.vectors([self._names[target] for target in named], self._generation)
        known = {target: vector for target, vector in zip(named, vectors, strict=True) if _is_vector(vector)}
        self._put(list(known), b"".join(known.values()), now_ms)
        unknown = [target for target in due.tolist() if target not in known]
        for target in unknown:  # perhaps erased
            self._names.pop(target, None)
        # Who is followed may have clicked for the first time just now.
        sooner_ms = min(REST_MS, self._max_age_ms)
        self._put(unknown, bytes(len(unknown) * _VECTOR_BYTES), now_ms - self._max_age_ms + sooner_ms)
        self._metrics.followee_reads.labels("found").inc(len(known))
        self._metrics.followee_reads.labels("unknown").inc(len(unknown))
        self._metrics.followees.set(len(self._read))

    def _put(self, targets: list[int], vectors: bytes, at_ms: int) -> None:
        rows = np.frombuffer(vectors, "<f4").reshape(len(targets), DIM)
        self._read.put(np.array(targets, np.uint64), rows, at_ms)


def _is_vector(value: bytes | None) -> TypeGuard[bytes]:
    return value is not None and len(value) == _VECTOR_BYTES and bool(np.isfinite(np.frombuffer(value, "<f4")).all())
