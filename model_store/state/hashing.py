"""Stable hashes of ids, and Kafka's default partitioner.

Ids are hashed by 64-bit FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/) with MurmurHash3's finaliser, since FNV's
high bits mix badly. The hash is part of the stored state: it must never change.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel

_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_33 = np.uint64(33)
_SEPARATOR = 0


@dataclass(frozen=True, slots=True)
class IdColumn:
    """Hashes of n ids.

    Attributes:
        hash: uint64 [n], never 0.
        byte_length: int32 [n], length in UTF-8.
        clean: bool [n], False where an id has an ASCII control character.
    """

    hash: npt.NDArray[np.uint64]
    byte_length: npt.NDArray[np.int32]
    clean: npt.NDArray[np.bool_]


def hash_id(text: str) -> int:
    """Hash of one id, in 1 .. 2**64 - 1. Raises UnicodeEncodeError for a lone surrogate."""
    raw = np.frombuffer(text.encode(), np.uint8)
    return int(_hash_range(raw, 0, len(raw)))


def hash_ids(texts: Sequence[str]) -> IdColumn:
    """Hashes of n ids, at a few nanoseconds a byte. Raises UnicodeEncodeError for a lone surrogate."""
    raw = np.frombuffer("\0".join(texts).encode(), np.uint8)
    count = len(texts)
    hashes, lengths = np.empty(count, np.uint64), np.empty(count, np.int32)
    clean = np.empty(count, np.bool_)
    if count and _hash_joined(raw, hashes, lengths, clean) != count:
        _hash_one_by_one(texts, hashes, lengths, clean)
    return IdColumn(hashes, lengths, clean)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's default partitioner (Java clients: murmur2) gives to a key."""
    return int(_murmur2(np.frombuffer(key, np.uint8)) & 0x7FFFFFFF) % partitions


def _hash_one_by_one(
    texts: Sequence[str],
    hashes: npt.NDArray[np.uint64],
    lengths: npt.NDArray[np.int32],
    clean: npt.NDArray[np.bool_],
) -> None:
    # An id that contains the separator itself: rare and never clean, but its neighbours must keep their hashes.
    for i, text in enumerate(texts):
        encoded = text.encode()
        hashes[i], lengths[i] = hash_id(text), len(encoded)
        clean[i] = all(byte >= 0x20 and byte != 0x7F for byte in encoded)


@kernel
def _hash_range(raw, start, stop):  # type: ignore[no-untyped-def]
    value = _FNV_OFFSET
    for i in range(start, stop):
        value = (value ^ np.uint64(raw[i])) * _FNV_PRIME
    value ^= value >> _33
    value *= _MIX_1
    value ^= value >> _33
    value *= _MIX_2
    value ^= value >> _33
    return value if value != np.uint64(0) else np.uint64(1)


@kernel
def _hash_joined(raw, hashes, lengths, clean):  # type: ignore[no-untyped-def]
    """Returns the number of segments; writes at most len(hashes) of them."""
    start, n, fine = 0, 0, True
    for i in range(len(raw) + 1):
        if i == len(raw) or raw[i] == _SEPARATOR:
            if n < len(hashes):
                hashes[n] = _hash_range(raw, start, i)
                lengths[n] = i - start
                clean[n] = fine
            start, n, fine = i + 1, n + 1, True
        elif raw[i] < 0x20 or raw[i] == 0x7F:
            fine = False
    return n


@kernel
def _murmur2(data):  # type: ignore[no-untyped-def]
    """Kafka's murmur2 (org.apache.kafka.common.utils.Utils.murmur2), in 32-bit arithmetic."""
    mask = np.uint64(0xFFFFFFFF)
    m = np.uint64(0x5BD1E995)
    h = (np.uint64(0x9747B28C) ^ np.uint64(len(data))) & mask
    whole = len(data) // 4
    for i in range(whole):
        k = (
            np.uint64(data[4 * i])
            | (np.uint64(data[4 * i + 1]) << np.uint64(8))
            | (np.uint64(data[4 * i + 2]) << np.uint64(16))
            | (np.uint64(data[4 * i + 3]) << np.uint64(24))
        )
        k = (k * m) & mask
        k ^= k >> np.uint64(24)
        k = (k * m) & mask
        h = ((h * m) & mask) ^ k
    rest = len(data) - 4 * whole
    if rest == 3:
        h ^= np.uint64(data[4 * whole + 2]) << np.uint64(16)
    if rest >= 2:
        h ^= np.uint64(data[4 * whole + 1]) << np.uint64(8)
    if rest >= 1:
        h ^= np.uint64(data[4 * whole])
        h = (h * m) & mask
    h ^= h >> np.uint64(13)
    h = (h * m) & mask
    h ^= h >> np.uint64(15)
    return h
