"""Users' states as the state table's changelog has them. Without TensorFlow."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model_store.state import codec
from model_store.state.arena import Arena, mark_key
from model_store.state.hashing import partition_of
from stream_app.contracts.pseudonyms import naming
from stream_app.reading import read, reader
from stream_app.settings import Settings

Records = npt.NDArray[np.void]

SEARCH_S = 20.0
"""A partition of the changelog that takes longer to be read is too long to be searched while somebody waits."""
_KEPT = 256


@dataclass(slots=True)
class _Found:
    """A user's record as of an offset of the changelog."""

    arena: Arena
    read_to: int = 0


class LoggedStates:
    """Reads one user's partition, and of who was looked for before only what has come since."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._name = settings, naming(settings.pseudonym_key.get_secret_value())
        self._found: OrderedDict[tuple[int, str], _Found] = OrderedDict()

    async def of(self, user_id: str, generation: int) -> Records | None:
        """`USER` [1], a copy; None where the state table has nothing of the user: it is written a quarter of a second
        after Redis. Raises TimeoutError for a partition that is too long, KafkaError, KafkaUnreachableError, ReadError,
        `codec.NewerCodec`, `codec.DamagedState`."""
        settings = self._settings.of_generation(generation)
        found = self._found.setdefault((generation, user_id), _Found(Arena(4)))
        self._found.move_to_end((generation, user_id))
        if len(self._found) > _KEPT:
            self._found.popitem(last=False)
        user = self._name(user_id.encode())
        partition = partition_of(user_id.encode(), settings.kafka.partitions)
        async with asyncio.timeout(SEARCH_S), reader(settings) as consumer:
            async for records, _, read_to in read(consumer, settings.kafka.changelog, partition, found.read_to):
                _take(found.arena, [record for record in records if record.key in (user, mark_key(user))])
                found.read_to = read_to
        row = found.arena.row(user)
        if row is None or not found.arena.records["events"][row]:
            return None
        return found.arena.records[row : row + 1].copy()


def _take(arena: Arena, records: Sequence[Any]) -> None:
    for record in records:
        if record.value:
            arena.put([record.key], codec.decode([record.value]))
        else:
            arena.take_back(record.key)
