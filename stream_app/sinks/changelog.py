"""States into the changelog of the state table."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from stream_app.sinks.kafka_batches import (
    GIVE_UP_S,
    NO_HEADERS,
    GetProducer,
    KafkaRecord,
    acknowledged,
    send_records,
    wall_clock_ms,
)


class KafkaChangelog:
    """Appends states to the changelog.

    Args:
        producer: gives the started producer; asked at each call, since Faust makes it late.
        topic: name; it has the partitions of the inputs.
        clock: wall-clock ms, the records' timestamp.
        give_up_s: longest wait for Kafka to take or to acknowledge a batch.
    """

    def __init__(
        self,
        producer: GetProducer,
        topic: str,
        clock: Callable[[], int] = wall_clock_ms,
        give_up_s: float = GIVE_UP_S,
    ) -> None:
        self._producer, self._topic, self._clock, self._give_up_s = producer, topic, clock, give_up_s

    async def write(
        self, partition: int, keys: Sequence[bytes], values: memoryview, ends: npt.NDArray[np.int64]
    ) -> int:
        """Append n states; value i is `values[ends[i]:ends[i + 1]]`, and an empty one is a tombstone.

        Returns the offset of the last one, -1 for none, once Kafka has acknowledged all of them; raises SinkStopped
        if it does not.
        """
        records = _records(keys, values, ends.tolist())
        sent = await send_records(self._producer(), self._topic, partition, records, self._clock(), self._give_up_s)
        return await acknowledged(self._topic, partition, sent, self._give_up_s)


def _records(keys: Sequence[bytes], values: memoryview, ends: list[int]) -> Iterator[KafkaRecord]:
    for i, key in enumerate(keys):
        yield key, values[ends[i] : ends[i + 1]] or None, NO_HEADERS
