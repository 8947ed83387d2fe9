"""What a check finds, and the sum of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """An error is not taken by a worker; a warning is, and may mean something else than its producer thinks."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with an event, wherever that came from.

    Attributes:
        code: a `Reason` of an error; of a warning a word of `hints`.
        field: of the event, "" where it is none in particular.
        message: what is wrong.
        mend: what to do.
    """

    code: str
    field: str
    message: str
    mend: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault and the event in which it is: its place (a line, or partition and offset) and its beginning."""

    severity: Severity
    where: str
    fault: Fault
    snippet: str


@dataclass(slots=True)
class Row:
    """How often a fault was found, and where first."""

    severity: Severity
    code: str
    count: int
    first: str


@dataclass(slots=True)
class Tally:
    """Of all events of a check. `bad` and `odd` count events, `rows` faults."""

    events: int = 0
    bad: int = 0
    odd: int = 0
    rows: dict[str, Row] = field(default_factory=dict)

    def add(self, events: int, findings: Iterable[Finding]) -> None:
        """A helping of events, and what was found in it."""
        self.events += events
        places: dict[Severity, set[str]] = {severity: set() for severity in Severity}
        for one in findings:
            row = self.rows.setdefault(one.fault.code, Row(one.severity, one.fault.code, 0, one.where))
            row.count += 1
            places[one.severity].add(one.where)
        self.bad += len(places[Severity.ERROR])
        self.odd += len(places[Severity.WARNING])

    def sorted_rows(self) -> list[Row]:
        """Errors first, the most frequent first."""
        return sorted(self.rows.values(), key=lambda row: (row.severity is Severity.WARNING, -row.count, row.code))
