"""What the topics carry as JSON Schemas (draft 2020-12), made from the types that decode and encode them.

A schema takes exactly the documents that a worker (of items: the catalogue service) takes, but for what a schema cannot
say; each says in its description what that is (`Contract.unsaid`). Tests hold both against the decoder.

A schema's `$id` ends in the version of the contracts. `compatibility.py` says which changes raise it.
"""

import inspect
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from model_store.state.layout import Kind
from stream_app.contracts.dead_letter import DeadLetterHeaders
from stream_app.contracts.events import DEFAULT_SCALE_MAX, EVENT_OF_KIND
from stream_app.contracts.items import EARLIEST_MS, LATEST_MS, MAX_TAG, MAX_TAGS, MAX_TITLE, SentItem
from stream_app.contracts.items import MAX_VALUE_BYTES as MAX_ITEM_BYTES
from stream_app.contracts.knowledge import Knowledge
from stream_app.contracts.reasons import Reason
from stream_app.contracts.recommendations import Recommendation
from stream_app.contracts.validity import MAX_ID_BYTES, MAX_TS_MS, Limits

VERSION = 1
"""Of all contracts together; raised by a change that breaks a producer or a reader."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
Flow = Literal["in", "out"]

FLOWS: dict[str, Flow] = {
    **dict.fromkeys(("clicks", "follows", "ratings", "erasures", "items"), "in"),
    **dict.fromkeys(("recommendations", "knowledge", "dead-letters"), "out"),
}
"""Whether a topic carries what producers send, or what this project does."""

# Not as one positive pattern: languages differ in whether `$` may stand before a last newline.
_CONTROL = {"not": {"type": "string", "pattern": "[\\u0000-\\u001f\\u007f]"}}
# More characters would be more bytes; fewer may still be too many, which is left unsaid.
_ID: Schema = {"minLength": 1, "maxLength": MAX_ID_BYTES, **_CONTROL}
# Written out, since languages differ in what `\\S` is; there are no blanks beyond 16 bits.
_NOT_BLANK = "[^{}]".format("".join(f"\\u{code:04x}" for code in range(1 << 16) if chr(code).isspace()))

_TEXT = "the record is JSON in UTF-8, without NaN, half surrogate pairs and a byte order mark"
_ID_BYTES = f"an id has at most {MAX_ID_BYTES} bytes in UTF-8, whatever its characters are"
_WHOLE = "a time is written without a fraction and an exponent: 1.0 is refused"


@dataclass(frozen=True, slots=True)
class Contract:
    """What one topic carries.

    Attributes:
        name: as the settings call the topic, with dashes.
        key: what the record's Kafka key is.
        flow: as in `FLOWS`.
        part: of the record, which the schema is of.
        unsaid: what else is demanded, by a short name, in words.
        schema: with `$schema` and `$id`.
    """

    name: str
    key: str
    flow: Flow
    part: Literal["value", "headers"]
    unsaid: Mapping[str, str]
    schema: Schema

    @property
    def title(self) -> str:
        """Of one message."""
        return str(self.schema["title"])


def contracts(limits: Limits) -> tuple[Contract, ...]:
    """Those of all topics, the inputs first. `limits`: of the workers; their number of partitions is not in it."""
    return (
        *(_event(kind, limits) for kind in Kind),
        _item(),
        _sent("recommendations", "the user id", Recommendation),
        _sent("knowledge", "the item id", Knowledge),
        _sent("dead-letters", "the original record's", DeadLetterHeaders, {"reason": {"examples": list(Reason)}}),
    )


def _event(kind: Kind, limits: Limits) -> Contract:
    schema = schema_of(EVENT_OF_KIND[kind], _event_rules(limits))
    if kind is Kind.RATING:
        usual = {"properties": {"rating": {"maximum": DEFAULT_SCALE_MAX}}}
        schema |= {"if": {"not": {"required": ["scale_max"]}}, "then": usual}
    unsaid = {
        "key": "the Kafka key is the user_id in UTF-8",
        "partition": "the record is in the partition that murmur2 of its key gives (Kafka's default partitioner)",
        "bytes": _ID_BYTES,
        "whole": _WHOLE,
        "future": f"ts is at most {limits.max_future_ms / 1000:,.0f} s ahead of the worker's clock",
        "size": f"the value has at most {limits.max_value_bytes:,} bytes",
        "text": _TEXT,
    }
    if kind is Kind.RATING:
        unsaid["scale"] = "rating is at most scale_max, where that is sent"
    return _contract(f"{kind.name.lower()}s", "the user id", unsaid, schema)


def _event_rules(limits: Limits) -> dict[str, Schema]:
    return {
        **dict.fromkeys(("event_id", "user_id", "item_id", "target_id"), _ID),
        "ts": {"minimum": 0, "maximum": MAX_TS_MS},
        "dwell_ms": {"minimum": 0, "maximum": limits.max_dwell_ms},
        "rating": {"minimum": 0},
        "scale_max": {"exclusiveMinimum": 0, "maximum": sys.float_info.max},
    }


def _item() -> Contract:
    schema = schema_of(SentItem, {"item_id": _ID, "creator_id": {"maxLength": MAX_ID_BYTES, **_CONTROL}})
    withdrawn = {"required": ["deleted"], "properties": {"deleted": {"const": True}}}
    told = {
        "required": ["title"],
        "properties": {
            "title": {"type": "string", "maxLength": MAX_TITLE, "pattern": _NOT_BLANK},
            "tags": {"maxItems": MAX_TAGS, "items": {"maxLength": MAX_TAG}},
            "published_at": {"minimum": EARLIEST_MS, "maximum": LATEST_MS},
        },
    }
    unsaid = {
        "key": "the Kafka key is the item_id in UTF-8",
        "bytes": _ID_BYTES,
        "whole": _WHOLE,
        "size": f"the value has at most {MAX_ITEM_BYTES:,} bytes",
        "text": _TEXT,
    }
    return _contract("items", "the item id", unsaid, {**schema, "title": "Item", "if": withdrawn, "else": told})


def _sent(name: str, key: str, kind: type[msgspec.Struct], rules: Mapping[str, Schema] | None = None) -> Contract:
    part: Literal["value", "headers"] = "headers" if kind is DeadLetterHeaders else "value"
    return _contract(name, key, {}, schema_of(kind, rules or {}), part)


def _contract(
    name: str,
    key: str,
    unsaid: Mapping[str, str],
    schema: Schema,
    part: Literal["value", "headers"] = "value",
) -> Contract:
    told = schema.pop("description")
    if unsaid:
        told += " What a schema cannot say: " + "; ".join(unsaid.values()) + "."
    head = {"$schema": DIALECT, "$id": f"urn:interest-updater:{name}:v{VERSION}", "title": schema.pop("title")}
    return Contract(name, key, FLOWS[name], part, unsaid, {**head, "description": told, **schema})


def schema_of(kind: type[msgspec.Struct], rules: Mapping[str, Schema]) -> Schema:
    """The schema of a type and, inside it, of the types that it holds; `rules` by the fields' names."""
    (root,), known = msgspec.json.schema_components([kind])
    types = {one.__name__: one for one in _structs(kind)}
    documented = {name: _documented(types[name], schema, rules) for name, schema in known.items()}
    resolved: Schema = _resolved(root, documented)
    return resolved


def _structs(kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    found, waiting = [], [msgspec.inspect.type_info(kind)]
    while waiting:
        info = waiting.pop()
        if isinstance(info, msgspec.inspect.StructType):
            found.append(info.cls)
            waiting += [field.type for field in info.fields]
        elif isinstance(info, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
            waiting.append(info.item_type)
    return found


def _documented(kind: type[msgspec.Struct], schema: Schema, rules: Mapping[str, Schema]) -> Schema:
    doc = Doc.of(kind)
    fields = {
        name: {"description": doc.fields[name], **_nullable(field), **rules.get(name, {})}
        for name, field in schema["properties"].items()
    }
    told = {"title": schema["title"], "description": doc.summary, "type": "object", "properties": fields}
    return {**told, "required": schema["required"], **({"examples": [doc.example]} if doc.example else {})}


def _nullable(field: Schema) -> Schema:
    """`{"type": [x, "null"]}` for `anyOf` the two, which reads better and means the same."""
    options = field.get("anyOf", [])
    if {"type": "null"} not in options:
        return field
    rest = {name: value for name, value in field.items() if name != "anyOf"}
    (other,) = (one for one in options if one != {"type": "null"})
    return {**other, **rest, "type": [other["type"], "null"]}


def _resolved(schema: Any, known: Mapping[str, Schema]) -> Any:
    """With every reference replaced by what it stands for: a file needs no other one."""
    if isinstance(schema, list):
        return [_resolved(one, known) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        there = _resolved(known[schema["$ref"].rpartition("/")[2]], known)
        # What a field is matters more here than what its type is.
        return {**there, **{name: value for name, value in schema.items() if name != "$ref"}}
    return {name: _resolved(one, known) for name, one in schema.items()}


@dataclass(frozen=True, slots=True)
class Doc:
    """A docstring: what a type is, what its fields are, and one of it as JSON (None where there is none). What it says
    nothing of may be said by the class that it is made from."""

    summary: str
    fields: Mapping[str, str]
    example: Any

    @classmethod
    def of(cls, kind: type[msgspec.Struct]) -> "Doc":
        """Raises ValueError for a field without a word."""
        sections = re.split(r"\n(Attributes|Example):\n", inspect.getdoc(kind) or "")
        named = dict(zip(sections[1::2], sections[2::2], strict=True))
        fields = {**_inherited(kind), **_fields(named.get("Attributes", ""))}
        if missing := set(kind.__struct_fields__) - fields.keys():
            raise ValueError(f"{kind.__name__} does not say what {', '.join(sorted(missing))} is")
        example = json.loads(named["Example"]) if "Example" in named else None
        return cls(_one_line(sections[0]), fields, example)


def _inherited(kind: type[msgspec.Struct]) -> Mapping[str, str]:
    base = kind.__base__
    return Doc.of(base).fields if base and issubclass(base, msgspec.Struct) and base is not msgspec.Struct else {}


def _fields(section: str) -> dict[str, str]:
    entries = re.findall(r"^    (\S[^:]*): (.*(?:\n     .*)*)", section, re.MULTILINE)
    return {name: _one_line(text) for names, text in entries for name in names.split(", ")}


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line[:1].upper() + line[1:]
