"""What a valid event is, again: by the json module and the words of the contract, sharing no code with the product.

What the product promises: fields that the contract does not name are ignored, whatever bytes their strings hold.
"""

import json
import re
from dataclasses import dataclass, replace
from math import inf, isfinite, nan
from typing import Any

from kafka.partitioner.default import murmur2

from tests.fuzz import envelopes

NOW_MS = 1_790_000_000_000
PARTITIONS = 4
MAX_VALUE_BYTES = 65_536
MAX_FUTURE_MS = 300_000
MAX_DWELL_MS = 86_400_000

_TEXT, _WHOLE, _NUMBER = "text", "whole", "number"
FIELDS: list[dict[str, tuple[str, bool, bool]]] = [  # by kind: name -> type, required, nullable
    {
        "event_id": (_TEXT, True, False),
        "user_id": (_TEXT, True, False),
        "item_id": (_TEXT, True, False),
        "ts": (_WHOLE, True, False),
        "dwell_ms": (_NUMBER, False, True),
        "surface": (_TEXT, False, True),
        "region": (_TEXT, False, True),
    },
    {
        "event_id": (_TEXT, True, False),
        "user_id": (_TEXT, True, False),
        "target_id": (_TEXT, True, False),
        "target_type": (_TEXT, True, False),
        "action": (_TEXT, True, False),
        "ts": (_WHOLE, True, False),
    },
    {
        "event_id": (_TEXT, True, False),
        "user_id": (_TEXT, True, False),
        "item_id": (_TEXT, True, False),
        "rating": (_NUMBER, True, True),
        "ts": (_WHOLE, True, False),
        "scale_max": (_NUMBER, False, False),
    },
    {"event_id": (_TEXT, True, False), "user_id": (_TEXT, True, False), "ts": (_WHOLE, True, False)},
]
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONGEST_INTEGER = 4_300  # characters; Python reads no longer one
WORDS = {"target_type": ("user", "creator", "topic"), "action": ("follow", "unfollow")}
SHAPE = {"wrong_type", "missing_field", "unknown_value", "out_of_range", "ts_invalid"}


@dataclass(frozen=True)
class Verdict:
    """Either `fields` of a valid event, or the `faults`: every reason that may be given. Both where both are right."""

    fields: dict[str, Any] | None
    faults: frozenset[str] = frozenset()


def judge(
    kind: int,
    partition: int,
    key: Any,
    value: bytes | None,
    partitions: int = PARTITIONS,
    headers: envelopes.Headers = (),
) -> Verdict:
    """What the record must be taken for, in a topic of so many partitions."""
    if value is None:
        return _bad("null_value")
    if len(value) > MAX_VALUE_BYTES:
        return _bad("too_large")
    if envelopes.is_one(headers):
        return _judge_enveloped(kind, partition, key, value, partitions, headers)
    try:
        document = _parse(value)
    except (ValueError, RecursionError):
        return _bad("not_json", *SHAPE)  # a reader that goes from left to right may meet another fault first
    found = _judge_document(kind, partition, key, document, partitions)
    # Half of a surrogate pair where nobody reads it may be let pass or not.
    return replace(found, faults=found.faults | {"not_json"}) if _SURROGATE.search(value) else found


def _judge_enveloped(
    kind: int, partition: int, key: Any, value: bytes, partitions: int, headers: envelopes.Headers
) -> Verdict:
    opened = envelopes.Opened(kind, value, headers, _parse)
    if opened.faults:
        found = _bad(*opened.faults)
    elif opened.unread:
        return _bad("not_json", *SHAPE)
    else:
        inside = opened.document
        merged = _Pairs([*opened.lent(), *inside.pairs]) if isinstance(inside, _Pairs) else inside
        found = _judge_document(kind, partition, key, merged, partitions)
    return replace(found, faults=found.faults | {"not_json"}) if _SURROGATE.search(value) else found


def _judge_document(kind: int, partition: int, key: Any, document: Any, partitions: int) -> Verdict:
    if not isinstance(document, dict):
        return _bad("wrong_type")
    faults = _shape_faults(kind, document)
    if faults:
        return _bad(*faults)
    return _content(kind, partition, key, document, partitions)


def _bad(*faults: str) -> Verdict:
    # A number that is too large for any type may be called so wherever it stands.
    return Verdict(None, frozenset({*faults, "out_of_range"} if "wrong_type" in faults else faults))


def _parse(value: bytes) -> Any:
    return json.loads(
        value.decode("utf-8", "surrogateescape"), parse_constant=_refuse, parse_int=integer, object_pairs_hook=_object
    )


def _refuse(word: str) -> None:
    raise ValueError(word)


def integer(digits: str) -> Any:
    """A whole number of a JSON text, infinite where Python reads none so long."""
    return int(digits) if len(digits) <= _LONGEST_INTEGER else (-inf if digits[0] == "-" else inf)


def _object(pairs: list[tuple[str, Any]]) -> "_Pairs":
    return _Pairs(pairs)


class _Pairs(dict[str, Any]):
    """An object that still knows the fields that came twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _shape_faults(kind: int, document: "_Pairs") -> set[str]:
    wanted = FIELDS[kind]
    faults = {"missing_field" for name, (_, required, _) in wanted.items() if required and name not in document}
    for name, value in document.pairs:
        if name in wanted:
            faults |= _field_faults(name, value, *wanted[name])
    return faults


def _field_faults(name: str, value: Any, kind: str, _required: bool, nullable: bool) -> set[str]:
    if value is None:
        return set() if nullable else {"wrong_type"}
    if kind == _TEXT:
        if not isinstance(value, str):
            return {"wrong_type", "not_json", "out_of_range"}
        if any("\ud800" <= character <= "\udfff" for character in value):
            return {"not_json"}
        return {"unknown_value"} if name in WORDS and value not in WORDS[name] else set()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return {"wrong_type"}
    if kind == _WHOLE:
        if isinstance(value, float):
            return {"wrong_type"} if isfinite(value) else {"ts_invalid", "out_of_range"}
        return set()
    return set() if _fits_a_double(value) else {"out_of_range"}


def _fits_a_double(value: float) -> bool:
    try:
        return isfinite(float(value))
    except OverflowError:
        return False


def _content(kind: int, partition: int, key: Any, document: dict[str, Any], partitions: int) -> Verdict:
    named = [document["event_id"], document["user_id"]]
    named += [document[name] for name in ("item_id", "target_id") if name in FIELDS[kind]]
    if any(_is_bad_id(one) for one in named):
        return _bad("bad_id")
    user = document["user_id"].encode()
    if key != user:
        return _bad("key_mismatch")
    if (murmur2(user) & 0x7FFFFFFF) % partitions != partition:
        return _bad("wrong_partition")
    if not 0 <= document["ts"] < 2**63:
        return _bad("ts_invalid")
    if document["ts"] > NOW_MS + MAX_FUTURE_MS:
        return _bad("ts_in_future")
    try:
        number = _number(kind, document)
    except ValueError:
        return _bad("out_of_range")
    return Verdict({**document, "number": number})


def _is_bad_id(text: str) -> bool:
    raw = text.encode()
    return not 1 <= len(raw) <= 256 or any(byte < 32 or byte == 127 for byte in raw)


def _number(kind: int, document: dict[str, Any]) -> float:
    """What the event means to the state. Raises ValueError for one out of range."""
    if kind == 0:
        dwell = float(document.get("dwell_ms") or 0)
        if not 0 <= dwell <= MAX_DWELL_MS:
            raise ValueError(dwell)
        return dwell
    if kind == 1:
        return float(document["action"] == "follow")
    if kind == 3:
        return 0.0
    rating, scale = document["rating"], float(document.get("scale_max", 5.0))
    if not scale > 0 or (rating is not None and not 0 <= rating <= scale):
        raise ValueError(rating)
    return nan if rating is None else float(rating) / scale
