"""The states of all partitions that this worker owns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import structlog

from model_store.state import codec
from model_store.state.arena import Arena
from model_store.state.hashing import partition_of
from stream_app.contracts.errors import StopWorker
from stream_app.contracts.validity import CONTROL_CHARACTER, Record

log = structlog.get_logger(__name__)

SAMPLE = 16
"""States of a batch whose partition is looked at."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A record of the changelog that is no state."""

    record: Record
    why: str

    def __str__(self) -> str:
        # Not the key: it is a user's id, and this is logged. It stands there.
        return f"{self.record.topic}[{self.record.partition}] offset {self.record.offset}: the state {self.why}"


class States:
    """An arena for each partition, and how far each agrees with its changelog."""

    def __init__(self, codec_version: int = codec.EXACT) -> None:
        """`codec_version`: of what `encode` gives."""
        self._codec_version = codec_version
        self._arenas: dict[int, Arena] = {}
        self._logged: dict[int, int] = {}
        self._ends: dict[int, int] = {}  # offset of the last record known, a foreign one perhaps
        self._terms: dict[int, int] = {}
        self._damaged: dict[int, dict[bytes, Damage]] = {}

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

    # -- from the changelog

    def restore(self, partition: int, records: Sequence[Record], read_to: int) -> None:
        """States read from the changelog, oldest first; the record at offset `read_to` comes next.

        What is no state counts against its user only if nothing better follows, so it is
        held against the partition no sooner than in `restored`. Raises StopWorker for a state that a later release
        wrote.
        """
        for has_value, run in groupby(self._keyed(records), lambda record: bool(record.value)):
            if has_value:
                self._put(partition, list(run))
            else:
                self._take_back(partition, list(run))
        self._logged[partition] = self._ends[partition] = read_to - 1

    def restored(self, partition: int, read_to: int, generation: int) -> int:
        """The changelog is read to its end, and a term begins: `term_after` says which.

        Returns how many users the changelog shows otherwise than they are held, who are to be written again. Raises
        StopWorker for users of whom the last record is no state.
        """
        damaged = list(self._damaged.pop(partition, {}).values())
        if damaged:
            more = f" ({len(damaged) - 1} more users in this partition)" if len(damaged) > 1 else ""
            raise StopWorker(
                f"{damaged[0]}{more}. To go on, give that record's key a tombstone (a null value) in that partition "
                "and start the worker: the user goes on from the last good record, if the log still has one, or anew"
            )
        self._logged[partition] = self._ends[partition] = read_to - 1
        arena = self._arenas.get(partition)
        self._terms[partition] = term_after(arena.last_term() if arena else 0, generation)
        return arena.rewrite_behind() if arena else 0

    def _keyed(self, records: Sequence[Record]) -> Sequence[Record]:
        keyed = [record for record in records if record.key is not None]
        if len(keyed) < len(records):
            first = next(record for record in records if record.key is None)
            log.warning(
                "changelog records without a key are no user's and are left out",
                topic=first.topic, partition=first.partition, offset=first.offset, records=len(records) - len(keyed),
            )  # fmt: skip
        return keyed

    def _put(self, partition: int, records: list[Record]) -> None:
        good, states = self._decoded(partition, records)
        self[partition].put([record.key or b"" for record in good], states)
        self._clear(partition, good)

    def _take_back(self, partition: int, tombstones: list[Record]) -> None:
        for tombstone in tombstones:
            self[partition].take_back(tombstone.key or b"")
        self._clear(partition, tombstones)

    def _decoded(self, partition: int, records: list[Record]) -> tuple[list[Record], npt.NDArray[np.void]]:
        """Those that can be decoded, with their states; the others are kept in mind."""
        while True:
            try:
                return records, codec.decode([record.value or b"" for record in records])
            except codec.NewerCodec as error:
                raise StopWorker(str(Damage(records[error.place], error.why))) from error
            except codec.DamagedState as error:
                bad = records[error.place]
                # What came before the bad record may be of the same user, and must not clear it afterwards.
                self._put(partition, records[: error.place])
                self._damaged.setdefault(partition, {})[bad.key or b""] = Damage(bad, error.why)
                records = records[error.place + 1 :]

    def _clear(self, partition: int, records: list[Record]) -> None:
        """Something better follows what was no state."""
        damaged = self._damaged.get(partition)
        if damaged:
            for record in records:
                damaged.pop(record.key or b"", None)

    # -- into the changelog

    def logged(self, partition: int, records: int, offset: int) -> bool:
        """So many states were appended, the last one at this offset; the changelog now holds all of this partition's
        states up to there, unless somebody else wrote in between: then that is read at the next recovery. Returns
        whether nobody did."""
        known = self._ends.get(partition, offset - records)
        if known == offset - records and self._logged.get(partition, known) == known:
            self._logged[partition] = offset
        self._ends[partition] = offset
        return known == offset - records

    def logged_to(self, partition: int) -> int | None:
        """Changelog offset up to which the states held are complete; None before anything was restored or written."""
        return self._logged.get(partition)

    def keep_only(self, partitions: set[int]) -> None:
        """Drop the states of all other partitions."""
        for partition in (self._arenas.keys() | self._ends.keys() | self._damaged.keys()) - partitions:
            for held in (self._arenas, self._logged, self._ends, self._terms, self._damaged):
                held.pop(partition, None)

    def encode(self, partition: int, rows: npt.NDArray[np.int64]) -> tuple[memoryview, npt.NDArray[np.int64]]:
        """States of the users in `rows`, as `codec.encode` gives them, under this owner's term."""
        records = self[partition].records
        records["term"][rows] = self._terms.get(partition, 0)
        return codec.encode(records, rows, self._codec_version)


def term_after(last: int, generation: int) -> int:
    """The term of an owner of this generation of the group, whose changelog has states of the term `last`.

    Higher than that, and than the term of an owner before who has written nothing there yet, and may do so late: so it
    grows with the generation, also in a group made anew, whose generations begin at 1 again.
    """
    return generation if generation > last else last + max(1, generation)


def require_count(partition: int, records: Sequence[Record], partitions: int) -> None:
    """Raises StopWorker if states lie elsewhere than this partition count puts them. A look at a few of them is
    enough: with another count at least half would. One alone is damage, and not for us to judge."""
    keys = [record.key for record in records[:SAMPLE] if record.key and not CONTROL_CHARACTER.match(record.key)]
    wrong = [key for key in keys if partition_of(key, partitions) != partition]
    if len(wrong) >= max(2, len(keys) / 4):
        raise StopWorker(
            f"{records[0].topic}[{partition}] holds states that belong to other partitions of {partitions}: they were "
            "made with another partition count, which is for life. Set INTEREST_KAFKA__PARTITIONS as it was, or go on "
            "with new topics and a new group"
        )
