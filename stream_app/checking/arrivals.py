"""An event on its way into a check, and of what kind it is."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from model_store.state.layout import Kind
from stream_app.checking.names import meant_by
from stream_app.contracts.cloud_events import STRUCTURED, Contents
from stream_app.contracts.items import CONTENTS as ITEM_CONTENTS
from stream_app.contracts.validity import CONTENTS, UNDECODABLE, Record, value_of

ITEM = "item"
KINDS: dict[str, Kind | None] = {**{kind.name.lower(): kind for kind in Kind}, ITEM: None}
"""By the word for it; None for what no worker reads but the catalogue service."""

_TELLING = {
    "target_id": "follow", "target_type": "follow", "action": "follow", "rating": "rating", "scale_max": "rating",
    "title": ITEM, "tags": ITEM, "description": ITEM, "creator_id": ITEM, "published_at": ITEM, "deleted": ITEM,
    "item_id": "click", "dwell_ms": "click",
}  # fmt: skip
_STRUCTURED_HEADERS = [("content-type", STRUCTURED.encode())]

_NAMES = ("user_id", *_TELLING)

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """A record as it would come from Kafka."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp: int = 0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A record, where it was found, the kind of event that it is to be ("" where nobody knows), and what it says where
    it is a JSON object."""

    where: str
    kind: str
    record: Record
    fields: Fields | None


def contents_of(kind: str) -> Contents:
    """What envelopes of a kind hold; of an unknown kind no type of ours is right."""
    number = KINDS.get(kind)
    return CONTENTS[number] if number is not None else ITEM_CONTENTS


def fields_of(record: Record, kind: str) -> Fields | None:
    """What a record says, out of its envelope."""
    try:
        found = msgspec.json.decode(value_of(record, contents_of(kind)))
    except UNDECODABLE:
        return None
    return found if isinstance(found, dict) else None


def from_line(line: bytes, number: int, kind: str) -> Arrival:
    """An event as a line of a file: the contract's fields and, unless `kind` says it for all lines, `kind` or `topic`.

    A line that is an envelope of CloudEvents is read as one in structured mode. It has the key and the partition that
    it should have: a file does not tell.
    """
    value = line.strip()
    told = _object(value)
    if told is None or "specversion" not in told:
        kind = kind or kind_of(told)
        return Arrival(f"line {number}", kind, Sent("", 0, number, _key(told, kind), value, ()), told)
    kind = kind or kind_of(told) or kind_of(told.get("data"))
    fields = fields_of(Sent("", 0, number, None, value, _STRUCTURED_HEADERS), kind)
    return Arrival(f"line {number}", kind, Sent("", 0, number, _key(fields, kind), value, _STRUCTURED_HEADERS), fields)


def from_record(record: Record, kind: str) -> Arrival:
    """An event as a topic has it."""
    where = f"{record.topic}[{record.partition}] offset {record.offset}"
    return Arrival(where, kind, record, fields_of(record, kind))


def _object(value: bytes) -> Fields | None:
    try:
        found = msgspec.json.decode(value)
    except UNDECODABLE:
        return None
    return found if isinstance(found, dict) else None


def _key(fields: Fields | None, kind: str) -> bytes:
    owner = (fields or {}).get("item_id" if kind == ITEM else "user_id")
    return owner.encode() if isinstance(owner, str) else b""


def kind_of(fields: Any) -> str:
    """By what the event says of itself, then by fields that only one kind has; "" if neither tells or it is none.

    What has a user and a time and no more is no erasure: it may as well be a click that lacks its item.
    """
    if not isinstance(fields, Mapping):
        return ""
    return _said(fields) or _told_by(fields) or _told_by({meant_by(name, tuple(_NAMES)) for name in fields})


def _told_by(names: Container[str]) -> str:
    telling = ((name, kind) for name, kind in _TELLING.items() if name in names)
    return next((kind for name, kind in telling if not (kind == ITEM and "user_id" in names)), "")


def _said(fields: Fields) -> str:
    for name in ("kind", "topic", "type"):
        word = fields.get(name)
        if isinstance(word, str) and (kind := _kind_called(word)):
            return kind
    return ""


@lru_cache(maxsize=1_024)
def _kind_called(word: str) -> str:
    """`click`, `clicks`, `interest.clicks` and `interest.click.v1` are all clicks."""
    parts = (part.removesuffix("s") for part in reversed(word.lower().split(".")))
    return next((part for part in parts if part in KINDS), "")
