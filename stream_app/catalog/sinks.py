"""Where knowledge goes: its topic, Redis, and what is no item to the dead letters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from kafka import KafkaProducer
from kafka.errors import KafkaError
from redis import Redis, RedisCluster

from stream_app.access import kafka_options, redis_options
from stream_app.catalog.vectors import ItemVectors
from stream_app.contracts.dead_letter import dead_letter
from stream_app.contracts.knowledge import Knowledge, encode, unpacked
from stream_app.contracts.redis_layout import ItemField, PlaceField, item_key, place_key
from stream_app.contracts.validity import Rejected
from stream_app.reaching import reaching
from stream_app.settings import Settings

Float32 = npt.NDArray[np.float32]

_LARGEST_LETTER = 2 << 20
"""A record as large as Kafka takes by default, and what is said of it; the topic takes no more either."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a model version has n items: ids, float32 [n, DIM] and float32 [n]."""

    version: str
    ids: list[str]
    vectors: Float32
    bias: Float32

    def parts(self, most: int) -> Iterator["Places"]:
        """In their order, at most so many items each."""
        for start in range(0, len(self.ids), most):
            part = slice(start, start + most)
            yield Places(self.version, self.ids[part], self.vectors[part], self.bias[part])


class KnowledgeTopic:
    """Writes to the knowledge topic and the dead letters; what it returns from is acknowledged by all replicas."""

    def __init__(self, settings: Settings) -> None:
        """Raises `KafkaUnreachableError`."""
        self._topics, self._timeout_s = settings.kafka.topics, settings.flush.timeout_s
        with reaching(settings, KafkaError, ValueError):
            self._producer = KafkaProducer(
                bootstrap_servers=settings.kafka.bootstrap.split(","),
                acks="all",
                compression_type="lz4",
                linger_ms=5,
                max_request_size=_LARGEST_LETTER,
                **kafka_options(settings.kafka),
            )

    def write(self, knowledge: Sequence[Knowledge], rejected: Sequence[Rejected]) -> None:
        """Raises KafkaError if some of it was not acknowledged; all of it may be written again."""
        sent: list[Any] = [
            self._producer.send(self._topics.knowledge, encode(one), key=one.item_id.encode()) for one in knowledge
        ]
        for one in rejected:
            key, value, headers = dead_letter(one)
            sent.append(self._producer.send(self._topics.dead_letters, value, key=key, headers=headers))
        for future in sent:
            future.get(timeout=self._timeout_s)

    def close(self) -> None:
        """What was sent is acknowledged already."""
        self._producer.close(timeout=self._timeout_s)


class ItemHashes:
    """Writes `item:{item_id}` in Redis, and `item:vectors` where the server has vector sets; see
    `contracts.redis_layout`."""

    def __init__(self, settings: Settings) -> None:
        """Connects to a cluster only; raises RedisError then."""
        redis, self._generation = settings.redis, settings.kafka.generation
        self._client: Any = (RedisCluster if redis.cluster else Redis).from_url(
            redis.url.get_secret_value(), socket_timeout=redis.timeout_s, **redis_options(redis)
        )
        self._vectors = ItemVectors(self._client, self._generation)

    def write(self, knowledge: Sequence[Knowledge]) -> None:
        """One round trip, and one for those that leave the vector set. Raises RedisError; it may be repeated
        harmlessly."""
        if not knowledge:
            return
        pipeline = self._client.pipeline(transaction=False)
        for one in knowledge:
            item = one.item_id.encode()
            if one.deleted:
                for key in {item_key(item), place_key(item, self._generation)}:
                    pipeline.delete(key)
            else:
                pipeline.hset(item_key(item), mapping=item_fields(one))
        pipeline.execute()
        self._vectors.remove([one.item_id for one in knowledge if one.deleted])

    def place(self, places: Places) -> None:
        """Write where the model has these items, in one round trip, and a few for the vector set. Raises RedisError;
        may be repeated harmlessly."""
        pipeline = self._client.pipeline(transaction=False)
        for item, vector, bias in zip(places.ids, places.vectors, places.bias.tolist(), strict=True):
            mapping = {PlaceField.VECTOR: vector.astype("<f4").tobytes(), PlaceField.BIAS: repr(bias)}
            key = place_key(item.encode(), self._generation)
            pipeline.hset(key, mapping={**mapping, PlaceField.MODEL: places.version})
        pipeline.execute()
        self._vectors.put(places.ids, places.vectors, places.bias)

    def close(self) -> None:
        """Leave."""
        self._client.close()


def item_fields(knowledge: Knowledge) -> dict[Any, Any]:
    """The hash of an item."""
    return {
        ItemField.TITLE: knowledge.title,
        ItemField.TOPICS: msgspec.json.encode(knowledge.topics),
        ItemField.AUDIENCE: knowledge.audience,
        ItemField.MOOD: knowledge.mood,
        ItemField.CREATOR: knowledge.creator_id,
        ItemField.PUBLISHED_AT: knowledge.published_at,
        ItemField.CONTENT: unpacked(knowledge.vector).astype("<f4").tobytes(),
        ItemField.ENCODER: knowledge.encoder,
        ItemField.UPDATED_AT: knowledge.made_at,
    }
