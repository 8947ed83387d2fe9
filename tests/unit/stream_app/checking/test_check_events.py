"""What `interest check-events` says of events in a file, and that it makes nothing up."""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from model_store.state.hashing import partition_of
from model_store.state.layout import Kind
from stream_app.checking.arrivals import KINDS, Sent, from_line, from_record, kind_of
from stream_app.checking.check import UNKNOWN_KIND, Check
from stream_app.checking.findings import Finding, Severity
from stream_app.checking.hints import CODES, MANY, Repeats
from stream_app.checking.mends import general
from stream_app.checking.names import meant_by
from stream_app.cli import app
from stream_app.contracts.decode import decode_records
from stream_app.contracts.reasons import Reason
from stream_app.contracts.validity import Limits

NOW_MS = 1_790_000_000_000
CLICK: dict[str, Any] = {"event_id": "e", "user_id": "u", "item_id": "i", "ts": NOW_MS}
RATING = {**CLICK, "rating": 4}
FOLLOW = {"event_id": "e", "user_id": "u", "target_id": "t", "target_type": "user", "action": "follow", "ts": NOW_MS}
ENVELOPE = {"specversion": "1.0", "id": "e", "source": "/s", "type": "interest.click.v1", "data": CLICK}


def check(*lines: Any, kind: str = "") -> list[Finding]:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    arrivals = [from_line(text, number, kind) for number, text in enumerate(texts, 1)]
    one = Check(Limits(1))
    return [*one.findings(arrivals, NOW_MS), *one.at_the_end()]


def clicks(count: int, dwell: float) -> list[dict[str, Any]]:
    return [{**CLICK, "event_id": f"dwell {number}", "dwell_ms": dwell} for number in range(count)]


ERRORS: list[tuple[str, Any, str, str, str]] = [
    ("numeric id", {**CLICK, "user_id": 42}, "wrong_type", "user_id", 'quote it: "user_id": "42"'),
    ("quoted time", {**CLICK, "ts": "1790000000000"}, "wrong_type", "ts", 'take the quotes away: "ts": 1790000000000'),
    ("date", {**CLICK, "ts": "2026-01-01T00:00:00Z"}, "wrong_type", "ts", "milliseconds since 1970 as a number"),
    ("fraction", {**CLICK, "ts": 1790000000.5}, "wrong_type", "ts", "int(seconds * 1000)"),
    ("quoted rating", {**RATING, "rating": "4"}, "wrong_type", "rating", 'take the quotes away: "rating": 4'),
    ("null", {**CLICK, "item_id": None}, "wrong_type", "item_id", "null is no value for it"),
    ("array", [1, 2], "wrong_type", "", "send one JSON object"),
    (
        "microseconds",
        {**CLICK, "ts": NOW_MS * 1000},
        "ts_in_future",
        "ts",
        f"microseconds: send milliseconds, {NOW_MS}",
    ),
    ("nanoseconds", {**CLICK, "ts": NOW_MS * 10**6}, "ts_in_future", "ts", "nanoseconds"),
    ("future", {**CLICK, "ts": NOW_MS + 400_000}, "ts_in_future", "ts", "check the clock"),
    ("camel case", {"event_id": "e", "user_id": "u", "itemId": "i", "ts": 1}, "missing_field", "item_id", "`itemId`"),
    ("other word", {**FOLLOW, "timestamp": FOLLOW["ts"], "ts": 0} | {"ts": -1}, "ts_invalid", "ts", "send UTC milli"),
    ("alias", {k: v for k, v in CLICK.items() if k != "ts"} | {"timestamp": 1}, "missing_field", "ts", "`timestamp`"),
    ("absent", {k: v for k, v in CLICK.items() if k != "ts"}, "missing_field", "ts", "send `ts`"),
    ("untitled", {"item_id": "i", "title": " "}, "missing_field", "title", "send `title`"),
    ("scale", {**RATING, "rating": 9}, "out_of_range", "rating", "`scale_max`"),
    ("beyond its scale", {**RATING, "rating": 9, "scale_max": 6}, "out_of_range", "rating", "within the stated limits"),
    ("other word of a set", {**FOLLOW, "action": "mute"}, "unknown_value", "action", "that the message lists"),
    ("bad id", {**CLICK, "event_id": ""}, "bad_id", "event_id", "clean, short id"),
    ("python", b"{'event_id': '8'}", "not_json", "", "json.dumps"),
    ("nan", b'{"event_id": "8", "dwell_ms": NaN}', "not_json", "", "no NaN"),
    ("gzip", b"\x1f\x8b\x08", "not_json", "", "gzip"),
    ("registry", b"\0\0\0\0\x01{}", "not_json", "", "schema registry"),
    ("byte order mark", b"\xef\xbb\xbf{}", "not_json", "", "byte order mark"),
    ("words", b"hello", "not_json", "", "one JSON object a record"),
    ("envelope of 0.3", {**ENVELOPE, "specversion": "0.3"}, "bad_envelope", "specversion", "required attributes"),
    ("envelope of another", {**ENVELOPE, "type": "interest.click.v2"}, "bad_envelope", "", "required attributes"),
    ("anything", {"a": 1}, UNKNOWN_KIND, "", "--kind"),
    ("erasure, or a click without an item", {"event_id": "e", "user_id": "u", "ts": 1}, UNKNOWN_KIND, "", "--kind"),
]


@pytest.mark.parametrize(("line", "code", "name", "mend"), [pytest.param(*case[1:], id=case[0]) for case in ERRORS])
def test_an_error_names_the_field_and_the_mend(line: Any, code: str, name: str, mend: str) -> None:
    (found,) = check(line)
    assert (found.severity, found.where, found.fault.code) == (Severity.ERROR, "line 1", code)
    assert found.fault.field == name
    assert mend in found.fault.mend
    assert found.fault.message


WARNINGS: list[tuple[str, list[Any], str, str]] = [
    ("seconds", [{**CLICK, "ts": NOW_MS // 1000}], "ts_in_seconds", f"send milliseconds: {NOW_MS}"),
    ("far past", [{**CLICK, "ts": 5}], "ts_far_past", "milliseconds"),
    ("typo", [{**CLICK, "dwel_ms": 5}], "unknown_field", "`dwell_ms`"),
    ("camel case", [{**RATING, "scaleMax": 5}], "unknown_field", "`scale_max`"),
    ("twice", [CLICK, CLICK], "duplicate_event", "retry"),
    ("twice, once in an envelope", [CLICK, ENVELOPE], "duplicate_event", "retry"),
    ("one id, two events", [CLICK, {**CLICK, "item_id": "j"}], "reused_event_id", "UUID"),
    ("dwells in seconds", clicks(MANY, 12.5), "dwell_in_seconds", "milliseconds"),
]


@pytest.mark.parametrize(("lines", "code", "mend"), [pytest.param(*case[1:], id=case[0]) for case in WARNINGS])
def test_a_warning_is_of_what_is_taken(lines: list[Any], code: str, mend: str) -> None:
    (found,) = check(*lines)
    assert (found.severity, found.fault.code) == (Severity.WARNING, code)
    assert mend in found.fault.mend


def test_every_sort_of_warning_has_a_meaning_and_a_case() -> None:
    assert {case[2] for case in WARNINGS} == CODES.keys()


GOOD = [
    CLICK,
    {**CLICK, "event_id": "2", "colour": "red", "dwell_ms": 1500, "kind": "click"},
    {**CLICK, "event_id": "3", "title": "Seven Samurai"},
    {"kind": "erasure", "event_id": "4", "user_id": "u", "ts": NOW_MS},
    {"topic": "interest.erasures", "event_id": "5", "user_id": "u", "ts": NOW_MS},
    {**RATING, "event_id": "6", "rating": None},
    {"item_id": "i", "title": "T", "price": 3},
    {"kind": "item", "item_id": "i", "deleted": True},
    {**ENVELOPE, "id": "7", "data": {"item_id": "i"}, "subject": "u", "time": "2026-01-01T00:00:00Z"},
    {**CLICK, "event_id": "e", "user_id": "another user"},
]  # fmt: skip


def test_nothing_is_said_of_good_events() -> None:
    assert check(*GOOD, *clicks(MANY - 1, 5), {**CLICK, "event_id": "long", "dwell_ms": 70_000}) == []


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"kind": "click"}, "click"),
        ({"kind": "clicks", "rating": 1}, "click"),
        ({"topic": "interest.follows"}, "follow"),
        ({"type": "interest.rating.v1"}, "rating"),
        ({"kind": "purchase", "item_id": "i"}, "click"),
        ({"userId": "u", "itemId": "i"}, "click"),
        ({"user_id": "u", "item_id": "i", "title": "T"}, "click"),
        ({"item_id": "i", "title": "T"}, "item"),
        ({"user_id": "u", "ts": 1}, ""),
        ([], ""),
    ],
)
def test_an_event_tells_what_it_is(said: Any, kind: str) -> None:
    assert kind_of(said) == kind


def test_the_kind_that_is_given_counts() -> None:
    (found,) = check(FOLLOW, kind="click")
    assert (found.fault.code, found.fault.field) == ("missing_field", "item_id")
    assert check({"event_id": "e", "user_id": "u", "ts": NOW_MS}, kind="erasure") == []


def _record(key: bytes | None, partition: int, partitions: int = 4, headers: Any = ()) -> list[Finding]:
    sent = Sent("t", partition, 7, key, json.dumps(CLICK).encode(), headers)
    return Check(Limits(partitions)).findings([from_record(sent, "click")], NOW_MS)


def test_keys_and_partitions_of_a_topic_are_mended() -> None:
    right = partition_of(b"u", 4)
    assert _record(b"u", right) == []
    (missing,) = _record(None, right)
    assert missing.fault.mend == "the record has no key: set it to the user_id"
    (quoted,) = _record(b'"u"', right)
    assert "without quotes" in quoted.fault.mend
    (elsewhere,) = _record(b"u", (right + 1) % 4)
    assert (elsewhere.fault.code, elsewhere.where) == ("wrong_partition", f"t[{(right + 1) % 4}] offset 7")
    assert "murmur2_random" in elsewhere.fault.mend


def test_librdkafka_is_recognised_by_where_it_put_a_record() -> None:

    partitions = next(n for n in range(2, 50) if zlib.crc32(b"u") % n != partition_of(b"u", n))
    (found,) = _record(b"u", zlib.crc32(b"u") % partitions, partitions)
    assert "CRC32" in found.fault.mend


def test_headers_without_a_version_are_mended() -> None:
    sent = Sent("t", 0, 7, b"u", b'{"item_id": "i"}', [("ce_id", b"1")])
    (found,) = Check(Limits(1)).findings([from_record(sent, "click")], NOW_MS)
    assert "ce_specversion" in found.fault.mend
    bare = Sent("t", 0, 7, b"u", json.dumps(ENVELOPE).encode(), [])
    (found,) = Check(Limits(1)).findings([from_record(bare, "click")], NOW_MS)
    assert "content-type: application/cloudevents+json" in found.fault.mend


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_mend(reason: Reason) -> None:
    assert len(general(reason)) > 10


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=40))
def test_what_is_called_a_repetition_is_one(drawn: list[tuple[int, int]]) -> None:
    """With four slots it forgets most."""
    repeats, seen = Repeats(slots=4), set()
    for event_id, item in drawn:
        event = {**CLICK, "event_id": str(event_id), "item_id": str(item)}
        for fault in repeats.hints_of(from_line(json.dumps(event).encode(), 1, "click")):
            same = fault.code == "duplicate_event"
            assert (event_id, item) in seen if same else any(one == event_id for one, _ in seen)
        seen.add((event_id, item))


@given(
    st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([json.dumps(one).encode() for one in GOOD])), max_size=8)
)
def test_verdicts_are_the_decoders(lines: list[bytes]) -> None:
    arrivals = [from_line(line, number, "click") for number, line in enumerate(lines)]
    records = [arrival.record for arrival in arrivals]
    expected = {
        one.record.offset: one.reason.value for one in decode_records(Kind.CLICK, records, Limits(1), NOW_MS).rejected
    }
    found = Check(Limits(1)).findings(arrivals, NOW_MS)
    errors = {int(one.where.split()[1]): one.fault.code for one in found if one.severity is Severity.ERROR}
    assert errors == expected


def test_short_names_are_not_taken_for_others() -> None:
    assert meant_by("is", ("ts",)) == ""
    assert meant_by("colour", ("region", "surface")) == ""
    assert KINDS.keys() == {"click", "follow", "rating", "erasure", "item"}


# -- the command


def run(*arguments: str, stdin: bytes | None = None) -> Any:
    return CliRunner().invoke(app, ["check-events", *arguments], input=stdin)


def as_lines(*events: Any) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def test_exit_codes(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    past = [{**one, "ts": 1_700_000_000_000} if "ts" in one else one for one in GOOD]
    path.write_bytes(as_lines(*past) + b"\n  \n")
    done = run(str(path))
    assert done.exit_code == 0
    assert f"{len(GOOD)} events: {len(GOOD)} good, 0 bad, 0 with warnings" in done.output
    path.write_bytes(as_lines({**CLICK, "ts": 1_700_000_000}))
    assert run(str(path)).exit_code == 0
    assert run(str(path), "--strict").exit_code == 1
    path.write_bytes(as_lines({**CLICK, "ts": -1}))
    assert run(str(path)).exit_code == 1
    assert run(str(tmp_path / "nothing")).exit_code == 2
    assert run(str(path), "--last", "3").exit_code == 2


def test_the_table_counts_what_is_not_shown() -> None:
    bad = as_lines(*({**CLICK, "ts": -number} for number in range(1, 8)))
    done = run("-", "--show", "2", stdin=bad)
    assert done.output.count("mend:") == 2
    row = next(line for line in done.output.splitlines() if "ts_invalid" in line and "line" not in line[:6])
    assert row.split() == ["error", "ts_invalid", "7", "line", "1"]
    assert "7 events: 0 good, 7 bad" in done.output


def test_json_is_a_line_a_finding_and_the_sum() -> None:
    done = run("-", "--json", "--kind", "click", "--max", "2", stdin=as_lines({**CLICK, "ts": -1}, FOLLOW, CLICK))
    first, second, last = map(json.loads, done.output.splitlines())
    assert (first["where"], first["reason"], first["field"]) == ("line 1", "ts_invalid", "ts")
    assert second["reason"] == "missing_field"
    assert {name: last["summary"][name] for name in ("events", "bad", "with_warnings")} == {
        "events": 2, "bad": 2, "with_warnings": 0,
    }  # fmt: skip
    assert [row["count"] for row in last["summary"]["reasons"]] == [1, 1]


def test_limits_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEREST_ACCEPT__MAX_DWELL_MS", "10")
    done = run("-", stdin=as_lines({**CLICK, "ts": 1_700_000_000_000, "dwell_ms": 11}))
    assert "dwell_ms is 11, allowed are 0 to 10" in done.output


def test_markup_in_an_event_is_text() -> None:
    done = run("-", stdin=as_lines({**CLICK, "ts": -1, "surface": "[bold]x[/nothing]"}))
    assert "[bold]x[/nothing]" in done.output
