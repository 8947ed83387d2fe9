"""The exact account of which records were delivered, which are done, and what may be committed."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from stream_app.contracts.errors import StopWorker


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one poll took out of a partition: everything that the log has from offset `start` until before `end`.

    `records` may be fewer than that, or none: the log has transaction markers and aborted events as well.
    """

    records: Sequence[Any]
    start: int
    end: int


@dataclass(slots=True)
class Account:
    """Per source partition: the next offset to deliver, and what was delivered and is not yet committed.

    It holds stretches of the log against each other, not records: each must begin where the last one ended. So records
    that got lost on the way here are missed (Faust and aiokafka have lost some), and markers of transactions are not.
    """

    _next: dict[TP, int] = field(default_factory=dict)
    _committed: dict[TP, int] = field(default_factory=dict)
    _delivered: dict[TP, deque[tuple[Sequence[bool], int]]] = field(default_factory=dict)

    def restart(self, next_offsets: Mapping[TP, int]) -> None:
        """After a seek: what was delivered before is void, and these offsets come next."""
        self._next, self._committed = dict(next_offsets), dict(next_offsets)
        self._delivered = {tp: deque() for tp in next_offsets}

    def accept(self, tp: TP, fetched: Fetched) -> Sequence[Any]:
        """The records that were not delivered before; raises StopWorker where some are missing."""
        expected = self._next.get(tp)
        if expected is None:
            raise StopWorker(f"records of {tp.topic}[{tp.partition}] from offset {fetched.start} came before its seek")
        if fetched.start > expected:
            raise StopWorker(
                f"records are missing in {tp.topic}[{tp.partition}]: expected offset {expected}, got what lies from "
                f"{fetched.start} to {fetched.end - 1}. Kafka has them: restart the worker, which reads them again, "
                "and report this"
            )
        self._next[tp] = max(expected, fetched.end)
        if fetched.start == expected:
            return fetched.records
        return [record for record in fetched.records if record.offset >= expected]

    def delivered(self, tp: TP, done: Sequence[bool], end: int) -> None:
        """Take note of what is handed on, up to before offset `end`; `done[0]` becomes true once it is durable."""
        self._delivered[tp].append((done, end))

    def partitions(self) -> list[TP]:
        """Partitions of which something is not committed."""
        return [tp for tp, stretches in self._delivered.items() if stretches]

    def committable(self, tp: TP) -> int | None:
        """End of the prefix that is done, which is taken off the account; None if there is none."""
        stretches, end = self._delivered.get(tp, deque()), None
        while stretches and stretches[0][0][0]:
            end = stretches.popleft()[1]
        if end is not None:
            self._committed[tp] = end
        return end

    def committed(self) -> Mapping[TP, int]:
        """For each source partition the offset up to which a commit was made or asked for."""
        return self._committed
