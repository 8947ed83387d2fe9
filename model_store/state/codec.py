"""A state as bytes, for the changelog.

    word 0           codec version
    bitmap           bit i % 64 of bitmap word i // 64 is set where 8-byte word i of the record is not zero
    then             those words, in order

all little-endian. Exact, independent of what the words mean, and short for most users, since *empty is zero* in the
layout. Codec version 4 is the same with the sums quantised (`quantised.py`). A tombstone (an empty value) is for the
caller.

Every release reads all versions that were ever written: a record of an older one is decoded by that version's layout
and copied field by field, so a field that was added since starts empty. A newer one is refused.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel
from model_store.state.layout import USER
from model_store.state.quantised import QUANTISED, quantised, restored

EXACT, IN_BYTES = 3, 4  # 1 and 2 were before the first release
NEWEST = IN_BYTES
LAYOUTS: dict[int, np.dtype[np.void]] = {EXACT: USER, IN_BYTES: QUANTISED}
"""Every layout that was ever written, by codec version; add, never change."""
LAST_VERSION = 255
"""Versions end here: a larger first word is no version but damage, or text that somebody else wrote."""


class CodecError(ValueError):
    """A value that cannot be decoded. `place` is its index among those given."""

    def __init__(self, place: int, why: str) -> None:
        super().__init__(f"state record {place} {why}")
        self.place, self.why = place, why


class DamagedState(CodecError):  # noqa: N818  # what it is, not what went wrong
    """Not a state: damaged, or written by somebody else."""


class NewerCodec(CodecError):  # noqa: N818
    """A state that a later release wrote."""


def encode(
    records: npt.NDArray[np.void], rows: npt.NDArray[np.int64], version: int = EXACT
) -> tuple[memoryview, npt.NDArray[np.int64]]:
    """States of the users in `rows` one after the other, and at which byte each begins: int64 [n + 1]. `version`:
    `EXACT` or `IN_BYTES`."""
    if version == IN_BYTES:
        records, rows = quantised(records[rows]), np.arange(len(rows))
    words, head = _as_words(records), _head_words(LAYOUTS[version])
    ends = np.zeros(len(rows) + 1, np.int64)
    _measure(words, rows, head, ends)
    out = np.zeros(ends[-1], np.uint64)
    _encode(words, rows, ends, out, version, head)
    return out.view(np.uint8).data, 8 * ends


def decode(values: Sequence[bytes]) -> npt.NDArray[np.void]:
    """`USER` [n] of n encoded states. Raises DamagedState or NewerCodec, which names the first such one."""
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    _refuse(np.flatnonzero((lengths == 0) | (lengths % 8 != 0)), "its length is not a whole number of words")
    ends = np.zeros(len(values) + 1, np.int64)
    np.cumsum(lengths // 8, out=ends[1:])
    raw = np.frombuffer(b"".join(values), np.uint64)
    versions = raw[ends[:-1]]
    if (versions == EXACT).all():
        return _decode_version(raw, ends, np.arange(len(values)), EXACT)
    out = np.zeros(len(values), USER)
    for version in np.unique(versions).tolist():
        chosen = np.flatnonzero(versions == version)
        out[chosen] = _upgraded(_decode_version(raw, ends, chosen, version))
    return out


def _decode_version(
    raw: npt.NDArray[np.uint64], ends: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64], version: int
) -> npt.NDArray[np.void]:
    if version not in LAYOUTS:
        if version < min(LAYOUTS) or version > LAST_VERSION:
            raise DamagedState(int(chosen[0]), f"is damaged: {version} is no codec version")
        raise NewerCodec(
            int(chosen[0]),
            f"has codec version {version}, this release reads up to {NEWEST}: a later one wrote it, upgrade to that",
        )
    layout = LAYOUTS[version]
    old = np.zeros(len(chosen), layout)
    bad = int(_decode(raw, ends, chosen, _as_words(old), _head_words(layout)))
    _refuse(chosen[bad : bad + 1] if bad >= 0 else chosen[:0], "its length does not fit its bitmap")
    return old


def _refuse(bad: npt.NDArray[np.int64], why: str) -> None:
    if len(bad):
        raise DamagedState(int(bad[0]), f"is damaged: {why}")


def _upgraded(old: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    if old.dtype == USER:
        return old
    if old.dtype == QUANTISED:
        return restored(old)
    new = np.zeros(len(old), USER)
    for name in set(old.dtype.names or ()) & set(USER.names or ()):
        new[name] = old[name]
    return new


def _as_words(records: npt.NDArray[np.void]) -> npt.NDArray[np.uint64]:
    return records.view(np.uint64).reshape(len(records), records.dtype.itemsize // 8)


def _head_words(layout: np.dtype[np.void]) -> int:
    """Words before the record's own."""
    return 1 + (layout.itemsize // 8 + 63) // 64


@kernel
def _measure(words, rows, head, ends):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        present = 0
        for word in range(words.shape[1]):
            present += words[rows[i], word] != 0
        ends[i + 1] = ends[i] + head + present


@kernel
def _encode(words, rows, ends, out, version, head):  # type: ignore[no-untyped-def]
    count = words.shape[1]
    for i in range(len(rows)):
        start = ends[i]
        at = start + head
        out[start] = version
        for first in range(0, count, 64):
            bits = np.uint64(0)
            for word in range(first, min(first + 64, count)):
                value = words[rows[i], word]
                if value != 0:
                    bits |= np.uint64(1) << np.uint64(word & 63)
                    out[at] = value
                    at += 1
            out[start + 1 + (first >> 6)] = bits


@kernel
def _decode(raw, ends, chosen, words, head):  # type: ignore[no-untyped-def]
    """Returns the index in `chosen` of the first damaged record, or -1."""
    count = words.shape[1]
    for i in range(len(chosen)):
        start, stop = ends[chosen[i]], ends[chosen[i] + 1]
        at = start + head
        if at > stop:
            return i
        for first in range(0, count, 64):
            bits = raw[start + 1 + (first >> 6)]
            for word in range(first, min(first + 64, count)):
                if bits & np.uint64(1):
                    if at == stop:
                        return i
                    words[i, word] = raw[at]
                    at += 1
                bits >>= np.uint64(1)
            if bits != 0:  # of words that the record does not have
                return i
        if at != stop:
            return i
    return -1
