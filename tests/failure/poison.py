"""Records that are no valid events, of every sort that has come out of a producer.

Whether one is bad does not depend on chance, on the settings of a worker or on the time.
"""

import gzip
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message, Producer

from model_store.state.hashing import partition_of
from stream_app.settings import Kafka
from tests.fuzz import truth

KINDS = ("click", "follow", "rating", "erasure")
HEADERS: list[tuple[str, bytes | None]] = [
    ("reason", b"mine"), ("", b""), ("n" * 2_000, bytes(range(256))), ("none", None), ("reason", b"again"),
    ("\N{SNOWMAN}", "\N{SNOWMAN}".encode("utf-16")),
]  # fmt: skip


Place = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass(frozen=True)
class Poison:
    """`partition` None: where the partitioner puts it."""

    kind: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)

    def reasons(self, partition: int, partitions: int) -> frozenset[str]:
        """Each reason that may be given for it, where it lies in that partition; by the naive truth of the fuzzer."""
        kind = KINDS.index(self.kind)
        return truth.judge(kind, partition, self.key, self.value, partitions, self.headers).faults


class Poisoner:
    """Sends poison. `places`: what Kafka has of it, by place."""

    def __init__(self, kafka: Kafka) -> None:
        self.places: dict[Place, Poison] = {}
        self._topics = dict(zip(KINDS, kafka.topics.inputs, strict=True))
        self._producer = Producer(
            {
                "bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random", "enable.idempotence": True,
                "message.max.bytes": 1_100_000, "log_level": 3,
            }
        )  # fmt: skip

    def send(self, one: Poison) -> None:
        def delivered(error: Any, message: Message) -> None:
            if error is None:
                self.places[message.topic() or "", message.partition() or 0, message.offset() or 0] = one

        partition = -1 if one.partition is None else one.partition
        self._producer.produce(
            self._topics[one.kind], one.value, one.key, partition, headers=one.headers, on_delivery=delivered
        )
        self._producer.poll(0)

    def finish(self) -> Mapping[Place, Poison]:
        """Until Kafka has all of it. Raises TimeoutError."""
        left = self._producer.flush(60)
        if left:
            raise TimeoutError(f"{left} records were not acknowledged within 60 s")
        return self.places


def poisons(dice: random.Random, partitions: int, user: str = "poisoner") -> Iterator[Poison]:
    """One of each sort, in any order. All but those with a wrong key come in the name of that user."""
    key = user.encode()
    everything = [*_not_json(key), *_wrong_fields(key), *_wrong_keys(key, partitions), *_too_much(key)]
    dice.shuffle(everything)
    for place, (kind, sent_key, value, partition) in enumerate(everything):
        yield Poison(kind, sent_key, value, partition, HEADERS if place % 3 == 0 else [])
    yield from _bad_envelopes(key)


Sort = tuple[str, bytes | None, bytes | None, int | None]


def _not_json(key: bytes) -> Iterator[Sort]:
    good = _body(key, "click")
    values = [
        b"", b" ", b"\x00", b"\xff\xfe{}", b"nonsense", b"{", b'{"event_id"', good[:-1], good + b"x", good + good,
        b"\xef\xbb\xbf" + good, good.decode().encode("utf-16"), gzip.compress(good, mtime=0), bytes(range(256)) * 8,
        good.replace(key, b"\xc3\x28"), good.replace(b'"i1"', b"NaN"), b"[" * 60_000, b'{"a":' * 10_000,
        b'{"deep":' + b"[" * 30_000 + b"]" * 30_000 + b"," + good[1:],
    ]  # fmt: skip
    for value in values:
        yield "click", key, value, None
    for kind in KINDS:
        for value in (b"null", b"true", b"7", b'"text"', b"[]", b"{}", b"[" + _body(key, kind) + b"]"):
            yield kind, key, value, None


def _wrong_fields(key: bytes) -> Iterator[Sort]:
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
        yield kind, key, _body(key, kind, fields), None
    for kind in KINDS:
        for field_name in ("event_id", "user_id", "ts"):
            yield kind, key, _body(key, kind, {field_name: None}), None
    # Of two fields of one name the last counts.
    yield "click", key, _body(key, "click")[:-1] + b',"ts":"twice"}', None


def _wrong_keys(key: bytes, partitions: int) -> Iterator[Sort]:
    for kind in KINDS:
        body, right = _body(key, kind), partition_of(key, partitions)
        yield kind, key, None, None
        yield kind, None, None, None
        yield kind, None, body, None
        yield kind, b"", body, None
        yield kind, b"another", body, None
        yield kind, key + b"\n", body, None
        yield kind, b"\xff", body, None
        yield kind, key, body, (right + 1) % partitions
    yield "click", b"k" * 900_000, _body(key, "click"), None
    yield "click", b"k" * 300, _body(key, "click", {"user_id": _long(300, "k")}), None


def _bad_envelopes(key: bytes) -> Iterator[Poison]:
    good, head = _body(key, "click"), b'"id":"e","source":"/s","type":"t"'
    for value in (
        b'{"specversion":"0.3",' + head + b',"data":' + good + b"}",
        b'{"specversion":"1.0","id":"e","type":"t","data":' + good + b"}",
        b'{"specversion":"1.0",' + head + b',"time":"yesterday","data":' + good + b"}",
        b'{"specversion":"1.0",' + head + b"}",
        b'{"specversion":"1.0",' + head + b',"data_base64":"***"}',
        good,
    ):
        yield Poison("click", key, value, None, [*HEADERS, ("content-type", b"application/cloudevents+json")])
    binary = [("ce_id", b"e"), ("ce_source", b"/s"), ("ce_type", b"t")]
    yield Poison("click", key, good, None, [("ce_specversion", b"2.0"), *binary])
    yield Poison("click", key, good, None, [("ce_specversion", b"1.0"), *binary[1:]])


def _too_much(key: bytes) -> Iterator[Sort]:
    for size in (65_537, 899_999, 900_001, 1_000_000):
        yield "rating", key, _body(key, "rating")[:-1] + b',"pad":"%s"}' % (b"x" * size), None


def _long(count: int, letter: str = "x") -> str:
    return f'"{letter * count}"'


def _body(key: bytes, kind: str, fields: dict[str, Any] | None = None) -> bytes:
    """An event that would be valid, but for `fields`: JSON texts, None to leave one out."""
    made: dict[str, str | None] = {
        "event_id": json.dumps(f"poison-{kind}"), "user_id": json.dumps(key.decode()), "ts": "1760000000000",
        **{
            "click": {"item_id": '"i1"'},
            "follow": {"target_id": '"c1"', "target_type": '"creator"', "action": '"follow"'},
            "rating": {"item_id": '"i1"', "rating": "4"},
            "erasure": {},
        }[kind],
        **(fields or {}),
    }  # fmt: skip
    return ("{" + ",".join(f'"{name}":{text}' for name, text in made.items() if text is not None) + "}").encode()
