"""The states of all partitions that this worker owns."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from model_store.state import codec
from model_store.state.arena import Arena
from stream_app.contracts.errors import StopWorker
from stream_app.contracts.validity import Record


class States:
    """An arena for each partition, and how far each agrees with its changelog."""

    def __init__(self) -> None:
        self._arenas: dict[int, Arena] = {}
        self._logged: dict[int, int] = {}

    def __getitem__(self, partition: int) -> Arena:
        arena = self._arenas.get(partition)
        if arena is None:
            arena = self._arenas[partition] = Arena()
        return arena

    @property
    def arenas(self) -> Mapping[int, Arena]:
        """By partition; one that holds nobody yet may be missing."""
        return self._arenas

    def items(self) -> Iterator[tuple[int, Arena]]:
        """Partitions with their arenas."""
        return iter(list(self._arenas.items()))

    @property
    def users(self) -> int:
        return sum(arena.users for arena in self._arenas.values())

    @property
    def nbytes(self) -> int:
        return sum(arena.nbytes for arena in self._arenas.values())

    def restore(self, partition: int, records: Sequence[Record]) -> None:
        """States read from the changelog, oldest first. A tombstone forgets its user."""
        arena = self[partition]
        kept = [record for record in _latest(records) if record.value]
        gone = [record.key or b"" for record in _latest(records) if not record.value]
        try:
            arena.put([record.key or b"" for record in kept], codec.decode([record.value or b"" for record in kept]))
        except codec.CodecError as error:
            first, last = records[0], records[-1]
            raise StopWorker(
                f"{error} (changelog {first.topic}[{partition}], offsets {first.offset} to {last.offset})"
            ) from error
        for key in gone:
            arena.take_back(key)
        self.logged(partition, records[-1].offset)

    def logged(self, partition: int, offset: int) -> None:
        """The changelog holds all of this partition's states up to this offset."""
        self._logged[partition] = offset

    def logged_to(self, partition: int) -> int | None:
        """Changelog offset up to which the states held are complete; None before anything was restored or written."""
        return self._logged.get(partition)

    def keep_only(self, partitions: set[int]) -> None:
        """Drop the states of all other partitions."""
        for partition in set(self._arenas) - partitions:
            del self._arenas[partition]
        for partition in set(self._logged) - partitions:
            del self._logged[partition]

    def encode(self, partition: int, rows: npt.NDArray[np.int64]) -> tuple[memoryview, npt.NDArray[np.int64]]:
        """States of the users in `rows`, as `codec.encode` gives them."""
        return codec.encode(self[partition].records, rows)


def _latest(records: Sequence[Record]) -> list[Record]:
    """The last record of each key, in order."""
    return list({record.key: record for record in records}.values())
