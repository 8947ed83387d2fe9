"""Records that are no valid events, of every sort that has come out of a producer.

Whether one is bad does not depend on chance, on the settings of a worker or on the time.
"""

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from model_store.state.hashing import partition_of

KEY = b"poisoner"
KINDS = ("click", "follow", "rating", "erasure")
HEADERS: list[tuple[str, bytes | None]] = [
    ("reason", b"mine"), ("", b""), ("n" * 2_000, bytes(range(256))), ("none", None), ("reason", b"again"),
    ("\N{SNOWMAN}", "\N{SNOWMAN}".encode("utf-16")),
]  # fmt: skip


@dataclass(frozen=True)
class Poison:
    """`partition` None: where the partitioner puts it."""

    kind: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


def poisons(dice: random.Random, partitions: int) -> Iterator[Poison]:
    """One of each sort, in any order."""
    everything = [*_not_json(), *_wrong_fields(), *_wrong_keys(partitions), *_too_much()]
    dice.shuffle(everything)
    for place, (kind, key, value, partition) in enumerate(everything):
        yield Poison(kind, key, value, partition, HEADERS if place % 3 == 0 else [])


Sort = tuple[str, bytes | None, bytes | None, int | None]


def _not_json() -> Iterator[Sort]:
    good = _body("click")
    values = [
        b"", b" ", b"\x00", b"\xff\xfe{}", b"nonsense", b"{", b'{"event_id"', good[:-1], good + b"x", good + good,
        b"\xef\xbb\xbf" + good, good.decode().encode("utf-16"), gzip.compress(good, mtime=0), bytes(range(256)) * 8,
        good.replace(KEY, b"\xc3\x28"), good.replace(b'"i1"', b"NaN"), b"[" * 60_000, b'{"a":' * 10_000,
        b'{"deep":' + b"[" * 30_000 + b"]" * 30_000 + b"," + good[1:],
    ]  # fmt: skip
    for value in values:
        yield "click", KEY, value, None
    for kind in KINDS:
        for value in (b"null", b"true", b"7", b'"text"', b"[]", b"{}", b"[" + _body(kind) + b"]"):
            yield kind, KEY, value, None


def _wrong_fields() -> Iterator[Sort]:
    wrong: list[tuple[str, dict[str, str]]] = [
        ("click", {"ts": value}) for value in (
            '"1"', "1.5", "true", "null", "-1", "1e400", "NaN", "Infinity", str(2**63), str(2**64), "9" * 4_000,
            "9000000000000", "[1]",
        )
    ]  # fmt: skip
    wrong += [("rating", {"rating": value}) for value in ("6", "-0.1", "NaN", "-Infinity", "1e999", '"4"', "[4]")]
    wrong += [("rating", {"scale_max": value}) for value in ("0", "-5", "1e999", "Infinity", '"5"')]
    wrong += [("click", {"dwell_ms": value}) for value in ("-1", "1e30", "9" * 400, '"7"', "NaN", "{}")]
    wrong += [("click", {"item_id": value}) for value in ('""', "7", "null", '"\\u0000"', '"a\\nb"', _long(257))]
    wrong += [("follow", {"target_type": value}) for value in ('"pet"', '""', "1", "null")]
    wrong += [("follow", {"action": value}) for value in ('"FOLLOW"', "true")]
    wrong += [("erasure", {"event_id": value}) for value in ('""', "1", _long(300), '"\\ud800"')]
    for kind, fields in wrong:
        yield kind, KEY, _body(kind, fields), None
    for kind in KINDS:
        for field_name in ("event_id", "user_id", "ts"):
            yield kind, KEY, _body(kind, {field_name: None}), None
    # Of two fields of one name the last counts.
    yield "click", KEY, _body("click")[:-1] + b',"ts":"twice"}', None


def _wrong_keys(partitions: int) -> Iterator[Sort]:
    for kind in KINDS:
        body, right = _body(kind), partition_of(KEY, partitions)
        yield kind, KEY, None, None
        yield kind, None, None, None
        yield kind, None, body, None
        yield kind, b"", body, None
        yield kind, b"another", body, None
        yield kind, KEY + b"\n", body, None
        yield kind, b"\xff", body, None
        yield kind, KEY, body, (right + 1) % partitions
    yield "click", b"k" * 900_000, _body("click"), None
    yield "click", b"k" * 300, _body("click", {"user_id": _long(300, "k")}), None


def _too_much() -> Iterator[Sort]:
    for size in (65_537, 899_999, 900_001, 1_000_000):
        yield "rating", KEY, _body("rating")[:-1] + b',"pad":"%s"}' % (b"x" * size), None


def _long(count: int, letter: str = "x") -> str:
    return f'"{letter * count}"'


def _body(kind: str, fields: dict[str, Any] | None = None) -> bytes:
    """An event that would be valid, but for `fields`: JSON texts, None to leave one out."""
    made: dict[str, str | None] = {
        "event_id": json.dumps(f"poison-{kind}"), "user_id": json.dumps(KEY.decode()), "ts": "1760000000000",
        **{
            "click": {"item_id": '"i1"'},
            "follow": {"target_id": '"c1"', "target_type": '"creator"', "action": '"follow"'},
            "rating": {"item_id": '"i1"', "rating": "4"},
            "erasure": {},
        }[kind],
        **(fields or {}),
    }  # fmt: skip
    return ("{" + ",".join(f'"{name}":{text}' for name, text in made.items() if text is not None) + "}").encode()
