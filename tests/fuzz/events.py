"""Target `decode`: records of the four input topics, well-formed, mutated and garbage."""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from kafka.partitioner.default import murmur2

from model_store.state.layout import Kind
from stream_app.contracts.dead_letter import dead_letter
from stream_app.contracts.decode import Decoded, decode_records
from stream_app.contracts.reasons import Reason
from stream_app.contracts.validity import Limits, Rejected, judge
from tests.fuzz import envelopes, truth
from tests.fuzz.mutate import garbage, mutated, mutated_json, tokens
from tests.fuzz.slow_hash import slow_hash
from tests.fuzz.target import Cases, Target, check_message, plain
from tests.fuzz.truth import NOW_MS, PARTITIONS

LIMITS = Limits(PARTITIONS, truth.MAX_VALUE_BYTES, truth.MAX_FUTURE_MS, truth.MAX_DWELL_MS)
ENVELOPED = 0.2
_LONGEST_HEADER = 8_000


@dataclass(frozen=True, slots=True)
class Consumed:
    """A record as it comes from Kafka."""

    offset: int
    partition: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    topic: str = "interest.clicks"


def _users() -> list[tuple[str, int]]:
    names = [*(f"u{i}" for i in range(24)), "ключ", "\U0001f511", "}", "%7D", " ", "x" * 256, "a{b}c", '"', "\\"]
    return [(name, (murmur2(name.encode()) & 0x7FFFFFFF) % PARTITIONS) for name in names]


USERS = _users()
_REST: list[dict[str, Any]] = [
    {"item_id": "i1", "ts": NOW_MS, "dwell_ms": 1500, "surface": "home", "region": "FR"},
    {"target_id": "t1", "target_type": "creator", "action": "follow", "ts": NOW_MS - 5},
    {"item_id": "i2", "rating": 4.5, "ts": NOW_MS, "scale_max": 5},
    {"ts": 1_000},
]
# Kind, then user -> the tokens of an event.
_TEXTS = [
    [
        tokens(json.dumps({"event_id": "e1", "user_id": user, **rest}, ensure_ascii=i % 2 == 0).encode())
        for i, (user, _) in enumerate(USERS)
    ]
    for rest in _REST
]
_HEADERS: list[list[tuple[str, bytes | None]]] = [
    [],
    [],
    [],
    [("trace", b"1")],
    [("reason", b"theirs"), ("", None)],
    [("x" * 300, b"\xff" * 300)],
    [("e\u0301", b"")],
]
_KEYS = [None, b"", b"u1", b"a\nb", b"\x00", b"\xff\xfe", b"x" * 256, b"x" * 257, b"k" * 60_000]


def make(dice: Random, count: int) -> Cases:
    """Kind, then records: partition, timestamp, key, value, headers. A batch is of one kind, as a slab is."""
    kind = int(dice.random() * 4)
    return [[kind, *_record(dice, kind)] for _ in range(count)]


def _record(dice: Random, kind: int) -> list[Any]:
    number = int(dice.random() * len(USERS))
    user, partition = USERS[number]
    key: bytes | None = user.encode()
    chance = dice.random()
    text = _TEXTS[kind][number]
    if chance < 0.15:
        value: bytes | None = b"".join(text)
    elif chance < 0.85:
        value = mutated_json(dice, text)
    elif chance < 0.95:
        value = mutated(dice, b"".join(text))
    else:
        value = None if chance > 0.995 else garbage(dice)
    headers = dice.choice(_HEADERS)
    if dice.random() < ENVELOPED:
        fields = {"event_id": "e1", "user_id": user, **_REST[kind]}
        value, enveloped = envelopes.drawn(dice, kind, user, fields)
        headers = [*headers, *enveloped]
    if dice.random() < 0.06:
        key = dice.choice(_KEYS) if dice.random() < 0.8 else garbage(dice)
    if dice.random() < 0.03:
        partition = int(dice.random() * PARTITIONS)
    return [partition, dice.choice((NOW_MS, 0, -1, 2**62)), key, value, headers]


def check(cases: Cases) -> int:
    """Decoded together equals the naive truth of each alone; what is rejected makes a small dead letter."""
    rejected = 0
    for kind in Kind:
        mine = [case for case in cases if case[0] == kind]
        records = [
            Consumed(offset, partition, stamp, key, value, [(name, content) for name, content in headers])
            for offset, (_, partition, stamp, key, value, headers) in enumerate(mine)
        ]
        rejected += _check_slab(kind, records)
    return rejected


def _check_slab(kind: Kind, records: list[Consumed]) -> int:
    known = {
        partition: {user.encode() for user, at in USERS[:12] if at == partition} for partition in range(PARTITIONS)
    }
    decoded = decode_records(kind, records, LIMITS, NOW_MS, known if len(records) % 2 else {})
    verdicts = [truth.judge(kind, one.partition, one.key, one.value, headers=one.headers) for one in records]
    refused = {one.record.offset: one for one in decoded.rejected}
    assert list(refused) == sorted(refused)
    good = []
    for record, verdict in zip(records, verdicts, strict=True):
        rejected = refused.get(record.offset)
        if rejected is None:
            assert verdict.fields is not None, f"accepted, but it is {sorted(verdict.faults)}"
            good.append((record, verdict.fields))
        else:
            assert rejected.reason.value in verdict.faults, f"{rejected.reason} is not among {sorted(verdict.faults)}"
            _check_rejected(kind, rejected, record)
    _check_batch(kind, decoded, good)
    return len(refused)


def _check_rejected(kind: Kind, rejected: Rejected, record: Consumed) -> None:
    assert judge(kind, record, LIMITS, NOW_MS) == rejected
    assert rejected.reason in Reason
    check_message(rejected.message)
    key, value, headers = dead_letter(rejected)
    ours = dict(headers[len(record.headers) :])
    assert headers[: len(record.headers)] == record.headers
    assert (key, value) == (record.key, record.value or b"")
    assert ours.keys() == {"error", "reason", "topic", "partition", "offset"}
    assert sum(len(content or b"") for content in ours.values()) < _LONGEST_HEADER


def _check_batch(kind: Kind, decoded: Decoded, good: list[tuple[Consumed, dict[str, Any]]]) -> None:
    if not good:
        assert decoded.batch is None
        return
    batch = decoded.batch
    assert batch is not None
    fields = [one for _, one in good]
    assert decoded.partitions == [one.partition for one, _ in good]
    assert batch.keys == [one["user_id"].encode() for one in fields]
    assert batch.offset.tolist() == [one.offset for one, _ in good]
    assert batch.event_ids == [one["event_id"] for one in fields]
    assert batch.ts_ms.tolist() == [one["ts"] for one in fields]
    assert batch.kind.tolist() == [kind] * len(good)
    assert batch.event.tolist() == [slow_hash(one["event_id"].encode()) for one in fields]
    assert batch.item.tolist() == [_item(kind, one) for one in fields]
    assert batch.region.tolist() == [_region(kind, one) for one in fields]
    np.testing.assert_array_equal(batch.value, np.array([one["number"] for one in fields], np.float32))


def _region(kind: Kind, fields: dict[str, Any]) -> int:
    region = fields.get("region") if kind is Kind.CLICK else None
    return slow_hash(region.encode()) % 8 + 1 if region else 0


def _item(kind: Kind, fields: dict[str, Any]) -> int:
    if kind is Kind.FOLLOW:
        return slow_hash(f"{fields['target_type']}:{fields['target_id']}".encode())
    return 0 if kind is Kind.ERASURE else slow_hash(fields["item_id"].encode())


TARGETS = [Target("decode", make, plain(check), share=8)]
