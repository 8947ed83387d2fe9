"""From the Kafka records of one topic to columns.

Written for slabs of good events: one pass in C for each column, and nothing in Python for each event but attribute
reads. Columns are tested as a whole; a record that looks odd in any of them is judged alone (`validity.judge`), so a
bad record never harms its neighbours and a good slab never pays for the wording of faults.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from model_store.state.batch import EventBatch
from model_store.state.context import region_bins
from model_store.state.followees import followee
from model_store.state.hashing import IdColumn, hash_ids, partition_of
from model_store.state.layout import Kind
from stream_app.contracts.events import Event
from stream_app.contracts.validity import (
    CONTENTS,
    CONTROL_CHARACTER,
    DECODERS,
    MAX_ID_BYTES,
    MAX_TS_MS,
    UNDECODABLE,
    Limits,
    Record,
    Rejected,
    judge,
    value_of,
)

Mask = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]

_headers = attrgetter("headers")
_NOTHING_KNOWN: Mapping[int, Container[bytes]] = {}


@dataclass(frozen=True, slots=True)
class Decoded:
    """Valid events in the order of the records (None if there are none), and the others in that order.

    Attributes:
        partitions: of the valid events, one each.
        targets: ids of the users whom events follow or unfollow, by the event's place in the batch.
    """

    batch: EventBatch | None
    partitions: list[int]
    rejected: list[Rejected]
    targets: Mapping[int, str] = field(default_factory=dict)


def decode_records(
    kind: Kind,
    records: Sequence[Record],
    limits: Limits,
    now_ms: int,
    known: Mapping[int, Container[bytes]] = _NOTHING_KNOWN,
) -> Decoded:
    """Decode and check records of one input topic.

    Small slabs cost a fixed 40 µs, whatever is in them, so those of several partitions are better decoded together.

    Args:
        kind: which input topic they are from.
        records: those of a partition in the order of their offsets.
        limits: what is valid.
        now_ms: the clock, UTC, against which event times are "in the future".
        known: partition -> keys accepted there before: their form and their partition are not checked again.

    Never raises over what is in the records.
    """
    events, failed = _decode_all(kind, records)
    rejected: list[Rejected] = []
    order = records
    if failed:
        records, events, rejected = _sift(kind, records, events, failed, limits, now_ms)
    if not records:
        return Decoded(None, [], rejected)
    columns = _Columns.of(kind, records, events)
    odd = _odd(columns, limits, now_ms, known)
    if odd.any():
        records, events, more = _sift(kind, records, events, np.flatnonzero(odd).tolist(), limits, now_ms)
        rejected = _in_order([*rejected, *more], order)
        if not records:
            return Decoded(None, [], rejected)
        columns = _Columns.of(kind, records, events)
    return Decoded(columns.batch(), columns.partitions, rejected, _user_targets(kind, events))


def _user_targets(kind: Kind, events: list[Any]) -> dict[int, str]:
    if kind is not Kind.FOLLOW:
        return {}
    return {place: event.target_id for place, event in enumerate(events) if event.target_type == "user"}


def _in_order(rejected: list[Rejected], records: Sequence[Record]) -> list[Rejected]:
    place = {id(record): i for i, record in enumerate(records)}
    return sorted(rejected, key=lambda one: place[id(one.record)])


def _decode_all(kind: Kind, records: Sequence[Record]) -> tuple[list[Any], list[int]]:
    """The events, None where a record gives none, and the indices of those."""
    decode = DECODERS[kind].decode
    try:
        return list(map(decode, _values(kind, records))), []
    except UNDECODABLE:
        events = [_decoded_or_none(kind, record) for record in records]
        return events, [i for i, event in enumerate(events) if event is None]


def _values(kind: Kind, records: Sequence[Record]) -> list[bytes | None]:
    """JSON of the events. Few records have headers, and fewer are envelopes."""
    if not any(map(_headers, records)):
        return [record.value for record in records]
    return [value_of(record, CONTENTS[kind]) for record in records]


def _decoded_or_none(kind: Kind, record: Record) -> Event | None:
    try:
        return cast(Event, DECODERS[kind].decode(value_of(record, CONTENTS[kind])))
    except UNDECODABLE:
        return None


def _sift(
    kind: Kind, records: Sequence[Record], events: list[Any], suspects: list[int], limits: Limits, now_ms: int
) -> tuple[list[Record], list[Any], list[Rejected]]:
    """Judge the suspects alone; returns the records and events without the bad ones, and the bad ones."""
    verdicts = {i: judge(kind, records[i], limits, now_ms) for i in suspects}
    rejected = [verdict for verdict in verdicts.values() if isinstance(verdict, Rejected)]
    kept = [
        (record, verdicts.get(i, event))
        for i, (record, event) in enumerate(zip(records, events, strict=True))
        if not isinstance(verdicts.get(i), Rejected)
    ]
    return [record for record, _ in kept], [event for _, event in kept], rejected


@dataclass(frozen=True, slots=True)
class _Columns:
    """n decoded events, not yet checked.

    Attributes:
        ts_ms: int64 [n], -1 where the event time does not fit.
        event: hashes of the event ids.
        item: hashes of the ids of items or targets, whose lengths are `item_bytes` (int [n]); None for erasures.
        number: float64 [n], a click's dwell or a rating as sent, NaN where there is none; 1 or 0 for a follow.
        scale: float64 [n], of ratings, else None.
        region: of clicks, as in the batch.
    """

    kind: Kind
    records: Sequence[Record]
    partitions: list[int]
    keys: list[bytes]
    user_ids: list[str]
    event_ids: list[str]
    ts_ms: Int64
    event: IdColumn
    item: IdColumn | None
    item_bytes: npt.NDArray[np.int32] | None
    number: Float64
    scale: Float64 | None
    region: UInt8

    @classmethod
    def of(cls, kind: Kind, records: Sequence[Record], events: list[Any]) -> "_Columns":
        event_ids = [event.event_id for event in events]
        item, item_bytes = _items(kind, events)
        return cls(
            kind=kind,
            records=records,
            partitions=[record.partition for record in records],
            keys=_keys(records),
            user_ids=[event.user_id for event in events],
            event_ids=event_ids,
            ts_ms=_times(events),
            event=hash_ids(event_ids),
            item=item,
            item_bytes=item_bytes,
            number=_numbers(kind, events),
            scale=np.array([event.scale_max for event in events]) if kind is Kind.RATING else None,
            region=_regions(kind, events),
        )

    def batch(self) -> EventBatch:
        """What the checked columns mean to the state."""
        count = len(self.keys)
        return EventBatch(
            keys=self.keys,
            kind=np.full(count, self.kind, np.int8),
            offset=np.array([record.offset for record in self.records], np.int64),
            ts_ms=self.ts_ms,
            event=self.event.hash,
            item=np.zeros(count, np.uint64) if self.item is None else self.item.hash,
            value=self._value().astype(np.float32),
            region=self.region,
            event_ids=self.event_ids,
        )

    def _value(self) -> Float64:
        if self.kind is Kind.CLICK:
            return np.nan_to_num(self.number)
        return self.number if self.scale is None else self.number / self.scale


def _keys(records: Sequence[Record]) -> list[bytes]:
    """Kafka keys; one that is no bytes becomes empty, which no user id is."""
    return [record.key if type(record.key) is bytes else b"" for record in records]


def _times(events: list[Any]) -> Int64:
    times = [event.ts for event in events]
    try:
        return np.array(times, np.int64)
    except OverflowError:
        return np.array([ts if abs(ts) <= MAX_TS_MS else -1 for ts in times], np.int64)


def _items(kind: Kind, events: list[Any]) -> tuple[IdColumn | None, npt.NDArray[np.int32] | None]:
    if kind is Kind.ERASURE:
        return None, None
    if kind is not Kind.FOLLOW:
        ids = hash_ids([event.item_id for event in events])
        return ids, ids.byte_length
    ids = hash_ids([followee(event.target_type, event.target_id) for event in events])
    return ids, ids.byte_length - np.array([len(followee(event.target_type, "")) for event in events], np.int32)


def _numbers(kind: Kind, events: list[Any]) -> Float64:
    if kind is Kind.CLICK:
        return np.array([event.dwell_ms for event in events], np.float64)
    if kind is Kind.RATING:
        return np.array([event.rating for event in events], np.float64)
    if kind is Kind.FOLLOW:
        return np.array([event.action == "follow" for event in events], np.float64)
    return np.zeros(len(events), np.float64)


def _regions(kind: Kind, events: list[Any]) -> UInt8:
    """Few regions have many clicks: each is hashed once."""
    regions = [event.region for event in events] if kind is Kind.CLICK else []
    names = list(set(regions) - {None, ""})
    if not names:
        return np.zeros(len(events), np.uint8)
    bins = dict(zip(names, region_bins(names).tolist(), strict=True))
    return np.array([bins.get(region, 0) for region in regions], np.uint8)


def _odd(columns: _Columns, limits: Limits, now_ms: int, known: Mapping[int, Container[bytes]]) -> Mask:
    """bool [n]: True at least where `judge` would find a fault."""
    odd = (columns.ts_ms < 0) | (columns.ts_ms > now_ms + limits.max_future_ms)
    odd |= _odd_ids(columns.event, columns.event.byte_length)
    if columns.item is not None and columns.item_bytes is not None:
        odd |= _odd_ids(columns.item, columns.item_bytes)
    odd |= _odd_numbers(columns, limits)
    sizes = [len(record.value or b"") for record in columns.records]
    if max(sizes) > limits.max_value_bytes:
        odd |= np.array(sizes) > limits.max_value_bytes
    return _mark_odd_keys(odd, columns, limits, known)


def _odd_ids(ids: IdColumn, byte_length: npt.NDArray[np.int32]) -> Mask:
    return ~ids.clean | (byte_length < 1) | (byte_length > MAX_ID_BYTES)


def _odd_numbers(columns: _Columns, limits: Limits) -> Mask:
    # Absent numbers are NaN, which no comparison finds odd.
    number, scale = columns.number, columns.scale
    if scale is not None:
        return (number < 0) | (number > scale) | ~(np.isfinite(scale) & (scale > 0))
    return (number < 0) | (number > (limits.max_dwell_ms if columns.kind is Kind.CLICK else 1))


def _mark_odd_keys(odd: Mask, columns: _Columns, limits: Limits, known: Mapping[int, Container[bytes]]) -> Mask:
    keys, partitions = columns.keys, columns.partitions
    strange = {place for place in _new(columns, known) if _is_strange(*place, limits)}
    if strange:
        odd |= np.array([place in strange for place in zip(partitions, keys, strict=True)])
    joined = b"\n".join(keys)
    if b"\0" in joined:
        # Known keys may be marks of erasures, too, which begin with it; nobody's id is let in as one.
        odd |= np.array([b"\0" in key for key in keys])
    if not _all_equal(columns.user_ids, joined, len(keys)):
        odd |= np.array([user.encode() != key for user, key in zip(columns.user_ids, keys, strict=True)])
    return odd


def _new(columns: _Columns, known: Mapping[int, Container[bytes]]) -> set[tuple[int, bytes]]:
    """Partitions and keys that were not accepted before."""
    partitions = set(columns.partitions)
    if len(partitions) == 1:
        (partition,) = partitions
        mine = known.get(partition, ())
        return {(partition, key) for key in columns.keys if key not in mine}
    places = zip(columns.partitions, columns.keys, strict=True)
    return {(partition, key) for partition, key in places if key not in known.get(partition, ())}


def _is_strange(partition: int, key: bytes, limits: Limits) -> bool:
    if not 0 < len(key) <= MAX_ID_BYTES or CONTROL_CHARACTER.search(key):
        return True
    return partition_of(key, limits.partitions) != partition


def _all_equal(user_ids: list[str], joined: bytes, count: int) -> bool:
    """Is each user id its key? Two joins and one comparison, exact as long as no id holds the separator itself.

    `joined`: the keys, `count` of them, with newlines between.
    """
    return joined == "\n".join(user_ids).encode() and joined.count(b"\n") == count - 1
