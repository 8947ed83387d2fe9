"""What a valid event is, one record at a time, in words.

`judge` is the definition; `decode.py` is the fast way to the same verdicts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Protocol

import msgspec

from model_store.state.hashing import partition_of
from model_store.state.layout import Kind
from stream_app.contracts.cloud_events import Contents, EnvelopeError, is_enveloped, opened
from stream_app.contracts.events import EVENT_OF_KIND, Click, Erasure, Event, Follow, Rating
from stream_app.contracts.reasons import Reason

MAX_ID_BYTES = 256
MAX_TS_MS = 2**63 - 1
_LONGEST_QUOTE = 200
CONTROL_CHARACTER = re.compile(rb"[\x00-\x1f\x7f]")

# What a decoder may raise over bytes from outside: malformed JSON, a wrong shape, invalid UTF-8 in a string that is
# read, nesting beyond the recursion limit, TypeError for a value that is no bytes at all, and a CloudEvent with nothing
# of ours in it.
UNDECODABLE = (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError, EnvelopeError)

# Typed as Any: which event a decoder returns is known only by its kind.
DECODERS: dict[Kind, Any] = {kind: msgspec.json.Decoder(event) for kind, event in EVENT_OF_KIND.items()}
CONTENTS = {kind: Contents(f"interest.{kind.name.lower()}.v1") for kind in Kind}

Fault = tuple[Reason, str] | None
"""What is wrong, and with what; None if nothing is."""


class Record(Protocol):
    """A consumed Kafka record; aiokafka's `ConsumerRecord` is one."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken for a valid event.

    Attributes:
        partitions: of the input topics; a user's events must be where murmur2 of the user id puts them.
        max_value_bytes: of a record's value.
        max_future_ms: how far ahead of the clock an event time may be.
        max_dwell_ms: of a click.
    """

    partitions: int
    max_value_bytes: int = 65_536
    max_future_ms: int = 300_000
    max_dwell_ms: int = 86_400_000


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that is not a valid event. `message` is for people: what is wrong in this record."""

    reason: Reason
    message: str
    record: Record


def judge(kind: Kind, record: Record, limits: Limits, now_ms: int) -> Event | Rejected:
    """The event, or why it is none; the first fault found counts. Never raises over what is in the record."""
    value = record.value
    if value is None:
        return Rejected(Reason.NULL_VALUE, "the record has a null value", record)
    if len(value) > limits.max_value_bytes:
        allowed = f"{limits.max_value_bytes:,}"
        return Rejected(Reason.TOO_LARGE, f"the value has {len(value):,} bytes, allowed are {allowed}", record)
    try:
        event: Event = DECODERS[kind].decode(value_of(record, CONTENTS[kind]))
    except UNDECODABLE as error:
        return Rejected(*decoding_fault(error), record)
    fault = (
        _ids_fault(event)
        or _key_fault(event, record, limits)
        or _time_fault(event, limits, now_ms)
        or _number_fault(event, limits)
    )
    return Rejected(*fault, record) if fault else event


def value_of(record: Record, contents: Contents) -> bytes:
    """The record's value, out of its envelope if it has one; empty for null. Raises one of `UNDECODABLE` over an
    envelope."""
    if record.headers and is_enveloped(record.headers):
        return opened(record.value, record.headers, contents)
    return record.value or b""


def decoding_fault(error: Exception) -> tuple[Reason, str]:
    """Why bytes are no JSON of the wanted shape; `error` is one of `UNDECODABLE`."""
    text = str(error)
    if isinstance(error, EnvelopeError):
        return error.reason, text
    if isinstance(error, RecursionError):
        return Reason.NOT_JSON, "the JSON is nested too deeply"
    if not isinstance(error, msgspec.ValidationError):
        return Reason.NOT_JSON, text
    if text.startswith("Object missing required field"):
        return Reason.MISSING_FIELD, text
    if text.startswith("Invalid enum value"):
        text = clipped(text)
        return Reason.UNKNOWN_VALUE, f"{text}; target_type is user, creator or topic, action is follow or unfollow"
    if "out of range" in text:
        return (Reason.TS_INVALID if text.endswith("`$.ts`") else Reason.OUT_OF_RANGE), text
    return Reason.WRONG_TYPE, text


def clipped(text: str) -> str:
    """A text from outside, short enough to stand in a message."""
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "..."


def _ids_fault(event: Event) -> Fault:
    faults = (id_fault(name, value) for name, value in _named_ids(event))
    return next((fault for fault in faults if fault), None)


def id_fault(name: str, value: str) -> Fault:
    """What is wrong with an id; `name`: what the contract calls it."""
    raw = value.encode()
    if not raw:
        return Reason.BAD_ID, f"{name} is empty"
    if len(raw) > MAX_ID_BYTES:
        return Reason.BAD_ID, f"{name} has {len(raw):,} bytes, allowed are {MAX_ID_BYTES}"
    if CONTROL_CHARACTER.search(raw):
        return Reason.BAD_ID, f"{name} has control characters: {value!r}"
    return None


def _named_ids(event: Event) -> list[tuple[str, str]]:
    ids = [("event_id", event.event_id), ("user_id", event.user_id)]
    if isinstance(event, Follow):
        ids.append(("target_id", event.target_id))
    elif not isinstance(event, Erasure):
        ids.append(("item_id", event.item_id))
    return ids


def _key_fault(event: Event, record: Record, limits: Limits) -> Fault:
    user = event.user_id.encode()
    if record.key != user:
        shown = repr(record.key[:64]) if isinstance(record.key, bytes) else repr(record.key)
        return Reason.KEY_MISMATCH, f"the key is {shown}, the user_id is {event.user_id!r}"
    right = partition_of(user, limits.partitions)
    if right != record.partition:
        text = f"the record is in partition {record.partition}, murmur2 of its key gives {right}"
        return Reason.WRONG_PARTITION, text
    return None


def _time_fault(event: Event, limits: Limits, now_ms: int) -> Fault:
    if event.ts < 0:
        return Reason.TS_INVALID, f"ts is negative: {clipped(str(event.ts))}"
    if event.ts > MAX_TS_MS:
        return Reason.TS_INVALID, "ts does not fit into 64 bits"
    ahead_ms = event.ts - now_ms
    if ahead_ms > limits.max_future_ms:
        allowed_s = limits.max_future_ms / 1000
        return Reason.TS_IN_FUTURE, f"ts is {ahead_ms / 1000:,.0f} s in the future, allowed are {allowed_s:,.0f} s"
    return None


def _number_fault(event: Event, limits: Limits) -> Fault:
    if isinstance(event, Click):
        dwell = event.dwell_ms
        if dwell is not None and not 0 <= dwell <= limits.max_dwell_ms:
            return Reason.OUT_OF_RANGE, f"dwell_ms is {dwell:g}, allowed are 0 to {limits.max_dwell_ms:,}"
    elif isinstance(event, Rating):
        if not (isfinite(event.scale_max) and event.scale_max > 0):
            return Reason.OUT_OF_RANGE, f"scale_max is {event.scale_max:g}, it must be positive"
        if event.rating is not None and not 0 <= event.rating <= event.scale_max:
            return Reason.OUT_OF_RANGE, f"rating is {event.rating:g}, its scale is 0 to {event.scale_max:g}"
    return None
