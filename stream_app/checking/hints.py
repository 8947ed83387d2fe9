"""What is taken, and is probably not what its producer meant."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from model_store.state.layout import Kind
from stream_app.checking.arrivals import ITEM, KINDS, Arrival, Fields
from stream_app.checking.findings import Fault
from stream_app.checking.names import meant_by
from stream_app.contracts.events import EVENT_OF_KIND
from stream_app.contracts.items import SentItem

LATEST_SECONDS = 100_000_000_000
"""Smaller times are before March 1973 in milliseconds, and up to the year 5138 in seconds."""
EARLIEST_SECONDS = 100_000_000
FAR_PAST_MS = 946_684_800_000
"""The year 2000."""
MANY = 20
_SAME = ("item_id", "target_id", "target_type", "action", "rating", "ts")  # however they are written, and enveloped
_SHORT_DWELL = 1_000

CODES = {
    "ts_in_seconds": "The event time looks like seconds, and is taken for milliseconds: the event is of January 1970.",
    "ts_far_past": "The event time is before 2000: it counts in no window, and hardly in any memory.",
    "unknown_field": "A field that the contract does not have, and nearly does: it is ignored.",
    "duplicate_event": "The same event again: it counts once.",
    "reused_event_id": "Another event with an event id that this user's last events had: it does not count.",
    "dwell_in_seconds": "All dwells are below a second's worth of milliseconds: they may be seconds.",
}

_NAMES: dict[str, tuple[str, ...]] = {
    **{kind.name.lower(): EVENT_OF_KIND[kind].__struct_fields__ for kind in Kind},
    ITEM: SentItem.__struct_fields__,
}
# What files and envelopes have beside the contract's fields.
_ASIDE = frozenset({"kind", "topic"})
_KNOWN = {kind: frozenset(names) | _ASIDE for kind, names in _NAMES.items()}


def hints_of(arrival: Arrival) -> Iterator[Fault]:
    """Of one event that is taken."""
    fields = arrival.fields
    if fields is None:
        return
    if not fields.keys() <= _KNOWN[arrival.kind]:
        yield from _unknown(arrival.kind, fields)
    if KINDS[arrival.kind] is not None:
        yield from _time(fields.get("ts", FAR_PAST_MS))


def _unknown(kind: str, fields: Fields) -> Iterator[Fault]:
    absent = tuple(name for name in _NAMES[kind] if name not in fields)
    for name in fields.keys() - _KNOWN[kind]:
        meant = meant_by(name, absent)
        if meant:
            told = f"`{name}` is ignored, and there is no `{meant}`"
            yield Fault("unknown_field", name, told, f"if `{meant}` is meant, call it so")


def _time(ts: int) -> Iterator[Fault]:
    if EARLIEST_SECONDS <= ts < LATEST_SECONDS:
        told = f"ts is {ts}, which is in {_year(ts)} in milliseconds, and in {_year(ts * 1000)} if it is seconds"
        yield Fault("ts_in_seconds", "ts", told, f"send milliseconds: {ts * 1000}")
    elif ts < FAR_PAST_MS:
        yield Fault("ts_far_past", "ts", f"ts is {ts}, which is in {_year(ts)}", "send UTC milliseconds since 1970")


def _year(ts_ms: int) -> int:
    return 1970 + ts_ms // 31_556_952_000


class Repeats:
    """Events that came before, as far as a table of fixed size remembers: it forgets some, and makes none up.

    8 MiB for 2**19 of them.
    """

    def __init__(self, slots: int = 1 << 19) -> None:
        """`slots`: a power of two."""
        self._mask = slots - 1
        self._ids, self._events = array("Q", bytes(8 * slots)), array("Q", bytes(8 * slots))

    def hints_of(self, arrival: Arrival) -> Iterator[Fault]:
        """Of one event that is taken; it is remembered."""
        fields = arrival.fields
        if fields is None or arrival.kind == ITEM:
            return
        name = hash((fields.get("user_id"), fields.get("event_id"))) & 0xFFFF_FFFF_FFFF_FFFF or 1
        event = hash((arrival.kind, *map(fields.get, _SAME))) & 0xFFFF_FFFF_FFFF_FFFF
        slot = name & self._mask
        if self._ids[slot] == name:
            yield self._fault(fields.get("event_id"), same=self._events[slot] == event)
        self._ids[slot], self._events[slot] = name, event

    def _fault(self, event_id: object, *, same: bool) -> Fault:
        if same:
            told = f"the event {str(event_id)[:64]!r} was there before"
            return Fault("duplicate_event", "event_id", told, "nothing, if it is a retry: it counts once")
        told = f"another event of this user had the id {str(event_id)[:64]!r} before"
        return Fault("reused_event_id", "event_id", told, "give each event an id of its own (a UUID)")


@dataclass(slots=True)
class Dwells:
    """Of all clicks: how many have a dwell above 0, and the longest."""

    count: int = 0
    longest: float = 0.0
    first: str = field(default="")

    def meet(self, arrival: Arrival) -> None:
        """One event that is taken."""
        if arrival.fields is None or arrival.kind != "click":
            return
        dwell = arrival.fields.get("dwell_ms")
        if dwell:
            self.count += 1
            self.longest = max(self.longest, dwell)
            self.first = self.first or arrival.where

    def fault(self) -> Fault | None:
        """What all of them together look like."""
        if self.count < MANY or self.longest >= _SHORT_DWELL:
            return None
        told = f"{self.count:,} dwells, and none is longer than {self.longest:g}"
        return Fault("dwell_in_seconds", "dwell_ms", told, "send milliseconds, if these are seconds")
