"""Many users' interests as one blob for `guarded_write.lua`, in compiled code.

For each user, packed, little-endian: flag u8; version, event_ts, events u64 (below 2**53, to where Lua's numbers are
exact); lengths of topics and windows u32; the four vectors; topics and windows as JSON.
"""

from dataclasses import dataclass
from functools import lru_cache

import msgspec
import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel
from model_store.state.layout import WINDOWS
from model_store.state.windows import WindowCounts
from stream_app.contracts.redis_layout import FACETS, TOP_TOPICS, VECTOR_BYTES
from stream_app.contracts.views import InterestViews

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]

PLAIN, RECOMMENDATION, ERASED = 0, 1, 2

_HEAD = np.dtype(
    [("flag", "u1"), ("version", "<u8"), ("event_ts", "<u8"), ("events", "<u8"), ("topics", "<u4"), ("windows", "<u4")]
)
HEAD_BYTES = _HEAD.itemsize
_LENGTHS_AT = 25
_VECTORS_BYTES = len(FACETS) * VECTOR_BYTES
# Weights are written in ten-thousandths and rating means in thousandths: exact sums, short texts.
_WEIGHT_DIGITS, _WEIGHT_UNITS = 4, 10_000
_MEAN_DIGITS, _MEAN_UNITS = 3, 1_000
# The last fragment of a window ends it; the longest 64-bit number has 20 characters.
_COUNTERS = ("clicks", "dwell_ms", "ratings", "rating_mean", "follows")
_RATINGS, _RATING_MEAN = 2, 3
_LONGEST_NUMBER = 20


@dataclass(frozen=True, slots=True)
class Fragments:
    """JSON texts that stand between numbers.

    Attributes:
        text: uint8, all of them joined.
        ends: int64 [m], where each ends.
        longest: bytes of the longest, 0 where there are none.
    """

    text: UInt8
    ends: Int64
    longest: int

    @classmethod
    def of(cls, texts: list[bytes]) -> "Fragments":
        lengths = [len(text) for text in texts]
        return cls(
            np.frombuffer(b"".join(texts), np.uint8).copy(), np.cumsum(lengths, dtype=np.int64), max(lengths, default=0)
        )


def pack(views: InterestViews, start: int, stop: int) -> bytes:
    """The blob of the users start..stop."""
    head = _head(views, start, stop)
    names, between = _topic_names(views.topics), _window_texts()
    topics_bytes = 2 + TOP_TOPICS * (1 + names.longest + 2 + _WEIGHT_DIGITS)
    windows_bytes = len(between.text) + len(between.ends) * _LONGEST_NUMBER
    out = np.empty(len(head) * (_HEAD.itemsize + _VECTORS_BYTES + topics_bytes + windows_bytes), np.uint8)
    end = _pack(
        head.view(np.uint8).reshape(len(head), _HEAD.itemsize),
        np.require(views.outputs[start:stop], np.float32, ["C", "W"]),
        _counters(views.windows, slice(start, stop)),
        names.text,
        names.ends,
        between.text,
        between.ends,
        _VECTORS_BYTES,
        TOP_TOPICS,
        out,
    )
    return out[:end].tobytes()


def _head(views: InterestViews, start: int, stop: int) -> npt.NDArray[np.void]:
    head = np.zeros(stop - start, _HEAD)
    head["version"] = views.version[start:stop]
    head["event_ts"] = views.event_ts_ms[start:stop]
    head["events"] = views.events[start:stop]
    head["flag"][[i - start for i in views.recommendations if start <= i < stop]] = RECOMMENDATION
    head["flag"][views.erased[start:stop]] = ERASED
    return head


def _counters(windows: WindowCounts, part: slice) -> Int64:
    """int64 [n, windows, counters], rating sums in the place of their means."""
    counts = (windows.clicks, windows.dwell_ms, windows.ratings, windows.rating_sum, windows.follows)
    return np.stack([count[part] for count in counts], axis=2)


@lru_cache(maxsize=4)
def _topic_names(topics: tuple[str, ...]) -> Fragments:
    return Fragments.of([msgspec.json.encode(topic) + b":" for topic in topics])


@lru_cache(maxsize=1)
def _window_texts() -> Fragments:
    """What stands before each number, window by window, and the end."""
    texts = []
    for window in WINDOWS:
        opening = f'"{window}":{{"{_COUNTERS[0]}":'
        texts.append(("{" if window == WINDOWS[0] else "},") + opening)
        texts += [f',"{counter}":' for counter in _COUNTERS[1:]]
    return Fragments.of([text.encode() for text in [*texts, "}}"]])


@kernel
def _pack(  # type: ignore[no-untyped-def]
    heads, outputs, counters, names, name_ends, between, between_ends, vectors_bytes, top_topics, out
):
    # What comes from other modules is passed in: numba's cache notices a change of this file only.
    vectors = outputs.view(np.uint8)
    first_topic = vectors_bytes // 4
    at = 0
    for i in range(len(heads)):
        lengths_at = at + _LENGTHS_AT
        at = _put(out, at, heads[i])
        at = _put(out, at, vectors[i, :vectors_bytes])
        topics_at = at
        at = _put_topics(out, at, outputs[i, first_topic:], names, name_ends, top_topics)
        windows_at = at
        at = _put_windows(out, at, counters[i], between, between_ends)
        _put_u32(out, lengths_at, windows_at - topics_at)
        _put_u32(out, lengths_at + 4, at - windows_at)
    return at


@kernel
def _put(out, at, raw):  # type: ignore[no-untyped-def]
    out[at : at + len(raw)] = raw
    return at + len(raw)


@kernel
def _put_u32(out, at, value):  # type: ignore[no-untyped-def]
    for i in range(4):
        out[at + i] = (value >> (8 * i)) & 0xFF


@kernel
def _put_int(out, at, value):  # type: ignore[no-untyped-def]
    if value < 0:
        out[at] = ord("-")
        at, value = at + 1, -value
    digits, rest = 1, value // 10
    while rest > 0:
        digits, rest = digits + 1, rest // 10
    for i in range(at + digits - 1, at - 1, -1):
        out[i] = ord("0") + value % 10
        value //= 10
    return at + digits


@kernel
def _put_share(out, at, units, whole, digits):  # type: ignore[no-untyped-def]
    """`units` of a `whole` of 10 ** digits, in 0..1, as a decimal fraction."""
    if units == whole:
        out[at] = ord("1")
        return at + 1
    out[at], out[at + 1] = ord("0"), ord(".")
    for i in range(at + 1 + digits, at + 1, -1):
        out[i] = ord("0") + units % 10
        units //= 10
    return at + 2 + digits


@kernel
def _put_fragment(out, at, texts, ends, k):  # type: ignore[no-untyped-def]
    return _put(out, at, texts[(ends[k - 1] if k else 0) : ends[k]])


@kernel
def _put_topics(out, at, weights, names, name_ends, top):  # type: ignore[no-untyped-def]
    """The heaviest topics, largest first. Rounding the running sum rather than each weight makes them sum to 1."""
    order, total = _heaviest(weights, top)
    out[at] = ord("{")
    at, running, spent = at + 1, 0.0, 0
    for rank in range(len(order)):
        if not 0 < total < np.inf or order[rank] < 0:
            break
        running += weights[order[rank]]
        units = round(_WEIGHT_UNITS * (running / total)) - spent
        if units > 0:
            if spent:
                out[at] = ord(",")
                at += 1
            at = _put_fragment(out, at, names, name_ends, order[rank])
            at = _put_share(out, at, units, _WEIGHT_UNITS, _WEIGHT_DIGITS)
            spent += units
    out[at] = ord("}")
    return at + 1


@kernel
def _heaviest(weights, top):  # type: ignore[no-untyped-def]
    """Indices of the `top` largest positive weights, -1 where there are fewer, and the sum of those weights."""
    order = np.full(top, -1, np.int64)
    for j in range(len(weights)):
        place = top
        while place > 0 and weights[j] > 0 and (order[place - 1] < 0 or weights[order[place - 1]] < weights[j]):
            place -= 1
            if place + 1 < top:
                order[place + 1] = order[place]
            order[place] = -1
        if place < top:
            order[place] = j
    total = 0.0
    for rank in range(top):
        if order[rank] >= 0:
            total += weights[order[rank]]
    return order, total


@kernel
def _put_windows(out, at, counters, between, between_ends):  # type: ignore[no-untyped-def]
    k = 0
    for window in range(counters.shape[0]):
        for counter in range(counters.shape[1]):
            at = _put_fragment(out, at, between, between_ends, k)
            k += 1
            if counter == _RATING_MEAN:
                at = _put_mean(out, at, counters[window, counter], counters[window, _RATINGS])
            else:
                at = _put_int(out, at, counters[window, counter])
    return _put_fragment(out, at, between, between_ends, k)


@kernel
def _put_mean(out, at, total, count):  # type: ignore[no-untyped-def]
    if count <= 0:
        out[at], out[at + 1], out[at + 2], out[at + 3] = ord("n"), ord("u"), ord("l"), ord("l")
        return at + 4
    return _put_share(out, at, min(max((total + count // 2) // count, 0), _MEAN_UNITS), _MEAN_UNITS, _MEAN_DIGITS)
