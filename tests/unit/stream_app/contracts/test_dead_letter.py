"""A dead letter keeps what came and says what was wrong with it."""

from typing import Any

from stream_app.contracts.dead_letter import MAX_VALUE_BYTES, dead_letter
from stream_app.contracts.reasons import Reason
from stream_app.contracts.validity import Rejected


class Consumed:
    topic, partition, offset = "interest.clicks", 3, 42

    def __init__(self, key: bytes | None, value: bytes | None, headers: Any = ()) -> None:
        self.key, self.value, self.headers = key, value, headers


def test_original_bytes_and_headers_come_first_and_ours_last() -> None:
    record = Consumed(b"k", b"\xff{", (("trace", b"1"), ("topic", b"theirs"), ("none", None)))
    key, value, headers = dead_letter(Rejected(Reason.NOT_JSON, "no JSON: é", record))
    assert (key, value) == (b"k", b"\xff{")
    assert headers[:3] == list(record.headers)
    assert dict(headers) == {
        "trace": b"1",
        "none": None,
        "error": "no JSON: é".encode(),
        "reason": b"not_json",
        "topic": b"interest.clicks",
        "partition": b"3",
        "offset": b"42",
    }


def test_null_value_is_not_a_deletion() -> None:
    assert dead_letter(Rejected(Reason.NULL_VALUE, "null", Consumed(None, None)))[:2] == (None, b"")


def test_value_that_kafka_would_refuse_is_cut_and_says_so() -> None:
    _, value, headers = dead_letter(Rejected(Reason.TOO_LARGE, "large", Consumed(b"k", b"x" * 2_000_000)))
    assert value == b"x" * MAX_VALUE_BYTES
    assert dict(headers)["truncated"] == b"2000000"


def test_lone_surrogate_in_a_message_is_written_as_an_escape() -> None:
    _, _, headers = dead_letter(Rejected(Reason.BAD_ID, "id \ud800", Consumed(b"k", b"v")))
    assert dict(headers)["error"] == rb"id \ud800"
