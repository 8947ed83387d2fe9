"""Users whose interests are to be refreshed, gathered over the cycles since the last refresh began."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model_store.state.advance import Advanced
from model_store.state.batch import EventBatch
from stream_app.contracts.recommendations import Trigger, TriggerKind
from stream_app.contracts.validity import Rejected
from stream_app.intake import Published
from stream_app.traces import Traced

_TRIGGER_KINDS: tuple[TriggerKind, ...] = ("click", "follow", "rating")  # by `Kind`


@dataclass(frozen=True, slots=True)
class Touched:
    """Distinct users of one partition.

    Attributes:
        rows: int64 [n], in the partition's arena.
        batch: int64 [n], which of `batches` holds the user's last applied event.
        event: int64 [n], its index there; -1 where none was applied.
        batches: the cycles' batches.
    """

    rows: npt.NDArray[np.int64]
    batch: npt.NDArray[np.int64]
    event: npt.NDArray[np.int64]
    batches: list[EventBatch]

    def trigger(self, i: int) -> Trigger:
        """The last event applied to user i, of whom one was applied. Not an erasure: erased users get no offers."""
        batch, event = self.batches[self.batch[i]], self.event[i]
        return Trigger(_TRIGGER_KINDS[batch.kind[event]], batch.event_ids[event], int(batch.ts_ms[event]))


@dataclass(slots=True)
class Pending:
    """What the next refresh has to do.

    Attributes:
        cycle: number of the last cycle in it.
        rejected: bad events, to be dead-lettered.
        published: timestamps of the events, for the latency metric.
        followees: names of followed users that Redis is to keep, by their hashes.
        traced: those of the cycles that are traced.
    """

    cycle: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    followees: dict[int, bytes] = field(default_factory=dict)
    traced: list[Traced] = field(default_factory=list)
    _advanced: dict[int, list[tuple[EventBatch, Advanced]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, partition: int, batch: EventBatch, advanced: Advanced) -> None:
        """A batch was applied."""
        self._advanced[partition].append((batch, advanced))

    def touched(self) -> dict[int, Touched]:
        """For each partition its users, each once, with its last applied event."""
        return {partition: _merge(parts) for partition, parts in self._advanced.items()}


def _merge(parts: list[tuple[EventBatch, Advanced]]) -> Touched:
    batches = [batch for batch, _ in parts]
    if len(parts) == 1:
        advanced = parts[0][1]
        return Touched(advanced.touched, np.zeros(len(advanced.touched), np.int64), advanced.last_event, batches)
    rows = np.concatenate([advanced.touched for _, advanced in parts])
    event = np.concatenate([advanced.last_event for _, advanced in parts])
    batch = np.repeat(np.arange(len(parts)), [len(advanced.touched) for _, advanced in parts])
    # Sorted by user, then events that were applied after those that were not, then by cycle: each user's last counts.
    order = np.lexsort((batch, event >= 0, rows))
    last = order[np.flatnonzero(np.diff(rows[order], append=-1))]
    return Touched(rows[last], batch[last], event[last], batches)
