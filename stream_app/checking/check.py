"""From arrivals to findings. The verdicts are the decoder's own: what is an error here is a dead letter there."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from model_store.state.layout import Kind
from stream_app.checking.arrivals import ITEM, KINDS, Arrival
from stream_app.checking.findings import Fault, Finding, Severity
from stream_app.checking.hints import Dwells, Repeats, hints_of
from stream_app.checking.mends import fault_of
from stream_app.contracts.decode import decode_records
from stream_app.contracts.items import judge_item
from stream_app.contracts.reasons import Reason
from stream_app.contracts.validity import Limits, Rejected, judge

UNKNOWN_KIND = "unknown_kind"
SNIPPET = 200
_OF_ANY_KIND = (Reason.NOT_JSON, Reason.TOO_LARGE, Reason.NULL_VALUE, Reason.BAD_ENVELOPE)


class Check:
    """What is remembered of one file or topic: a fixed amount of memory, however much is checked."""

    def __init__(self, limits: Limits) -> None:
        """`limits`: of the workers; the partitions are those of the topic."""
        self._limits = limits
        self._repeats, self._dwells = Repeats(), Dwells()

    def findings(self, arrivals: Sequence[Arrival], now_ms: int) -> list[Finding]:
        """Of a helping, in the order of the arrivals. `now_ms`: against which times are in the future."""
        verdicts = self._verdicts(arrivals, now_ms)
        found = []
        for arrival in arrivals:
            verdict = verdicts.get(id(arrival.record))
            if verdict is not None:
                found.append(_finding(Severity.ERROR, arrival, verdict))
            else:
                found += [_finding(Severity.WARNING, arrival, fault) for fault in self._hints(arrival)]
        return found

    def at_the_end(self) -> list[Finding]:
        """What only all events together show."""
        fault = self._dwells.fault()
        return [Finding(Severity.WARNING, f"from {self._dwells.first} on", fault, "")] if fault else []

    def _verdicts(self, arrivals: Sequence[Arrival], now_ms: int) -> dict[int, Fault]:
        """Of those that are not taken, by the identity of the record."""
        by_kind: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            by_kind[arrival.kind].append(arrival)
        verdicts = {id(arrival.record): self._of_unknown_kind(arrival, now_ms) for arrival in by_kind.pop("", [])}
        for kind, mine in by_kind.items():
            places = {id(arrival.record): arrival for arrival in mine}
            for rejected in self._rejected(kind, mine, now_ms):
                place = id(rejected.record)
                verdicts[place] = fault_of(rejected, places[place], self._limits.partitions)
        return verdicts

    def _of_unknown_kind(self, arrival: Arrival, now_ms: int) -> Fault:
        """What is wrong whatever it was to be, or that nobody knows what it was to be."""
        verdict = judge(Kind.CLICK, arrival.record, self._limits, now_ms)
        if isinstance(verdict, Rejected) and (verdict.reason in _OF_ANY_KIND or _is_no_object(arrival, verdict)):
            return fault_of(verdict, arrival, self._limits.partitions)
        told = "neither a `kind` nor a field tells what this event is"
        return Fault(UNKNOWN_KIND, "", told, f"name it with --kind, or in a field `kind`: {', '.join(KINDS)}")

    def _rejected(self, kind: str, arrivals: Sequence[Arrival], now_ms: int) -> list[Rejected]:
        records, number = [arrival.record for arrival in arrivals], KINDS[kind]
        if number is None:
            return [found for found in map(judge_item, records) if isinstance(found, Rejected)]
        return decode_records(number, records, self._limits, now_ms).rejected

    def _hints(self, arrival: Arrival) -> Iterator[Fault]:
        self._dwells.meet(arrival)
        yield from hints_of(arrival)
        if arrival.kind != ITEM:
            yield from self._repeats.hints_of(arrival)


def _is_no_object(arrival: Arrival, verdict: Rejected) -> bool:
    return arrival.fields is None and verdict.reason is Reason.WRONG_TYPE


def _finding(severity: Severity, arrival: Arrival, fault: Fault) -> Finding:
    value = arrival.record.value or b""
    snippet = value[:SNIPPET].decode(errors="backslashreplace") + ("..." if len(value) > SNIPPET else "")
    return Finding(severity, arrival.where, fault, snippet)
