"""What is an event, what is not and why; and that the fast way gives the same verdicts as the definition."""

import json
from base64 import b64encode
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.state.arena import Arena, mark_key
from model_store.state.hashing import hash_id, hash_ids, partition_of
from model_store.state.layout import Kind
from stream_app.contracts.decode import decode_records
from stream_app.contracts.events import Click, Erasure, Follow, Rating
from stream_app.contracts.reasons import Reason
from stream_app.contracts.validity import CONTROL_CHARACTER, Limits, Rejected, judge
from stream_app.intake import item_ids

NOW_MS = 1_790_000_000_000
PARTITIONS = 4
PARTITION = 0  # where the records of these tests are, unless they say otherwise
LIMITS = Limits(PARTITIONS, max_value_bytes=2_000)


@dataclass(frozen=True)
class Consumed:
    """A record as it comes from Kafka."""

    key: Any
    value: Any
    offset: int = 0
    partition: int = 0
    topic: str = "interest.clicks"
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


def users_of(partition: int, count: int) -> list[str]:
    names = (f"user-{i}" for i in range(10_000))
    return [name for name in names if partition_of(name.encode(), PARTITIONS) == partition][:count]


USERS = users_of(0, 8)
ELSEWHERE = users_of(1, 1)[0]
FIELDS: dict[Kind, dict[str, Any]] = {
    Kind.CLICK: {"event_id": "e1", "user_id": USERS[0], "item_id": "i1", "ts": NOW_MS, "dwell_ms": 1500},
    Kind.FOLLOW: {
        "event_id": "e1",
        "user_id": USERS[0],
        "target_id": "t1",
        "target_type": "creator",
        "action": "follow",
        "ts": NOW_MS,
    },
    Kind.RATING: {"event_id": "e1", "user_id": USERS[0], "item_id": "i1", "rating": 4, "ts": NOW_MS},
    Kind.ERASURE: {"event_id": "e1", "user_id": USERS[0], "ts": NOW_MS},
}


def record(kind: Kind = Kind.CLICK, offset: int = 0, **changes: Any) -> Consumed:
    fields = FIELDS[kind] | changes
    return Consumed(str(fields["user_id"]).encode(), json.dumps(fields).encode(), offset)


def raw(value: bytes, offset: int = 0) -> Consumed:
    return Consumed(USERS[0].encode(), value, offset)


def without(name: str, kind: Kind = Kind.CLICK) -> Consumed:
    fields = {key: value for key, value in FIELDS[kind].items() if key != name}
    return raw(json.dumps(fields).encode())


def text_of(**raw_json: str) -> Consumed:
    """A click with some values given as JSON text."""
    fields = {key: json.dumps(value) for key, value in FIELDS[Kind.CLICK].items()} | raw_json
    return raw(("{" + ",".join(f'"{key}":{value}' for key, value in fields.items()) + "}").encode())


def event_of(value: bytes, **headers: str | None) -> Consumed:
    """A record with headers as CloudEvents has them: `ce_...`, and `content_type`."""
    named = {name.replace("content_type", "content-type"): text for name, text in headers.items()}
    return Consumed(USERS[0].encode(), value, headers=[(name, text and text.encode()) for name, text in named.items()])


ATTRIBUTES = {"specversion": "1.0", "id": "e1", "source": "/shop", "type": "com.example.viewed"}
STRUCTURED = "application/cloudevents+json"


def binary(value: bytes | None = None, content_type: str | None = None, **changes: str | None) -> Consumed:
    told = {f"ce_{name}": text for name, text in (ATTRIBUTES | changes).items() if text is not None}
    return event_of(
        record().value if value is None else value, **told, **({"content_type": content_type} if content_type else {})
    )


def structured(content_type: str = STRUCTURED, **changes: Any) -> Consumed:
    envelope = ATTRIBUTES | {"data": FIELDS[Kind.CLICK]} | changes
    return event_of(
        json.dumps({name: one for name, one in envelope.items() if one is not ABSENT}).encode(),
        content_type=content_type,
    )


ABSENT = object()
HUGE = "9" * 30
DEEP = '{"unknown":' + "[" * 9_000 + "]" * 9_000 + "}"

BAD: list[tuple[str, Kind, Consumed, Reason]] = [
    ("empty value", Kind.CLICK, raw(b""), Reason.NOT_JSON),
    ("no json", Kind.CLICK, raw(b"hello"), Reason.NOT_JSON),
    ("cut off", Kind.CLICK, raw(b'{"event_id":"e'), Reason.NOT_JSON),
    ("trailing", Kind.CLICK, raw(record().value + b"x"), Reason.NOT_JSON),
    ("byte order mark", Kind.CLICK, raw(b"\xef\xbb\xbf" + record().value), Reason.NOT_JSON),
    ("invalid utf-8", Kind.CLICK, raw(record().value.replace(b"e1", b"e\xff")), Reason.NOT_JSON),
    ("lone surrogate", Kind.CLICK, text_of(event_id=r'"\ud800"'), Reason.NOT_JSON),
    ("NaN", Kind.CLICK, text_of(dwell_ms="NaN"), Reason.NOT_JSON),
    ("array", Kind.CLICK, raw(b"[1]"), Reason.WRONG_TYPE),
    ("null object", Kind.CLICK, raw(b"null"), Reason.WRONG_TYPE),
    ("quoted ts", Kind.CLICK, record(ts=str(NOW_MS)), Reason.WRONG_TYPE),
    ("fractional ts", Kind.CLICK, record(ts=NOW_MS + 0.5), Reason.WRONG_TYPE),
    ("ts is a bool", Kind.CLICK, record(ts=True), Reason.WRONG_TYPE),
    ("numeric item", Kind.CLICK, record(item_id=7), Reason.WRONG_TYPE),
    ("null item", Kind.CLICK, record(item_id=None), Reason.WRONG_TYPE),
    ("text rating", Kind.RATING, record(Kind.RATING, rating="4"), Reason.WRONG_TYPE),
    *[
        (f"no {name}", kind, without(name, kind), Reason.MISSING_FIELD)
        for kind, fields in FIELDS.items()
        for name in fields
        if name != "dwell_ms"
    ],
    ("unknown target type", Kind.FOLLOW, record(Kind.FOLLOW, target_type="page"), Reason.UNKNOWN_VALUE),
    ("unknown action", Kind.FOLLOW, record(Kind.FOLLOW, action="mute"), Reason.UNKNOWN_VALUE),
    ("other key", Kind.CLICK, Consumed(USERS[1].encode(), record().value), Reason.KEY_MISMATCH),
    ("null key", Kind.CLICK, Consumed(None, record().value), Reason.KEY_MISMATCH),
    ("text key", Kind.CLICK, Consumed(USERS[0], record().value), Reason.KEY_MISMATCH),
    ("number key", Kind.CLICK, Consumed(7, record().value), Reason.KEY_MISMATCH),
    ("list key", Kind.CLICK, Consumed([1], record().value), Reason.KEY_MISMATCH),
    ("empty user", Kind.CLICK, record(user_id=""), Reason.BAD_ID),
    ("empty item", Kind.CLICK, record(item_id=""), Reason.BAD_ID),
    ("empty event id", Kind.ERASURE, record(Kind.ERASURE, event_id=""), Reason.BAD_ID),
    ("long item", Kind.CLICK, record(item_id="x" * 257), Reason.BAD_ID),
    ("long item in bytes", Kind.CLICK, record(item_id="é" * 129), Reason.BAD_ID),
    ("long target", Kind.FOLLOW, record(Kind.FOLLOW, target_id="x" * 257), Reason.BAD_ID),
    ("empty target", Kind.FOLLOW, record(Kind.FOLLOW, target_id=""), Reason.BAD_ID),
    ("long user", Kind.CLICK, record(user_id="x" * 257), Reason.BAD_ID),
    ("control in item", Kind.CLICK, record(item_id="a\x00b"), Reason.BAD_ID),
    ("newline in user", Kind.CLICK, record(user_id="a\nb"), Reason.BAD_ID),
    ("delete in event id", Kind.CLICK, record(event_id="a\x7f"), Reason.BAD_ID),
    ("infinite dwell", Kind.CLICK, text_of(dwell_ms="1e999"), Reason.OUT_OF_RANGE),
    ("negative dwell", Kind.CLICK, record(dwell_ms=-1), Reason.OUT_OF_RANGE),
    ("days of dwell", Kind.CLICK, record(dwell_ms=LIMITS.max_dwell_ms + 1), Reason.OUT_OF_RANGE),
    ("rating below", Kind.RATING, record(Kind.RATING, rating=-0.5), Reason.OUT_OF_RANGE),
    ("rating above", Kind.RATING, record(Kind.RATING, rating=5.5), Reason.OUT_OF_RANGE),
    ("no scale", Kind.RATING, record(Kind.RATING, rating=0, scale_max=0), Reason.OUT_OF_RANGE),
    ("negative scale, withdrawn", Kind.RATING, record(Kind.RATING, rating=None, scale_max=-1), Reason.OUT_OF_RANGE),
    ("future", Kind.CLICK, record(ts=NOW_MS + LIMITS.max_future_ms + 1), Reason.TS_IN_FUTURE),
    ("far future", Kind.CLICK, record(ts=2**63 - 1), Reason.TS_IN_FUTURE),
    ("negative ts", Kind.CLICK, record(ts=-1), Reason.TS_INVALID),
    ("huge ts", Kind.CLICK, text_of(ts=HUGE), Reason.TS_INVALID),
    ("huge negative ts", Kind.CLICK, text_of(ts="-" + HUGE), Reason.TS_INVALID),
    ("absurd ts", Kind.CLICK, text_of(ts="9" * 1_500), Reason.TS_INVALID),
    ("too large", Kind.CLICK, record(surface="x" * 2_000), Reason.TOO_LARGE),
    ("too large and no json", Kind.CLICK, raw(b"[" * 3_000), Reason.TOO_LARGE),
    ("null", Kind.CLICK, Consumed(USERS[0].encode(), None), Reason.NULL_VALUE),
    ("null with null key", Kind.CLICK, Consumed(None, None), Reason.NULL_VALUE),
    ("elsewhere", Kind.CLICK, record(user_id=ELSEWHERE), Reason.WRONG_PARTITION),
    ("binary, other version", Kind.CLICK, binary(specversion="0.3"), Reason.BAD_ENVELOPE),
    *[
        (f"binary, no {name}", Kind.CLICK, binary(**{name: None}), Reason.BAD_ENVELOPE)
        for name in ("id", "source", "type")
    ],
    ("binary, empty id", Kind.CLICK, binary(id=""), Reason.BAD_ENVELOPE),
    ("binary, null id", Kind.CLICK, event_of(record().value, ce_specversion="1.0", ce_id=None), Reason.BAD_ENVELOPE),
    ("binary, another of our types", Kind.CLICK, binary(type="interest.rating.v1"), Reason.BAD_ENVELOPE),
    ("binary, a later version of our type", Kind.CLICK, binary(type="interest.click.v2"), Reason.BAD_ENVELOPE),
    ("binary, avro", Kind.CLICK, binary(content_type="application/avro"), Reason.BAD_ENVELOPE),
    ("binary, time without zone", Kind.CLICK, binary(time="2026-01-01T00:00:00"), Reason.BAD_ENVELOPE),
    ("binary, leap second", Kind.CLICK, binary(time="2016-12-31T23:59:60Z"), Reason.BAD_ENVELOPE),
    ("binary, no json", Kind.CLICK, binary(b"hello"), Reason.NOT_JSON),
    ("binary, comma first", Kind.CLICK, binary(b'{,"item_id":"i1"}'), Reason.NOT_JSON),
    ("binary, array", Kind.CLICK, binary(b"[1]"), Reason.WRONG_TYPE),
    ("binary, no user", Kind.CLICK, binary(without("user_id").value), Reason.MISSING_FIELD),
    ("binary, no time", Kind.CLICK, binary(without("ts").value), Reason.MISSING_FIELD),
    ("binary, before 1970", Kind.CLICK, binary(without("ts").value, time="1969-12-31T23:59:59Z"), Reason.TS_INVALID),
    ("binary, other subject", Kind.CLICK, binary(without("user_id").value, subject=USERS[1]), Reason.KEY_MISMATCH),
    ("binary, null value", Kind.CLICK, Consumed(USERS[0].encode(), None, headers=binary().headers), Reason.NULL_VALUE),
    ("structured, no json", Kind.CLICK, event_of(b"hello", content_type=STRUCTURED), Reason.NOT_JSON),
    ("structured, plain event", Kind.CLICK, event_of(record().value, content_type=STRUCTURED), Reason.BAD_ENVELOPE),
    ("structured, array", Kind.CLICK, event_of(b"[]", content_type=STRUCTURED), Reason.BAD_ENVELOPE),
    ("structured, numeric id", Kind.CLICK, structured(id=7), Reason.BAD_ENVELOPE),
    ("structured, no data", Kind.CLICK, structured(data=ABSENT), Reason.NULL_VALUE),
    ("structured, null data", Kind.CLICK, structured(data=None), Reason.NULL_VALUE),
    ("structured, data as text", Kind.CLICK, structured(data=record().value.decode()), Reason.WRONG_TYPE),
    ("structured, no base64", Kind.CLICK, structured(data=ABSENT, data_base64="%%"), Reason.BAD_ENVELOPE),
    ("structured, base64 of no json", Kind.CLICK, structured(data=ABSENT, data_base64="aGVsbG8="), Reason.NOT_JSON),
    ("structured, data are xml", Kind.CLICK, structured(datacontenttype="text/xml"), Reason.BAD_ENVELOPE),
    ("structured, avro", Kind.CLICK, structured("application/cloudevents+avro"), Reason.BAD_ENVELOPE),
    ("batch", Kind.CLICK, structured("application/cloudevents-batch+json"), Reason.BAD_ENVELOPE),
    (
        "header is no utf-8",
        Kind.CLICK,
        Consumed(USERS[0].encode(), record().value, headers=[*binary().headers, ("ce_id", b"\xff")]),
        Reason.BAD_ENVELOPE,
    ),
    ("structured, too large", Kind.CLICK, structured(note="x" * 2_000), Reason.TOO_LARGE),
]

GOOD: list[tuple[str, Kind, Consumed]] = [
    *[(kind.name, kind, record(kind)) for kind in Kind],
    ("unknown fields", Kind.CLICK, record(colour="red", nested={"a": [1, {"b": None}]})),
    ("no dwell", Kind.CLICK, without("dwell_ms")),
    ("null dwell", Kind.CLICK, record(dwell_ms=None)),
    ("duplicate field: the last counts", Kind.CLICK, text_of(ts=f'1,"ts":{NOW_MS}')),
    ("1970", Kind.CLICK, record(ts=0)),
    ("just in time", Kind.CLICK, record(ts=NOW_MS + LIMITS.max_future_ms)),
    ("longest ids", Kind.FOLLOW, record(Kind.FOLLOW, event_id="é" * 128, target_id="x" * 256)),
    ("braces, spaces, scripts", Kind.CLICK, record(item_id=" {a} ключ 鍵 \U0001f511 ")),
    ("withdrawn", Kind.RATING, record(Kind.RATING, rating=None)),
    ("own scale", Kind.RATING, record(Kind.RATING, rating=87, scale_max=100)),
    ("unfollow", Kind.FOLLOW, record(Kind.FOLLOW, action="unfollow")),
    (
        "other headers",
        Kind.CLICK,
        Consumed(
            USERS[0].encode(),
            record().value,
            headers=[("traceparent", b"00"), ("content-type", b"text/plain"), ("", None)],
        ),
    ),
    ("binary", Kind.CLICK, binary()),
    ("binary, our type", Kind.CLICK, binary(type="interest.click.v1")),
    ("binary, json", Kind.CLICK, binary(content_type="application/vnd.shop+json; charset=utf-8")),
    (
        "binary, capitals",
        Kind.CLICK,
        event_of(record().value, **{f"CE_{name.upper()}": text for name, text in ATTRIBUTES.items()}),
    ),
    ("structured", Kind.CLICK, structured()),
    ("structured, capitals and charset", Kind.CLICK, structured("Application/CloudEvents+JSON; charset=UTF-8")),
    ("structured, base64", Kind.CLICK, structured(data=ABSENT, data_base64=b64encode(record().value).decode())),
    ("structured, null attributes", Kind.CLICK, structured(time=None, subject=None, datacontenttype=None)),
    ("erasure that is all envelope", Kind.ERASURE, binary(b" { } ", time="2026-01-01T00:00:00Z", subject=USERS[0])),
]


@pytest.mark.parametrize(("kind", "bad", "reason"), [pytest.param(*case[1:], id=case[0]) for case in BAD])
def test_bad_record_has_its_reason_and_leaves_its_neighbours_alone(kind: Kind, bad: Consumed, reason: Reason) -> None:
    bad = replace(bad, offset=11)
    before, after = record(kind, 10, event_id="before"), record(kind, 12, event_id="after")
    decoded = decode_records(kind, [before, bad, after], LIMITS, NOW_MS)
    assert [(one.reason, one.record) for one in decoded.rejected] == [(reason, bad)]
    assert decoded.rejected[0].message
    assert decoded.batch is not None
    assert decoded.batch.event_ids == ["before", "after"]
    assert decoded.batch.offset.tolist() == [10, 12]


@pytest.mark.parametrize(("kind", "good"), [pytest.param(*case[1:], id=case[0]) for case in GOOD])
def test_good_record_is_taken(kind: Kind, good: Consumed) -> None:
    decoded = decode_records(kind, [good], LIMITS, NOW_MS)
    assert decoded.rejected == []
    assert not isinstance(judge(kind, good, LIMITS, NOW_MS), Rejected)


def test_json_nested_beyond_the_recursion_limit_is_a_bad_record() -> None:
    wide = Limits(PARTITIONS, max_value_bytes=1 << 20)
    decoded = decode_records(Kind.CLICK, [raw(DEEP.encode()), record(offset=1)], wide, NOW_MS)
    assert [one.reason for one in decoded.rejected] == [Reason.NOT_JSON]
    assert decoded.batch is not None


def test_an_envelope_lends_what_the_event_does_not_say() -> None:
    lender = {"id": "lent", "subject": USERS[1], "time": "2026-01-01T00:00:00.5004+02:00"}
    bare = {"item_id": "i1"}
    for one in (binary(json.dumps(bare).encode(), **lender), structured(data=bare, **lender)):
        sent = Consumed(USERS[1].encode(), one.value, headers=one.headers)
        assert judge(Kind.CLICK, sent, LIMITS, NOW_MS) == Click("lent", USERS[1], "i1", 1_767_218_400_500)


def test_what_the_event_says_counts_and_not_the_envelope() -> None:
    lender = {"id": "lent", "subject": USERS[1], "time": "2026-01-01T00:00:00Z"}
    expected = judge(Kind.CLICK, record(), LIMITS, NOW_MS)
    assert judge(Kind.CLICK, binary(**lender), LIMITS, NOW_MS) == expected
    assert judge(Kind.CLICK, structured(**lender), LIMITS, NOW_MS) == expected


def test_a_slab_may_hold_events_with_and_without_envelopes() -> None:
    mixed = [
        replace(one, offset=i) for i, one in enumerate([record(), binary(), structured(), binary(id=""), raw(b"x")])
    ]
    decoded = decode_records(Kind.CLICK, mixed, LIMITS, NOW_MS)
    assert decoded.batch is not None
    assert decoded.batch.offset.tolist() == [0, 1, 2]
    assert decoded.batch.event.tolist() == [hash_id("e1")] * 3
    assert [(one.record.offset, one.reason) for one in decoded.rejected] == [
        (3, Reason.BAD_ENVELOPE),
        (4, Reason.NOT_JSON),
    ]
    assert item_ids(Kind.CLICK, mixed, [2, 1, 0]) == ["i1"] * 3


def test_a_long_envelope_is_not_repeated_in_the_message() -> None:
    verdict = judge(Kind.CLICK, binary(type="interest." + "x" * 5_000), LIMITS, NOW_MS)
    assert isinstance(verdict, Rejected)
    assert len(verdict.message) < 500


def test_nothing_in_nothing_out() -> None:
    decoded = decode_records(Kind.CLICK, [], LIMITS, NOW_MS)
    assert decoded.batch is None
    assert decoded.rejected == []


def test_slab_of_bad_records_has_no_batch() -> None:
    decoded = decode_records(Kind.CLICK, [raw(b"x"), record(ts=-1, offset=1)], LIMITS, NOW_MS)
    assert decoded.batch is None
    assert [one.record.offset for one in decoded.rejected] == [0, 1]


def test_columns_of_each_kind() -> None:
    click = decode_records(Kind.CLICK, [record(), record(dwell_ms=None, offset=1)], LIMITS, NOW_MS).batch
    rating = decode_records(Kind.RATING, [record(Kind.RATING), record(Kind.RATING, rating=None)], LIMITS, NOW_MS).batch
    follow = decode_records(
        Kind.FOLLOW, [record(Kind.FOLLOW), record(Kind.FOLLOW, action="unfollow")], LIMITS, NOW_MS
    ).batch
    erasure = decode_records(Kind.ERASURE, [record(Kind.ERASURE)], LIMITS, NOW_MS).batch
    assert click is not None
    assert rating is not None
    assert follow is not None
    assert erasure is not None
    assert click.value.tolist() == [1500, 0]
    assert click.item.tolist() == [hash_id("i1")] * 2
    assert click.event.tolist() == [hash_id("e1")] * 2
    assert click.keys == [USERS[0].encode()] * 2
    assert click.ts_ms.tolist() == [NOW_MS] * 2
    assert rating.value[0] == np.float32(0.8)
    assert np.isnan(rating.value[1])
    assert follow.value.tolist() == [1, 0]
    assert follow.item[0] == hash_id("creator:t1")
    assert erasure.item.tolist() == [0]
    assert {batch.value.dtype for batch in (click, rating, follow, erasure)} == {np.dtype(np.float32)}
    assert [int(batch.kind[0]) for batch in (click, follow, rating, erasure)] == list(Kind)


def test_user_and_topic_of_one_name_are_two_targets() -> None:
    pair = [record(Kind.FOLLOW, target_type=kind) for kind in ("user", "topic")]
    batch = decode_records(Kind.FOLLOW, pair, LIMITS, NOW_MS).batch
    assert batch
    assert batch.item[0] != batch.item[1]


def test_ids_that_only_together_equal_the_keys_are_bad() -> None:
    first = Consumed(b"a", json.dumps(FIELDS[Kind.CLICK] | {"user_id": "a\nb"}).encode(), 0)
    second = Consumed(b"b\nc", json.dumps(FIELDS[Kind.CLICK] | {"user_id": "c"}).encode(), 1)
    decoded = decode_records(Kind.CLICK, [first, second], LIMITS, NOW_MS, known={PARTITION: {b"a", b"c"}})
    assert decoded.batch is None
    assert [one.reason for one in decoded.rejected] == [Reason.BAD_ID, Reason.KEY_MISMATCH]


def test_known_keys_are_not_looked_at_again() -> None:
    moved = record(user_id=ELSEWHERE)
    assert decode_records(Kind.CLICK, [moved], LIMITS, NOW_MS).rejected
    assert not decode_records(Kind.CLICK, [moved], LIMITS, NOW_MS, known={PARTITION: {ELSEWHERE.encode()}}).rejected


def test_an_id_that_looks_like_the_mark_of_an_erasure_is_bad() -> None:
    """One hash in 11,500 is valid UTF-8: somebody could look for such an id, have it erased, and send its mark."""
    tries = (mark_key(f"u{number}".encode()) for number in count())
    mark = next(key for key in tries if key == key.decode(errors="ignore").encode())
    arena = Arena()
    arena.put([mark], np.zeros(1, arena.records.dtype))
    assert mark in arena
    known = dict.fromkeys(range(PARTITIONS), arena)
    bad = record(user_id=mark.decode())
    decoded = decode_records(Kind.CLICK, [bad, record()], LIMITS, NOW_MS, known)
    assert [rejected.reason for rejected in decoded.rejected] == [Reason.BAD_ID]
    assert decoded.batch is not None
    assert decoded.batch.keys == [record().key]


def test_a_key_known_in_its_own_partition_is_still_wrong_in_another() -> None:
    moved = record(user_id=ELSEWHERE)
    home = partition_of(ELSEWHERE.encode(), PARTITIONS)
    (rejected,) = decode_records(Kind.CLICK, [moved], LIMITS, NOW_MS, known={home: {ELSEWHERE.encode()}}).rejected
    assert rejected.reason is Reason.WRONG_PARTITION


@given(st.lists(st.tuples(st.integers(0, PARTITIONS - 1), st.integers(0, 3), st.booleans()), max_size=12))
def test_partitions_together_give_what_each_gives_alone(drawn: list[tuple[int, int, bool]]) -> None:
    records = [
        Consumed(
            user.encode(), json.dumps(FIELDS[Kind.CLICK] | {"user_id": user}).encode() if fine else b"x", i, partition
        )
        for i, (partition, number, fine) in enumerate(sorted(drawn))
        for user in [users_of(partition, 4)[number]]
    ]
    together = decode_records(Kind.CLICK, records, LIMITS, NOW_MS)
    alone = [
        decode_records(Kind.CLICK, [one for one in records if one.partition == partition], LIMITS, NOW_MS)
        for partition in range(PARTITIONS)
    ]
    assert together.rejected == [rejected for each in alone for rejected in each.rejected]
    assert together.partitions == [partition for each in alone for partition in each.partitions]
    keys = [] if together.batch is None else together.batch.keys
    assert keys == [key for each in alone if each.batch is not None for key in each.batch.keys]


def test_every_reason_says_what_to_do() -> None:
    assert {case[3] for case in BAD} == set(Reason)
    for reason in Reason:
        assert reason.meaning.endswith(".")
        assert reason == reason.value


@given(st.text())
def test_control_characters_are_those_of_the_hash_column(text: str) -> None:
    try:
        raw_text = text.encode()
    except UnicodeEncodeError:
        return
    assert bool(CONTROL_CHARACTER.search(raw_text)) != bool(hash_ids([text]).clean[0])


IDS = st.sampled_from(["i1", "é" * 128, "x" * 256, "x" * 257, "", "a\nb", "a\x00", "}{", " "])
NUMBERS = st.sampled_from([0, 1, 2.5, 5, 5.5, -1, 1e300, 86_400_001, None, "4"])
TIMES = st.sampled_from([NOW_MS, 0, -1, NOW_MS + 300_001, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, "now", None])
CHANGES: dict[Kind, dict[str, st.SearchStrategy[Any]]] = {
    Kind.CLICK: {
        "item_id": IDS,
        "dwell_ms": NUMBERS,
        "region": st.sampled_from(["FR", "de", "a\nb", "a\x00", "", None, 7]),
    },
    Kind.FOLLOW: {
        "target_id": IDS,
        "target_type": st.sampled_from(["user", "topic", "page"]),
        "action": st.sampled_from(["follow", "unfollow", "mute"]),
    },
    Kind.RATING: {"item_id": IDS, "rating": NUMBERS, "scale_max": NUMBERS},
    Kind.ERASURE: {},
}
KEYS = st.sampled_from([None, "text", 7, b"", b"a\nb", *[user.encode() for user in USERS]])
GARBAGE = st.one_of(st.none(), st.binary(max_size=40), st.just(b"[" * 2_500), st.just(b'{"event_id":"\xff"}'))
ENVELOPES = st.sampled_from(
    [binary().headers, binary(specversion="0.3").headers, structured().headers, [("traceparent", b"00")], []]
)


@st.composite
def slabs(draw: st.DrawFn) -> tuple[Kind, list[Consumed], set[bytes]]:
    kind = draw(st.sampled_from(list(Kind)))
    strange = draw(st.integers(0, 3))
    records = []
    for offset in range(draw(st.integers(0, 12))):
        user = draw(st.sampled_from([*USERS, ELSEWHERE])) if strange else draw(st.sampled_from(USERS))
        fields = FIELDS[kind] | {"user_id": user, "event_id": f"e{offset}"}
        key: Any = user.encode()
        value: Any = json.dumps(fields).encode()
        fault = draw(st.integers(0, 4 * strange)) if strange else 0
        if fault == 1:
            choices = CHANGES[kind] | {"ts": TIMES, "event_id": IDS, "user_id": IDS}
            name = draw(st.sampled_from(sorted(choices)))
            value = json.dumps(fields | {name: draw(choices[name])}).encode()
        elif fault == 2:
            key = draw(KEYS)
        elif fault == 3:
            value = draw(GARBAGE)
        headers = draw(ENVELOPES) if strange and draw(st.booleans()) else []
        records.append(Consumed(key, value, offset, headers=headers))
    return kind, records, {user.encode() for user in draw(st.sets(st.sampled_from(USERS)))}


@settings(max_examples=400, deadline=None)
@given(slabs())
def test_slab_is_its_records_judged_one_by_one(slab: tuple[Kind, list[Consumed], set[bytes]]) -> None:
    kind, records, known = slab
    verdicts = [judge(kind, one, LIMITS, NOW_MS) for one in records]
    good = [(one, verdict) for one, verdict in zip(records, verdicts, strict=True) if not isinstance(verdict, Rejected)]
    decoded = decode_records(kind, records, LIMITS, NOW_MS, {PARTITION: known})
    assert decoded.rejected == [verdict for verdict in verdicts if isinstance(verdict, Rejected)]
    if not good:
        assert decoded.batch is None
        return
    batch = decoded.batch
    assert batch is not None
    assert batch.keys == [one.key for one, _ in good]
    assert batch.offset.tolist() == [one.offset for one, _ in good]
    assert batch.event_ids == [event.event_id for _, event in good]
    assert batch.ts_ms.tolist() == [event.ts for _, event in good]
    assert batch.event.tolist() == [hash_id(event.event_id) for _, event in good]
    assert batch.item.tolist() == [_item(event) for _, event in good]
    np.testing.assert_array_equal(batch.value, np.array([_value(event) for _, event in good], np.float32))
    assert batch.region.dtype == np.uint8
    assert batch.region.tolist() == [_region(event) for _, event in good]


def _region(event: Any) -> int:
    named = isinstance(event, Click) and event.region
    return hash_id(event.region) % 8 + 1 if named else 0


def _item(event: Any) -> int:
    match event:
        case Click() | Rating():
            return hash_id(event.item_id)
        case Follow():
            return hash_id(event.target_type + ":" + event.target_id)
        case _:
            return 0


def _value(event: Any) -> float:
    match event:
        case Click():
            return event.dwell_ms or 0
        case Rating():
            return float("nan") if event.rating is None else event.rating / event.scale_max
        case Follow():
            return 1 if event.action == "follow" else 0
        case Erasure():
            return 0
    raise AssertionError(event)
