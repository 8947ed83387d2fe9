"""States into the changelog of the state table."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from stream_app.sinks.kafka_batches import (
    NO_HEADERS,
    KafkaRecord,
    TopicSink,
    acknowledged,
    send_records,
)


class KafkaChangelog(TopicSink):
    """Appends states to the changelog, a topic with the partitions of the inputs."""

    async def write(
        self, partition: int, keys: Sequence[bytes], values: memoryview, ends: npt.NDArray[np.int64]
    ) -> int:
        """Append n states; value i is `values[ends[i]:ends[i + 1]]`, and an empty one is a tombstone.

        Returns the offset of the last one, -1 for none, once Kafka has acknowledged all of them; raises SinkStopped
        if it does not.
        """
        records = _records(keys, values, ends.tolist())
        sent = await send_records(self.producer(), self.topic, partition, records, self.clock(), self.give_up_s)
        return await acknowledged(self.topic, partition, sent, self.give_up_s)


def _records(keys: Sequence[bytes], values: memoryview, ends: list[int]) -> Iterator[KafkaRecord]:
    for i, key in enumerate(keys):
        yield key, values[ends[i] : ends[i + 1]] or None, NO_HEADERS
