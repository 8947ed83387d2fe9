"""Rolling windows of 1 h, 24 h, 7 d and 30 d, kept in time buckets of event time.

Three grids: 6 buckets of 10 minutes, 8 of 3 hours, 30 of a day; the 7 d window is the last 7 day-buckets. A grid's
*head* is its latest bucket (+1, so that zero is empty). An event lands in its own bucket however late it is; one older
than a grid is left out of that grid. A window is the sum of its last buckets including the current one: it never holds
an event older than its length, and spans at least its length less one bucket.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel
from model_store.state.layout import BUCKET_MS, BUCKET_START, BUCKETS, WINDOWS

_WINDOW_GRID = (0, 1, 2, 2)
_WINDOW_BUCKETS = (6, 8, 7, 30)
_U16_MAX = 65_535
_U32_MAX = 4_294_967_295


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """Windows of n users, each array int64 [n, 4] in the order of `WINDOWS`.

    Attributes:
        clicks, ratings, follows: events. Follows count new follows, unfollows are not counted.
        dwell_ms: total dwell of the clicks.
        rating_sum: sum of the ratings in thousandths of their scale; divide by 1000 * ratings for the mean in 0..1.
    """

    clicks: npt.NDArray[np.int64]
    dwell_ms: npt.NDArray[np.int64]
    ratings: npt.NDArray[np.int64]
    rating_sum: npt.NDArray[np.int64]
    follows: npt.NDArray[np.int64]

    @staticmethod
    def concat(parts: "list[WindowCounts]") -> "WindowCounts":
        """The users of one part after those of the other."""
        return WindowCounts(
            clicks=np.concatenate([part.clicks for part in parts]),
            dwell_ms=np.concatenate([part.dwell_ms for part in parts]),
            ratings=np.concatenate([part.ratings for part in parts]),
            rating_sum=np.concatenate([part.rating_sum for part in parts]),
            follows=np.concatenate([part.follows for part in parts]),
        )


def read(records: npt.NDArray[np.void], rows: npt.NDArray[np.int64], as_of_ms: npt.NDArray[np.int64]) -> WindowCounts:
    """Windows of the users in `rows` (int64 [n]) as they stand at `as_of_ms` (int64 [n])."""
    out = np.zeros((5, len(rows), len(WINDOWS)), np.int64)
    _read(records, rows, as_of_ms, out)
    return WindowCounts(out[0], out[1], out[2], out[3], out[4])


def history(record: np.void) -> dict[str, list[int]]:
    """Clicks, ratings and follows together by bucket, oldest first, for each window as it stood at the user's latest
    event. Each sums to what `read` counts then."""
    events = (record["bucket_clicks"].astype(np.int64) + record["bucket_ratings"] + record["bucket_follows"]).tolist()
    by_window = {}
    for name, grid, buckets in zip(WINDOWS, _WINDOW_GRID, _WINDOW_BUCKETS, strict=True):
        current, head = int(record["event_ts_ms"]) // BUCKET_MS[grid] + 1, int(record["bucket_head"][grid])
        held = range(max(head - BUCKETS[grid], 0) + 1, head + 1)
        slots = {bucket: BUCKET_START[grid] + bucket % BUCKETS[grid] for bucket in held}
        asked = range(current - buckets + 1, current + 1)
        by_window[name] = [events[slots[bucket]] if bucket in slots else 0 for bucket in asked]
    return by_window


@kernel
def _read(records, rows, as_of_ms, out):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        record = records[rows[i]]
        for window in range(len(_WINDOW_GRID)):
            grid = _WINDOW_GRID[window]
            current = as_of_ms[i] // BUCKET_MS[grid] + 1
            newest = min(current, np.int64(record.bucket_head[grid]))
            oldest = max(
                current - _WINDOW_BUCKETS[window], np.int64(record.bucket_head[grid]) - BUCKETS[grid], np.int64(0)
            )
            for bucket in range(oldest + 1, newest + 1):
                slot = BUCKET_START[grid] + bucket % BUCKETS[grid]
                out[0, i, window] += record.bucket_clicks[slot]
                out[1, i, window] += record.bucket_dwell_ms[slot]
                out[2, i, window] += record.bucket_ratings[slot]
                out[3, i, window] += record.bucket_rating_sum[slot]
                out[4, i, window] += record.bucket_follows[slot]


@kernel
def _slot_of(record, grid, ts_ms):  # type: ignore[no-untyped-def]
    """Slot of the bucket of `ts_ms`, the grid moved on if it is a new one; -1 if it is older than the grid."""
    bucket = ts_ms // BUCKET_MS[grid] + 1
    head = np.int64(record.bucket_head[grid])
    if bucket > head:
        for empty in range(max(head + 1, bucket - BUCKETS[grid] + 1), bucket + 1):
            slot = BUCKET_START[grid] + empty % BUCKETS[grid]
            record.bucket_clicks[slot] = 0
            record.bucket_dwell_ms[slot] = 0
            record.bucket_ratings[slot] = 0
            record.bucket_rating_sum[slot] = 0
            record.bucket_follows[slot] = 0
        record.bucket_head[grid] = bucket
    elif bucket <= head - BUCKETS[grid]:
        return -1
    return BUCKET_START[grid] + bucket % BUCKETS[grid]


@kernel
def add(record, ts_ms, clicks, dwell_ms, ratings, rating_sum, follows):  # type: ignore[no-untyped-def]
    """Add to (or, negative, take from) the buckets of `ts_ms`. Counters stop at the ends of their range."""
    for grid in range(len(BUCKETS)):
        slot = _slot_of(record, grid, ts_ms)
        if slot < 0:
            continue
        record.bucket_clicks[slot] = min(np.int64(record.bucket_clicks[slot]) + clicks, _U16_MAX)
        record.bucket_dwell_ms[slot] = min(np.int64(record.bucket_dwell_ms[slot]) + dwell_ms, _U32_MAX)
        record.bucket_ratings[slot] = min(max(np.int64(record.bucket_ratings[slot]) + ratings, 0), _U16_MAX)
        record.bucket_rating_sum[slot] = np.int64(record.bucket_rating_sum[slot]) + rating_sum
        record.bucket_follows[slot] = min(max(np.int64(record.bucket_follows[slot]) + follows, 0), _U16_MAX)
