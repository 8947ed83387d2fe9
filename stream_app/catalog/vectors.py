"""Where the model has items as a vector set, where Redis has those (from 8.0 on; Valkey has none).

Several processes put items there, and all elements of a set are of one bound. So whoever adds looks at the bound again
afterwards, and adds once more if it is another one; whoever builds the set under a larger bound looks again afterwards
at all that has come and gone meanwhile. The hashes are written before the set, so they are never older than it.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog
from redis import RedisCluster
from redis.exceptions import NoPermissionError

from model_store.state.layout import DIM
from stream_app.contracts.item_vectors import elements, lengths
from stream_app.contracts.redis_layout import (
    VECTOR_BYTES,
    PlaceField,
    bound_key,
    building_key,
    place_key,
    vectors_key,
)

log = structlog.get_logger(__name__)

Float32 = npt.NDArray[np.float32]
Hash = tuple[bytes, bytes]
"""Vector and bias of an item as they are written."""

_ROOM = 2.0
"""A bound is so many times the largest length it was chosen for: each new bound costs a whole set."""
_AT_ONCE = 1_000
_ALL = 1 << 30
_ABANDONED_S = 3_600
"""After which a set goes that was never finished; one of a million items takes minutes."""

# What the set had is returned, so that what others put there meanwhile can be looked at again.
_SWAP = """
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then return false end
local had = redis.call('VRANDMEMBER', KEYS[1], ARGV[3]) or {}
redis.call('DEL', KEYS[1])
if redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('RENAME', KEYS[3], KEYS[1])
  redis.call('PERSIST', KEYS[1])
end
redis.call('SET', KEYS[2], ARGV[2])
return had
"""


class ItemVectors:
    """Writes `item:vectors` of a generation, see `contracts.redis_layout`; nothing where the server has no such type.

    Methods may raise RedisError and be repeated harmlessly then. Where the user may not, that is said once.
    """

    def __init__(self, client: Any, generation: int) -> None:
        self._client, self._generation = client, generation
        self._set, self._bound = vectors_key(generation), bound_key(generation)
        self._swap = client.register_script(_SWAP)
        self._can: bool | None = None

    def put(self, ids: Sequence[str], vectors: Float32, bias: Float32) -> None:
        """n items, float32 [n, DIM] and float32 [n], whose hashes are written; those of bias -inf are offered to
        nobody, and leave the set."""
        if not (ids and self._has_sets()):
            return
        offered = np.isfinite(bias)
        with self._as_far_as_allowed():
            self._remove([item.encode() for item, is_offered in zip(ids, offered, strict=True) if not is_offered])
            some = [item.encode() for item, is_offered in zip(ids, offered, strict=True) if is_offered]
            self._add(some, vectors[offered], bias[offered])

    def remove(self, ids: Sequence[str]) -> None:
        """Items whose hashes are gone; some may not be there."""
        if ids and self._has_sets():
            with self._as_far_as_allowed():
                self._remove([item.encode() for item in ids])

    def _has_sets(self) -> bool:
        if self._can is None:
            client, where = self._client, {}
            if isinstance(client, RedisCluster):
                where["target_nodes"] = client.get_random_node()  # type: ignore[no-untyped-call]
            self._can = client.execute_command("COMMAND INFO", "VADD", **where)[0] is not None
        return self._can

    @contextmanager
    def _as_far_as_allowed(self) -> Iterator[None]:
        try:
            yield
        except NoPermissionError as error:
            self._can = False
            log.warning(
                "items are not put into a vector set: give the Redis user the rights of deploy/redis-8-users.acl, "
                "then start anew", why=str(error)[:300],
            )  # fmt: skip

    def _remove(self, ids: Sequence[bytes]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for item in ids:
            pipeline.execute_command("VREM", self._set, item)
        if ids:
            pipeline.execute()

    def _add(self, ids: Sequence[bytes], vectors: Float32, bias: Float32) -> None:
        if not ids:
            return
        largest, before = float(lengths(vectors, bias).max()), None
        while before is None or self._put_under(before, ids, vectors, bias) != before:
            before = self._bound_above(largest)

    def _put_under(self, before: bytes, ids: Sequence[bytes], vectors: Float32, bias: Float32) -> bytes | None:
        """Returns the bound that holds afterwards."""
        pipeline = self._client.pipeline(transaction=False)
        _vadd(pipeline, self._set, ids, elements(vectors, bias, float(before)))
        pipeline.get(self._bound)
        after: bytes | None = pipeline.execute()[-1]
        return after

    def _bound_above(self, largest: float) -> bytes:
        while True:
            before: bytes | None = self._client.get(self._bound)
            if before is not None and float(before) >= largest:
                return before
            self._build(before or b"", _ROOM * largest or 1.0)

    def _build(self, before: bytes, bound: float) -> None:
        """All of the set under another bound, unless somebody else has done so meanwhile."""
        key = building_key(self._generation, secrets.token_hex(8).encode())
        built: dict[bytes, Hash] = {}
        for part in _parts(self._client.execute_command("VRANDMEMBER", self._set, _ALL) or ()):
            now = self._fitting(self._hashes(part), bound)
            pipeline = self._client.pipeline(transaction=False)
            _vadd(pipeline, key, list(now), elements(*_arrays(now), bound))
            pipeline.expire(key, _ABANDONED_S)
            pipeline.execute()
            built |= now
        had = self._swap(keys=[self._set, self._bound, key], args=[before, repr(bound), _ALL])
        if had is None:
            self._client.delete(key)
            return
        log.info("the vector set of items has another bound", bound=bound, items=len(built))
        for part in _parts(built.keys() | set(had)):
            self._look_again(part, built)

    def _look_again(self, ids: Sequence[bytes], built: dict[bytes, Hash]) -> None:
        now = self._hashes(ids)
        self._remove([item for item in ids if item not in now])
        moved = {item: raw for item, raw in now.items() if built.get(item) != raw}
        self._add(list(moved), *_arrays(moved))

    def _hashes(self, ids: Sequence[bytes]) -> dict[bytes, Hash]:
        """Those that lie somewhere and are offered."""
        pipeline = self._client.pipeline(transaction=False)
        for item in ids:
            pipeline.hmget(place_key(item, self._generation), PlaceField.VECTOR, PlaceField.BIAS)
        rows = pipeline.execute() if ids else []
        return {item: (vector, bias) for item, (vector, bias) in zip(ids, rows, strict=True) if _is_place(vector, bias)}

    @staticmethod
    def _fitting(hashes: dict[bytes, Hash], bound: float) -> dict[bytes, Hash]:
        """Others are put by whoever wrote their hashes."""
        fits = lengths(*_arrays(hashes)) <= bound
        return {item: raw for (item, raw), does in zip(hashes.items(), fits.tolist(), strict=True) if does}


def _vadd(pipeline: Any, key: bytes, ids: Sequence[bytes], rows: Float32) -> None:
    # In 8 bits instead, 94% of the best twenty of 10,000 made-up items were found by looking at all, scores were off
    # by up to 1, and the set was a fifth smaller.
    for item, row in zip(ids, rows, strict=True):
        pipeline.execute_command("VADD", key, "FP32", row.tobytes(), item, "NOQUANT")


def _is_place(vector: bytes | None, bias: bytes | None) -> bool:
    return vector is not None and bias is not None and len(vector) == VECTOR_BYTES and bool(np.isfinite(float(bias)))


def _arrays(hashes: dict[bytes, Hash]) -> tuple[Float32, Float32]:
    vectors = np.frombuffer(b"".join(vector for vector, _ in hashes.values()), "<f4").reshape(-1, DIM)
    return vectors, np.array([float(bias) for _, bias in hashes.values()], np.float32)


def _parts(ids: Iterable[bytes]) -> Iterator[list[bytes]]:
    every = list(ids)
    for start in range(0, len(every), _AT_ONCE):
        yield every[start : start + _AT_ONCE]
