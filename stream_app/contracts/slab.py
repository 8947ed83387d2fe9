"""A slab: what one fetch returned of one partition, the unit in which events move."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from stream_app.contracts.validity import Record


@dataclass(frozen=True, slots=True, eq=False)
class Slab:
    """Records of one partition.

    Attributes:
        topic, partition: where they are from.
        records: at least one, offsets ascending.
        epoch: the consumer's epoch at delivery; a revocation voids all slabs of earlier epochs.
        done: whether its effects are durable. Set once, by the consumer's account.
    """

    topic: str
    partition: int
    records: Sequence[Record]
    epoch: int
    done: list[bool] = field(default_factory=lambda: [False])

    def __len__(self) -> int:
        return len(self.records)
