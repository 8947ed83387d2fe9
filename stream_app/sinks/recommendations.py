"""Recommendation events into their topic, keyed by user, where Kafka's default partitioner would put them."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from model_store.state.hashing import partition_of
from stream_app.contracts.recommendations import Encoded
from stream_app.sinks.kafka_batches import (
    NO_HEADERS,
    KafkaRecord,
    TopicSink,
    partitions_of,
    publish,
)

# Partitions are computed so many at a time, a millisecond or two, before the event loop gets a turn.
_TURN = 1_000


class KafkaRecommendations(TopicSink):
    """Publishes recommendations, to a topic that may have any number of partitions."""

    async def publish(self, recommendations: Sequence[Encoded]) -> None:
        """Returns when Kafka has acknowledged all of them; raises SinkStopped if it does not.

        Repeating it repeats the event ids.
        """
        if not recommendations:
            return
        producer = self.producer()
        partitions = await partitions_of(producer, self.topic, self.give_up_s)
        records: dict[int, list[KafkaRecord]] = defaultdict(list)
        for number, one in enumerate(recommendations, start=1):
            if number % _TURN == 0:
                await asyncio.sleep(0)
            records[partition_of(one.key, partitions)].append((one.key, one.value, NO_HEADERS))
        await publish(producer, self.topic, records, self.clock(), self.give_up_s)
