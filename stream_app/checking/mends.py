"""What is wrong with a rejected record, at which field, and how to mend it: as exactly as can be told."""

import re
import zlib
from collections.abc import Iterator

from stream_app.checking.arrivals import Arrival, Fields
from stream_app.checking.findings import Fault
from stream_app.checking.names import meant_by
from stream_app.contracts.reasons import Reason
from stream_app.contracts.validity import Rejected

MS_S, NOW_RANGE_MS = 1_000, (946_684_800_000, 4_102_444_800_000)  # the years 2000 to 2100
_QUOTED = re.compile(r"`\$?\.?([a-z_]+)")
_FIRST_WORD = re.compile(r"^([a-z]+_[a-z_]+|ts|rating)\b")
_TYPES = ("int", "str", "float", "object", "array", "null", "bool")
_UNITS = {1_000: "microseconds", 1_000_000: "nanoseconds"}


def fault_of(rejected: Rejected, arrival: Arrival, partitions: int) -> Fault:
    """`partitions`: of the topic."""
    name = field_of(rejected.message)
    mend = next(_particular(rejected, arrival, name, partitions), general(rejected.reason))
    return Fault(rejected.reason.value, name, rejected.message, mend)


def general(reason: Reason) -> str:
    """What to do about a reason in general: what its meaning says after the colon."""
    return reason.meaning.partition(": ")[2]


def field_of(message: str) -> str:
    """The field that a message of the decoder is about."""
    if message.endswith("needs a title"):
        return "title"
    quoted = [found for found in _QUOTED.findall(message) if found not in _TYPES]
    first = _FIRST_WORD.match(message)
    return quoted[-1] if quoted else first[1] if first else ""


def _particular(rejected: Rejected, arrival: Arrival, name: str, partitions: int) -> Iterator[str]:
    fields = arrival.fields or {}
    match rejected.reason:
        case Reason.NOT_JSON:
            yield from _of_no_json(arrival.record.value or b"")
        case Reason.WRONG_TYPE | Reason.BAD_ENVELOPE if name in fields:
            yield from _of_a_type(name, fields[name])
        case Reason.WRONG_TYPE if arrival.fields is None:
            yield "send one JSON object, with the event's fields"
        case Reason.MISSING_FIELD:
            yield from _of_a_missing_field(name, arrival, fields)
        case Reason.TS_IN_FUTURE:
            yield from _of_a_time(fields.get("ts"))
        case Reason.OUT_OF_RANGE if name == "rating" and "scale_max" not in fields:
            yield "send the best rating that there is as `scale_max`; without it that is 5"
        case Reason.KEY_MISMATCH:
            yield from _of_a_key(arrival)
        case Reason.WRONG_PARTITION:
            yield from _of_a_partition(arrival.record.key or b"", arrival.record.partition, partitions)


def _of_no_json(value: bytes) -> Iterator[str]:
    if value[:1] == b"\0":
        yield "the first byte is 0, as a schema registry's serialisers write it: send plain JSON"
    if value[:2] == b"\x1f\x8b":
        yield "this is gzip: send plain JSON, and have the producer compress (compression.type)"
    if value[:3] == b"\xef\xbb\xbf":
        yield "take the byte order mark away"
    if value.startswith((b"{'", b"[{'")):
        yield "this is how Python prints, not JSON: json.dumps(event)"
    if re.search(rb"\b(NaN|Infinity)\b", value):
        yield "JSON has no NaN and no Infinity: leave the field away where there is no number"
    if value.count(b"\n{"):
        yield "send each event as a record (a line) of its own"


def _of_a_type(name: str, value: object) -> Iterator[str]:
    if name.endswith("_id") and isinstance(value, int) and not isinstance(value, bool):
        yield f'quote it: "{name}": "{value}"'
    if name == "ts" and isinstance(value, float):
        yield "send whole milliseconds: int(seconds * 1000)"
    if name == "ts" and isinstance(value, str) and not _is_number(value):
        yield "send UTC milliseconds since 1970 as a number, not a date"
    if not name.endswith("_id") and isinstance(value, str) and _is_number(value):
        yield f'take the quotes away: "{name}": {value.strip()}'
    if value is None:
        yield "null is no value for it: send one"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _of_a_missing_field(name: str, arrival: Arrival, fields: Fields) -> Iterator[str]:
    if "specversion" in fields and not arrival.record.headers:
        yield "this is a CloudEvent without its header: send content-type: application/cloudevents+json"
    if any(header.lower().startswith("ce_") for header, _ in arrival.record.headers):
        yield "send all attributes of CloudEvents as headers: without ce_specversion they mean nothing"
    for other in fields:
        if other != name and meant_by(other, (name,)) == name:
            yield f"there is `{other}`: call it `{name}`"
    yield f"send `{name}`"


def _of_a_time(ts: object) -> Iterator[str]:
    for factor, unit in _UNITS.items():
        if isinstance(ts, int) and NOW_RANGE_MS[0] <= ts // factor <= NOW_RANGE_MS[1]:
            yield f"these look like {unit}: send milliseconds, {ts // factor}"


def _of_a_key(arrival: Arrival) -> Iterator[str]:
    key = arrival.record.key
    what = "item_id" if arrival.kind == "item" else "user_id"
    if not key:
        yield f"the record has no key: set it to the {what}"
    elif key[:1] == key[-1:] == b'"':
        yield f"the key is a JSON text: send the bare {what}, without quotes"


def _of_a_partition(key: bytes, partition: int, partitions: int) -> Iterator[str]:
    if zlib.crc32(key) % partitions == partition:
        yield "this is librdkafka's own partitioner (CRC32): set partitioner=murmur2_random"
