"""What is an item, and what is said of what is none."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.items import MAX_TAG, MAX_TAGS, MAX_TITLE, MAX_VALUE_BYTES, Item, judge_item
from stream_app.contracts.reasons import Reason
from stream_app.contracts.validity import Rejected


@dataclass
class Consumed:
    key: bytes | None
    value: bytes | None
    topic: str = "interest.items"
    partition: int = 1
    offset: int = 7
    timestamp: int = 0
    headers: tuple[tuple[str, bytes | None], ...] = ()


def judged(fields: dict[str, Any], key: bytes | None = b"i1") -> Item | Rejected:
    return judge_item(Consumed(key, json.dumps(fields).encode()))


def test_all_fields_come_through_and_others_are_ignored() -> None:
    fields = {
        "item_id": "i1", "title": "T", "description": "D", "tags": ["a", "b"], "creator_id": "c", "published_at": 5,
        "price": [1, {"eur": 2}],
    }  # fmt: skip
    assert judged(fields) == Item("i1", "T", "D", ("a", "b"), "c", 5)


def test_a_title_is_enough_and_null_is_nothing_said() -> None:
    assert judged({"item_id": "i1", "title": "T"}) == Item("i1", "T")
    nothing = dict.fromkeys(("description", "tags", "creator_id", "published_at", "deleted"))
    assert judged({"item_id": "i1", "title": "T", **nothing}) == Item("i1", "T")


@pytest.mark.parametrize("year", [1, 1895, 1969, 2100, 9999])
def test_times_of_old_films_and_of_what_is_announced_are_taken(year: int) -> None:
    at_ms = int((datetime(year, 6, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    assert judged({"item_id": "i1", "title": "T", "published_at": at_ms}) == Item("i1", "T", published_at=at_ms)


def test_a_tombstone_and_a_word_withdraw_an_item() -> None:
    assert judge_item(Consumed(b"i1", None)) == Item("i1", deleted=True)
    assert judged({"item_id": "i1", "deleted": True}) == Item("i1", deleted=True)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"item_id": "i1"}, Reason.MISSING_FIELD),
        ({"item_id": "i1", "title": " \n"}, Reason.MISSING_FIELD),
        ({"item_id": "i1", "title": None}, Reason.MISSING_FIELD),
        ({"title": "T"}, Reason.MISSING_FIELD),
        ({"item_id": "i2", "title": "T"}, Reason.KEY_MISMATCH),
        ({"item_id": "", "title": "T"}, Reason.BAD_ID),
        ({"item_id": "é" * 129, "title": "T"}, Reason.BAD_ID),
        ({"item_id": "i1", "title": "T", "creator_id": "a\x00"}, Reason.BAD_ID),
        ({"item_id": "i1", "title": "T", "creator_id": "a" * 257}, Reason.BAD_ID),
        ({"item_id": 1, "title": "T"}, Reason.WRONG_TYPE),
        ({"item_id": "i1", "title": "T", "tags": "drama"}, Reason.WRONG_TYPE),
        ({"item_id": "i1", "title": "T", "published_at": 10**30}, Reason.TS_INVALID),
        ({"item_id": "i1", "title": "T", "published_at": -(10**14)}, Reason.TS_INVALID),
        ({"item_id": "i1", "title": "T" * (MAX_TITLE + 1)}, Reason.TOO_LARGE),
        ({"item_id": "i1", "title": "T", "tags": ["a"] * (MAX_TAGS + 1)}, Reason.TOO_LARGE),
        ({"item_id": "i1", "title": "T", "tags": ["a" * (MAX_TAG + 1)]}, Reason.TOO_LARGE),
        ({"item_id": "i1", "title": "T", "description": "a" * MAX_VALUE_BYTES}, Reason.TOO_LARGE),
    ],
)
def test_what_is_no_item_has_a_reason(fields: dict[str, Any], reason: Reason) -> None:
    found = judged(fields)
    assert isinstance(found, Rejected)
    assert found.reason == reason
    assert len(found.message) < 500


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"a\nb", b"a" * 257])
def test_a_tombstone_needs_an_id_for_a_key(key: bytes | None) -> None:
    found = judge_item(Consumed(key, None))
    assert isinstance(found, Rejected)
    assert found.reason == Reason.BAD_ID


@given(st.one_of(st.none(), st.binary(max_size=20)), st.one_of(st.none(), st.binary(max_size=60)))
def test_bytes_from_outside_never_raise(key: bytes | None, value: bytes | None) -> None:
    found = judge_item(Consumed(key, value))
    assert isinstance(found, Rejected) or found.item_id.encode() == key


@pytest.mark.parametrize("value", [b"[", b"[" * 5_000, b"7"])
def test_a_value_that_begins_as_no_object_is_of_the_wrong_type(value: bytes) -> None:
    found = judge_item(Consumed(b"i1", value))
    assert isinstance(found, Rejected)
    assert found.reason == Reason.WRONG_TYPE


@pytest.mark.parametrize("value", [b"\xff", b'{"item_id": "i1", "title": "\xff"}', b""])
def test_what_is_no_json_is_said_to_be_none(value: bytes) -> None:
    found = judge_item(Consumed(b"i1", value))
    assert isinstance(found, Rejected)
    assert found.reason == Reason.NOT_JSON


def test_an_item_in_an_envelope_is_the_same_item() -> None:
    attributes = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "interest.item.v1", "subject": "i1"}
    headers = tuple((f"ce_{name}", text.encode()) for name, text in attributes.items())
    assert judge_item(Consumed(b"i1", b'{"title":"T"}', headers=headers)) == Item("i1", "T")
    structured = json.dumps({**attributes, "data": {"item_id": "i1", "title": "T"}}).encode()
    told = (("content-type", b"application/cloudevents+json"),)
    assert judge_item(Consumed(b"i1", structured, headers=told)) == Item("i1", "T")
    assert judge_item(Consumed(b"i1", None, headers=headers)) == Item("i1", deleted=True)


@pytest.mark.parametrize("wrong", [("ce_type", b"interest.click.v1"), ("ce_specversion", b"2.0"), ("ce_id", b"")])
def test_an_envelope_that_is_none_of_an_item_is_refused(wrong: tuple[str, bytes]) -> None:
    headers = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/"), ("ce_type", b"item"), wrong)
    found = judge_item(Consumed(b"i1", b'{"item_id":"i1","title":"T"}', headers=headers))
    assert isinstance(found, Rejected)
    assert found.reason is Reason.BAD_ENVELOPE
