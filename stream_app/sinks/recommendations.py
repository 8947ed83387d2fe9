"""Recommendation events into their topic, keyed by user, where Kafka's default partitioner would put them."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from model_store.state.hashing import partition_of
from stream_app.contracts.recommendations import Encoded
from stream_app.sinks.kafka_batches import (
    GIVE_UP_S,
    NO_HEADERS,
    GetProducer,
    KafkaRecord,
    partitions_of,
    publish,
    wall_clock_ms,
)

# Partitions are computed so many at a time, a millisecond or two, before the event loop gets a turn.
_TURN = 1_000


class KafkaRecommendations:
    """Publishes recommendations.

    Args:
        producer: gives the started producer; asked at each call, since Faust makes it late.
        topic: name; it may have any number of partitions.
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

    async def publish(self, recommendations: Sequence[Encoded]) -> None:
        """Returns when Kafka has acknowledged all of them; raises SinkStopped if it does not.

        Repeating it repeats the event ids.
        """
        if not recommendations:
            return
        producer = self._producer()
        partitions = await partitions_of(producer, self._topic, self._give_up_s)
        records: dict[int, list[KafkaRecord]] = defaultdict(list)
        for number, one in enumerate(recommendations, start=1):
            if number % _TURN == 0:
                await asyncio.sleep(0)
            records[partition_of(one.key, partitions)].append((one.key, one.value, NO_HEADERS))
        await publish(producer, self._topic, records, self._clock(), self._give_up_s)
