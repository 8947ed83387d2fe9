"""CloudEvents around events: what is drawn, and what they mean again, naively."""

import base64
import json
from collections.abc import Sequence
from random import Random
from typing import Any

from tests.fuzz.mutate import garbage, mutated_json, tokens

Headers = Sequence[tuple[str, bytes | None]]

KINDS = ("click", "follow", "rating", "erasure")
TIMES = {  # as written: milliseconds, None for what is no time
    "2026-09-21T14:13:20Z": 1_790_000_000_000,
    "2026-09-21t16:13:20.5+02:00": 1_790_000_000_500,
    "1969-12-31T23:59:59.999Z": -1,
    "2999-01-01T00:00:00Z": 32_472_144_000_000,
    "2026-09-21T14:13:20": None,
    "2016-12-31T23:59:60Z": None,
    "yesterday": None,
    "": None,
}
MEDIA = {  # content type: of JSON data
    "application/json": True,
    "Application/JSON; charset=utf-8": True,
    "text/json": True,
    "application/vnd.shop+json": True,
    "text/xml": False,
    "application/jsonx": False,
}
STRUCTURED = {
    "application/cloudevents+json": True,
    "application/CloudEvents+JSON; charset=utf-8": True,
    "application/cloudevents": False,
    "application/cloudevents-batch+json": False,
    "application/cloudevents+avro": False,
}
_ODD = ("", " ", "x" * 300, "a\0", "é", "null")
_BYTES = (b"", b"\xff", b"\xc3(", None)


def drawn(dice: Random, kind: int, user: str, fields: dict[str, Any]) -> tuple[bytes, Headers]:
    """Value and headers of an event in an envelope, right or nearly."""
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": "e9",
        "source": "/s",
        "type": f"interest.{KINDS[kind]}.v1",
    }
    for name, words in (
        ("time", tuple(TIMES)),
        ("subject", (user, user, *_ODD)),
        ("type", ("mine", "interest.", *_ODD)),
    ):
        if dice.random() < 0.5:
            attributes[name] = dice.choice(words)
    if dice.random() < 0.2:
        attributes[dice.choice(list(attributes))] = dice.choice(_ODD)
    if dice.random() < 0.1:
        del attributes[dice.choice(list(attributes))]
    data = {name: value for name, value in fields.items() if dice.random() < 0.9}
    return (_structured if dice.random() < 0.5 else _binary)(dice, attributes, data)


def _binary(dice: Random, attributes: dict[str, Any], data: dict[str, Any]) -> tuple[bytes, Headers]:
    headers: list[tuple[str, bytes | None]] = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    if dice.random() < 0.3:
        headers.append(("content-type", dice.choice(list(MEDIA)).encode()))
    if dice.random() < 0.1:
        headers.append((dice.choice(["CE_ID", "ce_id", "ce_mine", "Content-Type"]), dice.choice(_BYTES)))
    text = json.dumps(data).encode()
    return mutated_json(dice, tokens(text)) if dice.random() < 0.3 else text, headers


def _structured(dice: Random, attributes: dict[str, Any], data: dict[str, Any]) -> tuple[bytes, Headers]:
    envelope = dict(attributes)
    if dice.random() < 0.9:
        envelope["data"] = data if dice.random() < 0.9 else None
    if dice.random() < 0.3:
        text = json.dumps(data).encode() if dice.random() < 0.8 else garbage(dice)
        envelope["data_base64"] = base64.b64encode(text).decode() if dice.random() < 0.9 else "%"
    if dice.random() < 0.2:
        envelope["datacontenttype"] = dice.choice([*MEDIA, None])
    text = json.dumps(envelope).encode()
    media = dice.choice(list(STRUCTURED)) if dice.random() < 0.1 else "application/cloudevents+json"
    return mutated_json(dice, tokens(text)) if dice.random() < 0.4 else text, [("content-type", media.encode())]


# -- the truth


def is_one(headers: Headers) -> bool:
    """Whether the headers say so."""
    named = {name.lower(): value or b"" for name, value in headers}
    media = [value or b"" for name, value in headers if name.lower() == "content-type"]
    return "ce_specversion" in named or any(one.lower().startswith(b"application/cloudevents") for one in media)


class Opened:
    """What is in an envelope: the event's text or (structured) its members, what it is lent, or what is wrong."""

    def __init__(self, kind: int, value: bytes, headers: Headers, parse: Any) -> None:
        self.faults: set[str] = set()
        self.document: Any = None
        named = {name.lower(): value or b"" for name, value in headers}
        media = self._header(named.get("content-type", b""))
        if media.lower().startswith("application/cloudevents"):
            self.attributes = self._of_structured(value, media, parse)
        else:
            self.attributes = {name[3:]: self._header(text) for name, text in named.items() if name.startswith("ce_")}
            self._check([(name, text) for name, text in self.attributes.items()], of_headers=True)
            self._check_media(media)
            self._read(value, parse)
        told = self.attributes.get("type", "")
        if isinstance(told, str) and told.startswith("interest.") and told != f"interest.{KINDS[kind]}.v1":
            self.faults.add("bad_envelope")

    def lent(self) -> list[tuple[str, Any]]:
        """What an event that lacks it is given."""
        lent = [("event_id", self.attributes["id"])]
        if self.attributes.get("subject") is not None:
            lent.append(("user_id", self.attributes["subject"]))
        if self.attributes.get("time") is not None:
            lent.append(("ts", TIMES[self.attributes["time"]]))
        return lent

    def _header(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.faults.add("bad_envelope")
            return ""

    def _of_structured(self, value: bytes, media: str, parse: Any) -> dict[str, Any]:
        if media.partition(";")[0].strip().lower() != "application/cloudevents+json":
            self.faults.add("bad_envelope")
        try:
            envelope = parse(value)
        except (ValueError, RecursionError):
            self.faults |= {"bad_envelope", "not_json"}
            return {}
        if not isinstance(envelope, dict):
            self.faults.add("bad_envelope")
            return {}
        self._check(envelope.pairs)  # type: ignore[attr-defined]
        self._check_media(envelope.get("datacontenttype") or "")
        self.document = envelope.get("data")
        if self.document is None:
            self._read_base64(envelope.get("data_base64"), parse)
        return envelope

    def _read_base64(self, text: Any, parse: Any) -> None:
        if not isinstance(text, str):
            self.faults.add("null_value")
            return
        try:
            raw = base64.b64decode(text.encode("ascii"), validate=True)
        except ValueError:
            self.faults.add("bad_envelope")
            return
        self._read(raw, parse)

    def _read(self, raw: bytes, parse: Any) -> None:
        try:
            self.document = parse(raw)
        except (ValueError, RecursionError):
            self.unread = True

    unread = False

    def _check(self, pairs: list[tuple[str, Any]], *, of_headers: bool = False) -> None:
        names = {name for name, _ in pairs}
        if not {"specversion", "id", "source", "type"} <= names:
            self.faults.add("bad_envelope")
        for name, value in pairs:
            if isinstance(value, str) and any("\ud800" <= one <= "\udfff" for one in value) and name in _READ:
                self.faults |= {"not_json", "bad_envelope"}
            elif not self._is_right(name, value, of_headers):
                self.faults.add("bad_envelope")

    @staticmethod
    def _is_right(name: str, value: Any, of_headers: bool) -> bool:
        if name == "specversion":
            return bool(value == "1.0")
        if name in ("id", "source", "type"):
            return isinstance(value, str) and value != ""
        if name == "time":
            return (value is None and not of_headers) or (isinstance(value, str) and TIMES.get(value) is not None)
        if name in ("subject", "datacontenttype", "data_base64"):
            return value is None or isinstance(value, str)
        return True

    def _check_media(self, media: Any) -> None:
        if isinstance(media, str) and media and not MEDIA.get(media, False):
            self.faults.add("bad_envelope")


_READ = ("specversion", "id", "source", "type", "time", "subject", "datacontenttype", "data_base64")
