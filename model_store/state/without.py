"""A state without one of its clicks: what would be remembered had the user never met that item.

A memory is a sum of what events wrote, so a click can be taken out of it again: the write table has its vector, and how
far it has faded follows from its place among the clicks (rank lanes, exact but for rounding) and from its time (time
lanes). The ring keeps no times. The windows tell the bucket of the click, counted from the newest, as if clicks came in
order of time; inside the bucket the item's rating tells the second, or else the middle is taken. So time lanes are as
exact as that: within 5 minutes in the latest hour, 90 minutes in the latest day, half a day in the latest 30 days. A
lane that the click had nearly to itself reads as empty afterwards: the rest has faded too far to be told from error.
A click on an item of which the catalogue told only afterwards is taken out as if it had been told of before.
"""

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel
from model_store.state.advance import decay, load_vector, take_rating_back, write
from model_store.state.layout import (
    BUCKET_MS,
    BUCKET_START,
    BUCKETS,
    DIM,
    FACET_DIM,
    LONGEST_WINDOW_MS,
    RANK_LANES,
    RATED,
    RING,
    TIME_LANES,
    WITHDRAWN,
)
from model_store.state.lookup import find
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable

_NOTHING = 0.01
"""A lane that keeps less of its weight than this was the click's alone: the rest is hardly more than rounding and the
error of the click's time."""


def without(
    records: npt.NDArray[np.void],
    rows: npt.NDArray[np.int64],
    ages: npt.NDArray[np.int64],
    writes: WriteTable,
    decays: Decays,
) -> npt.NDArray[np.void]:
    """`USER` [n]: copies of `records[rows]` (int64 [n]) without the click of age `ages` (int64 [n], 0 for the newest).

    The item's rating goes with its click, where the state still holds it. All that scores are made of is changed:
    lanes and their weights, ring and clicks; windows, counters and the filter of seen items stay. A copy of a user who
    has no such click in the ring is as the original.
    """
    # The context stays as the windows do: the state does not tell the hour of a click older than a day, or its region.
    out = records[rows]
    _take_out(
        out, ages, writes.item_hashes, writes.slots, writes.vectors, writes.content, writes.scale,
        decays.rank_steps, decays.time_rates,
    )  # fmt: skip
    return out


@kernel
def _take_out(  # type: ignore[no-untyped-def]
    records, ages, item_hashes, slots, vectors, content, scale, rank_steps, time_rates
):
    vector, unknown = np.empty(DIM, np.float32), np.zeros(FACET_DIM, np.float32)
    for i in range(len(records)):
        record, age = records[i], ages[i]
        if age < _held(record):
            item = record.ring[_slot(record, age)]
            _forget_in_rank(record, age, item_hashes, slots, vectors, scale, rank_steps, vector)
            known = find(item_hashes, slots, item)
            load_vector(vectors, known, scale, item, vector)
            facet = content[known] if known >= 0 else unknown
            _forget_in_time(record, age, item, scale, vector, facet, time_rates)
            _forget_in_ring(record, age)


@kernel
def _held(record):  # type: ignore[no-untyped-def]
    """How many clicks the ring holds."""
    return min(np.int64(record.clicks), RING)


@kernel
def _slot(record, age):  # type: ignore[no-untyped-def]
    return (np.int64(record.clicks) - 1 - age) % RING


@kernel
def _forget_in_rank(record, age, item_hashes, slots, vectors, scale, rank_steps, vector):  # type: ignore[no-untyped-def]
    """Take the clicks back down to that one, and let the newer ones come again."""
    for back in range(age + 1):
        item = record.ring[_slot(record, back)]
        load_vector(vectors, find(item_hashes, slots, item), scale, item, vector)
        for lane in range(RANK_LANES):
            by = np.float32(1.0 / rank_steps[lane])
            for d in range(DIM):
                record.rank[lane, d] = (record.rank[lane, d] - vector[d]) * by
            record.rank_weight[lane] = (record.rank_weight[lane] - np.float32(1.0)) * by
    for back in range(age - 1, -1, -1):
        item = record.ring[_slot(record, back)]
        load_vector(vectors, find(item_hashes, slots, item), scale, item, vector)
        for lane in range(RANK_LANES):
            step = np.float32(rank_steps[lane])
            for d in range(DIM):
                record.rank[lane, d] = record.rank[lane, d] * step + vector[d]
            record.rank_weight[lane] = record.rank_weight[lane] * step + np.float32(1.0)


@kernel
def _forget_in_time(record, age, item, scale, vector, facet, time_rates):  # type: ignore[no-untyped-def]
    before, content_before = record.time_weight.copy(), record.content_weight
    rest_ms = _latest_but(record, age, item)
    write(record, clicked_at_ms(record, age), -1.0, -1.0, vector, facet, time_rates)
    for slot in range(RATED):
        if record.rated_item[slot] == item and record.rated_value[slot] != WITHDRAWN:
            take_rating_back(record, slot, scale, vector, facet, time_rates)
            record.rated_value[slot] = WITHDRAWN
    for lane in range(TIME_LANES):
        if record.time_weight[lane] <= np.float32(_NOTHING) * before[lane]:
            record.time[lane, :], record.time_weight[lane] = np.float32(0), np.float32(0)
    if record.content_weight <= np.float32(_NOTHING) * content_before:
        record.content[:], record.content_weight = np.float32(0), np.float32(0)
    if 0 < rest_ms < record.bank_ts_ms:
        decay(record, rest_ms - record.bank_ts_ms, time_rates)
        record.bank_ts_ms = rest_ms


@kernel
def _latest_but(record, age, item):  # type: ignore[no-untyped-def]
    """Time of the latest click or rating but for the item's: to this the lanes would be decayed. 0: there is none."""
    other = 1 if age == 0 else 0
    latest = clicked_at_ms(record, other) if other < _held(record) else np.int64(0)
    for slot in range(RATED):
        if record.rated_item[slot] != item:
            latest = max(latest, np.int64(record.rated_ts_s[slot]) * 1000)
    return latest


@kernel
def clicked_at_ms(record, age):  # type: ignore[no-untyped-def]
    """Event time of a click in the ring, as near as the state can tell; see the module."""
    first, last = _bracket(record, age)
    last = min(last, np.int64(record.bank_ts_ms))
    item = record.ring[_slot(record, age)]
    for slot in range(RATED):
        rated = np.int64(record.rated_ts_s[slot]) * 1000
        if record.rated_item[slot] == item and first <= rated <= last:
            return rated
    return last if age == 0 else (first + last) // 2


@kernel
def _bracket(record, age):  # type: ignore[no-untyped-def]
    """First and last millisecond of the smallest bucket that holds the click, counted from the newest."""
    for grid in range(len(BUCKETS)):
        newer, head = 0, np.int64(record.bucket_head[grid])
        for bucket in range(head, max(np.int64(0), head - BUCKETS[grid]), -1):
            newer += record.bucket_clicks[BUCKET_START[grid] + bucket % BUCKETS[grid]]
            if newer > age:
                return (bucket - 1) * BUCKET_MS[grid], bucket * BUCKET_MS[grid] - 1
    oldest = max(np.int64(0), np.int64(record.bank_ts_ms) - LONGEST_WINDOW_MS)
    return oldest, oldest


@kernel
def _forget_in_ring(record, age):  # type: ignore[no-untyped-def]
    """Newer clicks move down by a slot; what the oldest of them overwrote once is not known any more."""
    for back in range(age, 0, -1):
        record.ring[_slot(record, back)] = record.ring[_slot(record, back - 1)]
    record.ring[_slot(record, 0)] = np.uint64(0)
    record.clicks -= 1
