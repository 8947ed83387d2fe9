"""What the slab transport, table and recovery need of the rest of the worker."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from stream_app.contracts.slab import Slab
from stream_app.contracts.validity import Record


class Engine(Protocol):
    """Takes slabs in, and owns the states that the table stands for. Called in the event loop's thread."""

    def put(self, slab: Slab) -> None:
        """A new slab. Must not block; `SlabConsumer.taken` is to be called when it leaves the inbox."""

    async def drain(self, *, fenced: bool) -> None:
        """Partitions are about to leave: forget slabs that are not applied, make durable what is, call `done` for it.

        When `fenced`, the group has dropped this member: forget the states too, they belong to another worker.
        """

    def restore(self, partition: int, records: Sequence[Record], read_to: int) -> None:
        """States read from the changelog, oldest first, and the offset that is read next."""

    def restoring(self, remaining: Mapping[int, int]) -> None:
        """How many records, at most, each partition still has to be read; those that are done are not among them."""

    def restored(self, read_to: Mapping[int, int], generation: int) -> None:
        """Recovery is complete: these partitions are ours in this generation of the group, read up to before these
        offsets. The states of all others are to be dropped."""

    def restored_to(self, partition: int) -> int | None:
        """The changelog offset up to which the states held are complete, None to read from the start."""
