"""The exact account of which records were delivered, which are done, and what may be committed."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from stream_app.contracts.errors import StopWorker
from stream_app.contracts.slab import Slab


@dataclass(slots=True)
class Account:
    """Per source partition: the next offset to deliver, and the slabs delivered and not yet committed.

    `accept_gaps` says what an offset that is skipped means: a lost record (stop), or a transaction marker or expired
    records (go on). Faust and aiokafka have lost records here before, so the default is to stop.
    """

    accept_gaps: bool = False
    _next: dict[TP, int] = field(default_factory=dict)
    _committed: dict[TP, int] = field(default_factory=dict)
    _delivered: dict[TP, deque[Slab]] = field(default_factory=dict)

    def restart(self, next_offsets: Mapping[TP, int]) -> None:
        """After a seek: what was delivered before is void, and these offsets come next."""
        self._next, self._committed = dict(next_offsets), dict(next_offsets)
        self._delivered = {tp: deque() for tp in next_offsets}

    def accept(self, tp: TP, records: Sequence[Any]) -> Sequence[Any]:
        """The part of a fetched batch that was not delivered before; raises StopWorker where records are missing."""
        expected = self._next.get(tp)
        first, last = records[0].offset, records[-1].offset
        if expected is None:
            raise StopWorker(f"records of {tp.topic}[{tp.partition}] from offset {first} came before its seek")
        whole = last - first + 1 == len(records) and first <= expected
        if not whole and not self.accept_gaps:
            raise StopWorker(_gap_message(tp, expected, first, last, len(records)))
        self._next[tp] = max(expected, last + 1)
        return [record for record in records if record.offset >= expected] if first < expected else records

    def delivered(self, slab: Slab) -> None:
        """Take note of a slab that is handed on."""
        self._delivered[TP(slab.topic, slab.partition)].append(slab)

    def partitions(self) -> list[TP]:
        """Partitions with slabs that are not committed."""
        return [tp for tp, slabs in self._delivered.items() if slabs]

    def committable(self, tp: TP) -> int | None:
        """End of the prefix of slabs that are done, which is taken off the account; None if there is none."""
        slabs, end = self._delivered.get(tp, deque()), None
        while slabs and slabs[0].done[0]:
            end = slabs.popleft().end
        if end is not None:
            self._committed[tp] = end
        return end

    def committed(self) -> Mapping[TP, int]:
        """For each source partition the offset up to which a commit was made or asked for."""
        return self._committed


def _gap_message(tp: TP, expected: int, first: int, last: int, count: int) -> str:
    return (
        f"records are missing in {tp.topic}[{tp.partition}]: expected offset {expected}, got {count} records from "
        f"{first} to {last}. If retention has overtaken the committed offset, or producers use transactions, set "
        "INTEREST_KAFKA__ACCEPT_GAPS=true to go on past it; otherwise this is a fault: restart the worker and report it"
    )
