"""Files of events, one JSON object a line: as the contracts have them, or as one happens to have them.

A line that says its `kind` goes out as it is, less that. One that does not is taken for what it looks like, and what
can be told from it is put right: fields of other names, ids that are numbers, times in seconds or in words, no event
id.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from stream_app.sources import KEY_FIELD, Record, Source, SourceError

ID_FIELDS = ("user_id", "item_id", "target_id", "creator_id")
FIELDS = (
    "event_id", *ID_FIELDS, "ts", "rating", "scale_max", "target_type", "action", "dwell_ms", "title", "description",
    "tags",
)  # fmt: skip
"""What a field of a file may be."""

# A time in another unit than milliseconds gives itself away: 1e11 ms was in 1973, 1e14 ms will be in the year 5138.
_UNITS_MS = ((1e11, 1_000.0), (1e14, 1.0), (1e17, 1e-3), (float("inf"), 1e-6))

_encode = msgspec.json.Encoder().encode
# Values stay the text they are: what the file says is what goes out.
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True)
class Shape:
    """How the lines of a file that are not as the contracts have them become events.

    Attributes:
        fields: the contracts' name of a field -> the file's.
        kind: of lines that do not say what they are; what they look like without it.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    kind: str | None = None

    def options(self) -> list[str]:
        """As the command line says it."""
        named = [word for ours, theirs in self.fields.items() for word in ("--field", f"{ours}={theirs}")]
        return [*named, *(("--kind", self.kind) if self.kind else ())]


AS_THEY_ARE = Shape()


def shape_of(fields: list[str], kind: str | None) -> Shape:
    """From `NAME=THEIRS` of the command line. Raises `SourceError`."""
    named: dict[str, str] = {}
    for one in fields:
        ours, equals, theirs = one.partition("=")
        if ours not in FIELDS or not equals or not theirs:
            raise SourceError(f"{one[:100]!r} is not NAME=THEIRS with NAME one of {', '.join(FIELDS)}")
        named[ours] = theirs
    return Shape(named, kind)


def from_jsonl(path: Path, shape: Shape = AS_THEY_ARE, run: str = "1") -> Source:
    """The events of a file, in its order. An event without an id gets one from the file's name, `run` and its line.

    Raises `SourceError`, while reading one that names the line.
    """
    if not path.is_file():
        raise SourceError(f"{path} is not a file: name a file with one JSON event a line")
    return Source(path.name, None, (), lambda: _records(path, shape, run))


def _records(path: Path, shape: Shape, run: str) -> Iterator[Record]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield record_of(line, f"{path}, line {number}", shape, f"{path.name}/{run}/{number}")


def record_of(line: bytes, where: str, shape: Shape = AS_THEY_ARE, event_id: str = "") -> Record:
    """One line as a record; `event_id` for one that has none. Raises `SourceError`, which says `where`."""
    try:
        event = _fields(line)
        kind = msgspec.json.decode(event.pop("kind"), type=str) if "kind" in event else None
        if kind is None or shape.fields:
            kind, event = _put_right(event, kind, shape, event_id)
        key = msgspec.json.decode(event[KEY_FIELD[kind]], type=str)
        ts = msgspec.json.decode(event.get("ts", b"0"), type=int | float)
        return Record(kind, key.encode(), _encode(event), int(ts))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as problem:
        raise SourceError(
            f"{where} cannot be sent ({type(problem).__name__}: {str(problem)[:200]}): it must be a JSON object with"
            f" `kind`, one of {', '.join(KEY_FIELD)}, and the user_id (of an item: the item_id) as a string; or with"
            " fields of the contract, for which --field NAME=THEIRS says how the file calls them"
        ) from problem


def _put_right(
    event: dict[str, msgspec.Raw], kind: str | None, shape: Shape, event_id: str
) -> tuple[str, dict[str, msgspec.Raw]]:
    """Kind and fields of an event, as far as they can be told."""
    for ours, theirs in shape.fields.items():
        if theirs in event:
            event[ours] = event.pop(theirs)
    for name in ID_FIELDS:
        if name in event:
            event[name] = _id(event[name])
    kind = kind or shape.kind or _looks_like(event)
    if kind != "item":
        if "ts" not in event:
            raise ValueError("it says no time, `ts`")
        event.setdefault("event_id", _raw(event_id))
        event["ts"] = _time(event["ts"])
    return kind, event


def _looks_like(event: Mapping[str, object]) -> str:
    for name, kind in (("rating", "rating"), ("target_id", "follow")):
        if name in event:
            return kind
    if "item_id" in event:
        return "click" if "user_id" in event else "item"
    raise ValueError("it has neither `item_id` nor `target_id`")


def _id(value: msgspec.Raw) -> msgspec.Raw:
    """A whole number is taken for the text that it is written as."""
    decoded = msgspec.json.decode(value)
    return _raw(str(decoded)) if isinstance(decoded, int) and not isinstance(decoded, bool) else value


def _time(value: msgspec.Raw) -> msgspec.Raw:
    """UTC milliseconds of a number in any unit, or of an ISO 8601 text; without a zone it is UTC."""
    decoded = msgspec.json.decode(value, type=int | float | str)
    if isinstance(decoded, str):
        moment = datetime.fromisoformat(decoded)
        return _raw(round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000))
    factor = next(factor for below, factor in _UNITS_MS if abs(decoded) < below)
    return value if factor == 1.0 and isinstance(decoded, int) else _raw(round(decoded * factor))


def _raw(value: str | int) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))
