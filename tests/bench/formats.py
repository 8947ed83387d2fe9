"""Bytes and decoding time of a click in JSON, in CloudEvents' envelopes, in Avro and in Protobuf.

    python -m tests.bench.formats --json FILE

The clicks are those of the load generator. Bytes are of one value and its headers, alone and as its share of a batch of
500 that Kafka's producers compress by LZ4. Time is of the processor, best of the runs: from bytes to an object whose
fields can be read in Python, by msgspec, fastavro and Google's protobuf (upb); and from records to the columns that a
worker advances states by (`decode_records`). JSON: `formats`, a list of `format, bytes, lz4_bytes, decode_us,
columns_us`;
`columns_us` is None where the worker reads no such thing, `decode_us` where that is not a step of its own.
"""

import os
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import lz4.frame
import msgspec
import typer
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from model_store.state.layout import Kind
from stream_app.checking.arrivals import Sent
from stream_app.contracts.decode import decode_records
from stream_app.contracts.events import Click
from stream_app.contracts.validity import Limits
from tests.bench.load import CLICK, Population, generate
from tests.bench.report import run, save, show

NOW_MS = 1_790_000_000_000
BATCH = 500
HELPING = 2_048  # records, as a cycle decodes them
FIELDS = ("event_id", "user_id", "item_id", "ts", "dwell_ms")
ENVELOPE = {"specversion": "1.0", "source": "/shop", "type": "interest.click.v1", "time": "2026-09-21T14:13:20Z"}
_STRUCTURED = [("content-type", b"application/cloudevents+json")]
Headers = list[tuple[str, bytes | None]]


def clicks(count: int) -> list[bytes]:
    """JSON, as the load generator sends them."""
    events = generate(Population(), count * 2)
    found = (events.message(place, NOW_MS + place) for place in range(len(events)))
    return [value for kind, _, value in found if kind == CLICK][:count]


def measure(count: int, runs: int) -> list[dict[str, Any]]:
    plain = clicks(count)
    objects = [msgspec.json.decode(value) for value in plain]
    decode = msgspec.json.Decoder(Click).decode
    enveloped = [msgspec.json.encode({**ENVELOPE, "id": one["event_id"], "data": one}) for one in objects]
    attributes = {**ENVELOPE, "id": "1-1"}
    binary: Headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    rows = [
        _row("JSON", plain, decode, runs, columns=[]),
        _row("JSON, CloudEvents binary", plain, None, runs, columns=binary),
        _row("JSON, CloudEvents structured", enveloped, None, runs, columns=_STRUCTURED),
        _row("Protobuf", *_protobuf(objects), runs),
    ]
    avro = _avro(objects)
    return [*rows, _row("Avro", *avro, runs)] if avro else rows


def _row(
    name: str,
    values: Sequence[bytes],
    decode: Callable[[bytes], Any] | None,
    runs: int,
    columns: Headers | None = None,
) -> dict[str, Any]:
    headers = b"".join(header.encode() + (value or b"") for header, value in columns or [])
    records = [headers + value for value in values]
    packed = [lz4.frame.compress(b"".join(records[start : start + BATCH])) for start in range(0, len(values), BATCH)]
    return {
        "format": name,
        "bytes": sum(map(len, records)) / len(values),
        "lz4_bytes": sum(map(len, packed)) / len(values),
        "decode_us": None if decode is None else _best(lambda: list(map(decode, values)), runs) / len(values) * 1e6,
        "columns_us": None if columns is None else _columns_us(values, columns, runs),
    }


def _columns_us(values: Sequence[bytes], headers: Headers, runs: int) -> float:
    some = values[:HELPING]
    users = [msgspec.json.decode(value) for value in some]
    keys = [(one.get("data") or one)["user_id"].encode() for one in users]
    records = [Sent("t", 0, i, key, value, headers) for i, (key, value) in enumerate(zip(keys, some, strict=True))]
    known, limits = {0: set(keys)}, Limits(1)
    if decode_records(Kind.CLICK, records, limits, NOW_MS * 2, known).rejected:
        raise AssertionError("the worker refuses what is measured")
    return _best(lambda: decode_records(Kind.CLICK, records, limits, NOW_MS * 2, known), runs * 5) / len(some) * 1e6


def _best(work: Callable[[], Any], runs: int) -> float:
    best = float("inf")
    for _ in range(runs):
        began_s = time.thread_time()
        work()
        best = min(best, time.thread_time() - began_s)
    return best


def _protobuf(objects: Sequence[dict[str, Any]]) -> tuple[list[bytes], Callable[[bytes], Any]]:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="click.proto", syntax="proto3")
    message = file.message_type.add(name="Click")
    for number, name in enumerate(FIELDS, 1):
        kind = {"ts": kinds.TYPE_INT64, "dwell_ms": kinds.TYPE_DOUBLE}.get(name, kinds.TYPE_STRING)
        message.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName("Click"))
    return [made(**one).SerializeToString() for one in objects], made.FromString


def _avro(objects: Sequence[dict[str, Any]]) -> tuple[list[bytes], Callable[[bytes], Any]] | None:
    try:
        import fastavro
    except ImportError:  # the extra `peers`
        return None
    kinds = {"ts": "long", "dwell_ms": ["null", "double"]}
    fields = [{"name": name, "type": kinds.get(name, "string")} for name in FIELDS]
    schema = fastavro.parse_schema({"type": "record", "name": "Click", "fields": fields})

    def written(one: dict[str, Any]) -> bytes:
        out = BytesIO()
        fastavro.schemaless_writer(out, schema, one)
        return out.getvalue()

    return list(map(written, objects)), lambda value: fastavro.schemaless_reader(BytesIO(value), schema, None)


def main(
    count: Annotated[int, typer.Option("--clicks", help="How many are written and read.")] = 20_000,
    runs: Annotated[int, typer.Option(help="Of which the best counts.")] = 20,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    found = measure(count, runs)
    show("one click", [{name: "" if value is None else value for name, value in row.items()} for row in found])
    save(json, {"formats": found})


if __name__ == "__main__":
    run(main)
