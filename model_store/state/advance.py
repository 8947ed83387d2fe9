"""Advance users' states by events: the one place where an event changes a user.

One compiled pass over all events of a cycle, in their order, without the GIL. What each kind does is told in
`layout.py` (fields), `memory.py` (lanes) and `windows.py`. For a given user and input topic the order of events is
Kafka's; across topics it is whatever arrived first, and only sums of floats notice, in their last bits.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel
from model_store.state import context, seen, windows
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.layout import (
    DIM,
    EVENT_IDS,
    FACET_DIM,
    RANK_LANES,
    RATING_SCALE,
    RING,
    TIME_LANES,
    UNTOLD,
    WITHDRAWN,
    Kind,
    Outcome,
)
from model_store.state.lookup import find
from model_store.state.memory import Decays, rating_gain
from model_store.state.writes import WriteTable, hashed_vector

_CLICK, _FOLLOW, _RATING, _ERASURE = (int(kind) for kind in Kind)
_APPLIED, _REPLAYED = int(Outcome.APPLIED), int(Outcome.REPLAYED)
_CONTENT_RATE, _CONTEXT_RATE = TIME_LANES, TIME_LANES + 1  # places in `Decays.time_rates`
_DUPLICATE, _FORGOTTEN, _SUPERSEDED = int(Outcome.DUPLICATE), int(Outcome.FORGOTTEN), int(Outcome.SUPERSEDED)


@dataclass(frozen=True, slots=True)
class Advanced:
    """What a batch did.

    Attributes:
        outcome: int8 [n], an `Outcome` for each event.
        touched: int64 [m], distinct rows of all users in the batch, in order of first appearance. Users of replayed
            events are among them: the effects of the first delivery may have died with its worker.
        last_event: int64 [m], index in the batch of each touched user's last applied event; -1 if none was applied, or
            none since an erasure.
    """

    outcome: npt.NDArray[np.int8]
    touched: npt.NDArray[np.int64]
    last_event: npt.NDArray[np.int64]


def advance(
    arena: Arena, rows: npt.NDArray[np.int64], batch: EventBatch, writes: WriteTable, decays: Decays
) -> Advanced:
    """Apply n events to the records of `arena` at `rows` (int64 [n], from `arena.rows_of(batch.keys)`)."""
    count = len(rows)
    arena.cycle += 1
    outcome = np.empty(count, np.int8)
    touched, last_event = np.empty(count, np.int64), np.empty(count, np.int64)
    users = _advance(
        arena.records,
        arena.dirty,
        arena.stamp,
        arena.cycle * (1 << 32),
        rows,
        batch.kind,
        batch.offset,
        batch.ts_ms,
        batch.event,
        batch.item,
        batch.value,
        batch.region,
        writes.item_hashes,
        writes.slots,
        writes.vectors,
        writes.content,
        writes.scale,
        decays.rank_steps,
        decays.time_rates,
        outcome,
        touched,
        last_event,
    )
    return Advanced(outcome, touched[:users], last_event[:users])


@kernel
def _advance(  # type: ignore[no-untyped-def]
    records, dirty, stamp, base, rows, kind, offset, ts_ms, event, item, value, region,
    item_hashes, slots, vectors, content, scale, rank_steps, time_rates,
    outcome, touched, last_event,
):  # fmt: skip
    """Returns the number of touched users. `stamp` holds base + index in `touched` for users met in this pass."""
    users = 0
    vector, unknown = np.empty(DIM, np.float32), np.zeros(FACET_DIM, np.float32)
    for i in range(len(rows)):
        row = rows[i]
        if stamp[row] < base:
            stamp[row] = base + users
            touched[users], last_event[users] = row, -1
            users += 1
        record = records[row]
        result = _admit(record, kind[i], offset[i], ts_ms[i], event[i])
        if result == _APPLIED:
            if kind[i] == _CLICK or kind[i] == _RATING:
                known = find(item_hashes, slots, item[i])
                load_vector(vectors, known, scale, item[i], vector)
                facet = content[known] if known >= 0 else unknown
                if kind[i] == _CLICK:
                    _click(record, ts_ms[i], item[i], value[i], region[i], vector, facet, rank_steps, time_rates)
                else:
                    result = _rate(record, ts_ms[i], item[i], value[i], known >= 0, scale, vector, facet, time_rates)
            elif kind[i] == _FOLLOW:
                result = _follow(record, ts_ms[i], item[i], value[i] > 0)
            else:
                _erase(record, ts_ms[i], event[i])
        if result == _APPLIED:
            record.events += kind[i] != _ERASURE
            record.event_ts_ms = max(record.event_ts_ms, ts_ms[i])
            last_event[stamp[row] - base] = i if kind[i] != _ERASURE else -1
        if result != _REPLAYED:
            record.version += 1
            dirty[row] = True
        outcome[i] = result
    return users


@kernel
def _admit(record, kind, offset, ts_ms, event):  # type: ignore[no-untyped-def]
    """Whether an event is to be applied; takes note of its offset and id."""
    if offset < record.next_offset[kind]:
        return _REPLAYED
    record.next_offset[kind] = offset + 1
    if kind != _ERASURE and ts_ms <= record.erased_at_ms:
        return _FORGOTTEN
    for slot in range(EVENT_IDS):
        if record.event_id[slot] == event:
            return _DUPLICATE
    record.event_id[record.event_id_count % EVENT_IDS] = event
    record.event_id_count += 1
    return _APPLIED


@kernel
def load_vector(vectors, row, scale, item, out):  # type: ignore[no-untyped-def]
    if row < 0:
        hashed_vector(item, scale, out)
    else:
        for d in range(DIM):
            out[d] = vectors[row, d]


@kernel
def _click(record, ts_ms, item, dwell_ms, region, vector, facet, rank_steps, time_rates):  # type: ignore[no-untyped-def]
    for lane in range(RANK_LANES):
        step = np.float32(rank_steps[lane])
        for d in range(DIM):
            record.rank[lane, d] = record.rank[lane, d] * step + vector[d]
        record.rank_weight[lane] = record.rank_weight[lane] * step + np.float32(1.0)
    write(record, ts_ms, 1.0, 1.0, vector, facet, time_rates)
    context.count_click(record, ts_ms, region, time_rates[_CONTEXT_RATE])
    windows.add(record, ts_ms, 1, np.int64(dwell_ms), 0, 0, 0)
    record.ring[record.clicks % RING] = item
    record.clicks += 1
    seen.remember(record, item)


@kernel
def write(record, ts_ms, gain, weight, vector, facet, time_rates):  # type: ignore[no-untyped-def]
    """Add gain * vector, as old as `ts_ms` says, to the lanes that decay by time; weight to what they are divided by.

    `bank_ts_ms` moves on to the newest event; exponents are whole milliseconds times a rate, in double precision.
    """
    if ts_ms > record.bank_ts_ms:
        decay(record, ts_ms - record.bank_ts_ms, time_rates)
        record.bank_ts_ms = ts_ms
    age_ms = record.bank_ts_ms - ts_ms
    for lane in range(TIME_LANES):
        factor = 2.0 ** (-age_ms * time_rates[lane])
        scaled = np.float32(gain * factor)
        for d in range(DIM):
            record.time[lane, d] += scaled * vector[d]
        record.time_weight[lane] += np.float32(weight * factor)
    _write_content(record, age_ms, gain, weight, facet, time_rates)


@kernel
def _write_content(record, age_ms, gain, weight, facet, time_rates):  # type: ignore[no-untyped-def]
    known = False
    for d in range(FACET_DIM):
        known |= facet[d] != 0
    if known:
        factor = 2.0 ** (-age_ms * time_rates[_CONTENT_RATE])
        for d in range(FACET_DIM):
            record.content[d] += np.float32(gain * factor) * facet[d]
        record.content_weight += np.float32(weight * factor)


@kernel
def decay(record, age_ms, time_rates):  # type: ignore[no-untyped-def]
    for lane in range(TIME_LANES):
        factor = np.float32(2.0 ** (-age_ms * time_rates[lane]))
        for d in range(DIM):
            record.time[lane, d] *= factor
        record.time_weight[lane] *= factor
    factor = np.float32(2.0 ** (-age_ms * time_rates[_CONTENT_RATE]))
    for d in range(FACET_DIM):
        record.content[d] *= factor
    record.content_weight *= factor
    context.fade(record, age_ms, time_rates[_CONTEXT_RATE])


@kernel
def _rate(record, ts_ms, item, value, told, scale, vector, facet, time_rates):  # type: ignore[no-untyped-def]
    """Replace what the item's last rating added. A rating counts at whole seconds, since that is how it is kept."""
    ts_s = ts_ms // 1000
    slot = _slot(record.rated_item, record.rated_ts_s, item)
    same = record.rated_item[slot] == item
    if same and ts_s < record.rated_ts_s[slot]:
        return _SUPERSEDED
    thousandths = WITHDRAWN if np.isnan(value) else np.int64(np.rint(value * RATING_SCALE))
    if same and record.rated_value[slot] != WITHDRAWN:
        take_rating_back(record, slot, scale, vector, facet, time_rates)
    if thousandths != WITHDRAWN:
        count_rating(record, ts_s, thousandths, 1, vector, facet, time_rates)
        seen.remember(record, item)
    if same or record.rated_item[slot] == 0 or ts_s >= record.rated_ts_s[slot]:
        record.rated_item[slot] = item
        record.rated_ts_s[slot] = ts_s
        record.rated_value[slot] = thousandths if told or thousandths == WITHDRAWN else thousandths + UNTOLD
    return _APPLIED


@kernel
def take_rating_back(record, slot, scale, vector, facet, time_rates):  # type: ignore[no-untyped-def]
    """Subtract what the rating in `slot` added; `vector` and `facet` are what its item writes now."""
    ts_s, thousandths = np.int64(record.rated_ts_s[slot]), np.int64(record.rated_value[slot])
    if thousandths >= UNTOLD:
        vector = np.empty(DIM, np.float32)
        hashed_vector(record.rated_item[slot], scale, vector)
        facet = np.zeros(FACET_DIM, np.float32)
        thousandths -= UNTOLD
    count_rating(record, ts_s, thousandths, -1, vector, facet, time_rates)


@kernel
def count_rating(record, ts_s, thousandths, sign, vector, facet, time_rates):  # type: ignore[no-untyped-def]
    gain = rating_gain(thousandths / RATING_SCALE)
    write(record, ts_s * 1000, sign * gain, sign * abs(gain), vector, facet, time_rates)
    windows.add(record, ts_s * 1000, 0, 0, sign, sign * thousandths, 0)


@kernel
def _slot(items, ts_s, item):  # type: ignore[no-untyped-def]
    """Where an item is kept, else an empty place, else the place of the one with the oldest time."""
    oldest = 0
    for slot in range(len(items)):
        if items[slot] == item:
            return slot
        if items[oldest] != 0 and (items[slot] == 0 or ts_s[slot] < ts_s[oldest]):
            oldest = slot
    return oldest


@kernel
def _follow(record, ts_ms, target, active):  # type: ignore[no-untyped-def]
    """Keep the latest action for each of the last FOLLOWEES targets."""
    ts_s = ts_ms // 1000
    slot = _slot(record.followee, record.followee_ts_s, target)
    same = record.followee[slot] == target
    if same and ts_s < record.followee_ts_s[slot]:
        return _SUPERSEDED
    if same and is_active(record, slot):
        windows.add(record, np.int64(record.followee_ts_s[slot]) * 1000, 0, 0, 0, 0, -1)
    if active:
        windows.add(record, ts_s * 1000, 0, 0, 0, 0, 1)
    if same or record.followee[slot] == 0 or ts_s >= record.followee_ts_s[slot]:
        record.followee[slot] = target
        record.followee_ts_s[slot] = ts_s
        record.followee_active &= ~(np.uint32(1) << np.uint32(slot))
        if active:
            record.followee_active |= np.uint32(1) << np.uint32(slot)
    return _APPLIED


@kernel
def is_active(record, slot):  # type: ignore[no-untyped-def]
    return (record.followee_active >> np.uint32(slot)) & np.uint32(1) == 1


@kernel
def _erase(record, ts_ms, event):  # type: ignore[no-untyped-def]
    """Back to an empty record, less what keeps late and repeated events out."""
    version, erased_at_ms = record.version, max(record.erased_at_ms, ts_ms, 1)  # 0: never erased
    next_offset = record.next_offset.copy()
    _clear(record)
    record.version, record.erased_at_ms = version, erased_at_ms
    for kind in range(len(next_offset)):
        record.next_offset[kind] = next_offset[kind]
    record.event_id[0], record.event_id_count = event, 1


@kernel
def _clear(record):  # type: ignore[no-untyped-def]
    record.events, record.event_ts_ms, record.bank_ts_ms = 0, 0, 0
    record.rec_at_ms, record.rec_seq, record.rec_ignored = 0, 0, 0
    record.ring[:], record.clicks = np.uint64(0), 0
    record.rated_item[:], record.rated_ts_s[:], record.rated_value[:] = np.uint64(0), np.uint32(0), np.int16(0)
    record.followee[:], record.followee_ts_s[:], record.followee_active = np.uint64(0), np.uint32(0), 0
    record.event_id[:], record.event_id_count = np.uint64(0), 0
    record.seen[:], record.seen_count[:] = np.uint64(0), np.uint32(0)
    record.rank[:], record.rank_weight[:] = np.float32(0), np.float32(0)
    record.time[:], record.time_weight[:] = np.float32(0), np.float32(0)
    record.content[:], record.content_weight = np.float32(0), 0
    context.clear(record)
    record.bucket_head[:] = np.int32(0)
    record.bucket_clicks[:], record.bucket_dwell_ms[:] = np.uint16(0), np.uint32(0)
    record.bucket_ratings[:], record.bucket_rating_sum[:] = np.uint16(0), np.int32(0)
    record.bucket_follows[:] = np.uint16(0)
    record.rec_item[:], record.rec_sketch[:] = np.uint32(0), np.int8(0)
