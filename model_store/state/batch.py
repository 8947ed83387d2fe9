"""Events of one partition as columns, in the order in which they are to be applied."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from model_store.state.layout import Kind

Int8 = npt.NDArray[np.int8]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]
UInt64 = npt.NDArray[np.uint64]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Valid events of one partition, at least one; all columns have the same length n.

    Attributes:
        keys: n Kafka keys (user ids, UTF-8).
        kind: int8 [n], a `Kind`.
        offset: int64 [n]; ascending within a kind.
        ts_ms: int64 [n], event time, UTC.
        event: uint64 [n], hash of the event id.
        item: uint64 [n], hash of the item id; of the target's type and id for a follow; 0 for an erasure.
        value: float32 [n]. Click: dwell in ms, 0 where unknown. Rating: 0..1 of its scale, NaN withdraws.
            Follow: 1, unfollow: 0. Erasure: 0.
        region: uint8 [n], of a click `context.region_bins` of where it came from; 0 where unknown.
        event_ids: n event ids, for the trigger of a recommendation.
    """

    keys: list[bytes]
    kind: Int8
    offset: Int64
    ts_ms: Int64
    event: UInt64
    item: UInt64
    value: Float32
    region: UInt8
    event_ids: list[str]

    def __len__(self) -> int:
        return len(self.keys)

    def part(self, start: int, stop: int) -> "EventBatch":
        """Events start..stop; the columns are views."""
        return EventBatch(
            keys=self.keys[start:stop],
            kind=self.kind[start:stop],
            offset=self.offset[start:stop],
            ts_ms=self.ts_ms[start:stop],
            event=self.event[start:stop],
            item=self.item[start:stop],
            value=self.value[start:stop],
            region=self.region[start:stop],
            event_ids=self.event_ids[start:stop],
        )

    def take(self, places: Int64) -> "EventBatch":
        """Those events, in that order."""
        return EventBatch(
            keys=[self.keys[place] for place in places.tolist()],
            kind=self.kind[places],
            offset=self.offset[places],
            ts_ms=self.ts_ms[places],
            event=self.event[places],
            item=self.item[places],
            value=self.value[places],
            region=self.region[places],
            event_ids=[self.event_ids[place] for place in places.tolist()],
        )

    def renamed(self, name: Callable[[bytes], bytes]) -> "EventBatch":
        """The same events with each key by its other name."""
        return replace(self, keys=list(map(name, self.keys)))

    @staticmethod
    def concat(batches: "list[EventBatch]") -> "EventBatch":
        """One batch after the other; a single one is returned as it is."""
        if len(batches) == 1:
            return batches[0]
        return EventBatch(
            keys=[key for batch in batches for key in batch.keys],
            kind=np.concatenate([batch.kind for batch in batches]),
            offset=np.concatenate([batch.offset for batch in batches]),
            ts_ms=np.concatenate([batch.ts_ms for batch in batches]),
            event=np.concatenate([batch.event for batch in batches]),
            item=np.concatenate([batch.item for batch in batches]),
            value=np.concatenate([batch.value for batch in batches]),
            region=np.concatenate([batch.region for batch in batches]),
            event_ids=[name for batch in batches for name in batch.event_ids],
        )


__all__ = ["EventBatch", "Kind"]
