"""The published id hash, byte by byte: FNV-1a, then MurmurHash3's finaliser."""

from functools import lru_cache

_MASK = 2**64 - 1


@lru_cache(maxsize=4_096)
def slow_hash(raw: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in raw:
        value = (value ^ byte) * 0x100000001B3 & _MASK
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & _MASK
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 & _MASK
    value ^= value >> 33
    return value or 1
