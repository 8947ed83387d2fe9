"""From slabs to valid events: what a cycle applies, what it sets aside, and when it was published."""

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model_store.state.batch import EventBatch
from model_store.state.layout import Kind
from stream_app.contracts.decode import decode_slab
from stream_app.contracts.slab import Slab
from stream_app.contracts.validity import Limits, Rejected


@dataclass(frozen=True, slots=True)
class Published:
    """Kafka timestamps of the valid events of one slab: float64 [n], seconds."""

    kind: Kind
    at_s: npt.NDArray[np.float64]


@dataclass(slots=True)
class Intake:
    """The slabs of one cycle, decoded.

    Attributes:
        batches: for each partition its valid events; those of one topic in the order of their offsets.
        rejected: all others, with reasons.
        published: for the latency metric.
        events: valid and rejected ones.
    """

    batches: dict[int, list[EventBatch]] = field(default_factory=lambda: defaultdict(list))
    rejected: list[tuple[Kind, Rejected]] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    events: int = 0

    def add(self, kind: Kind, slab: Slab, limits: Limits, now_ms: int, known: Container[bytes]) -> None:
        """Decode a slab (or a part of one) and put it where it belongs."""
        decoded = decode_slab(kind, slab.records, limits, now_ms, known)
        self.events += len(slab)
        self.rejected += [(kind, rejected) for rejected in decoded.rejected]
        if decoded.batch is not None:
            self.batches[slab.partition].append(decoded.batch)
            stamps = np.array([record.timestamp for record in slab.records], np.float64)
            self.published.append(Published(kind, stamps / 1000.0))

    def joined(self) -> Iterator[tuple[int, EventBatch]]:
        """One batch for each partition."""
        for partition, batches in self.batches.items():
            yield partition, EventBatch.concat(batches)


def parts(slab: Slab, size: int) -> Iterator[Slab]:
    """A slab in parts of at most `size` events, so that decoding does not hold the event loop."""
    for start in range(0, len(slab), size):
        yield Slab(slab.topic, slab.partition, slab.records[start : start + size], slab.epoch)


def kinds_by_topic(topics: tuple[str, str, str, str]) -> Mapping[str, Kind]:
    """Which kind of event an input topic carries."""
    return dict(zip(topics, Kind, strict=True))
