"""The ground that a benchmark stands on: a Kafka and a Redis, its own or those it was given, and a folder."""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from stream_app.local import LocalKafka, LocalValkey
from tests.bench.load import LIBRDKAFKA_LOG
from tests.bench.report import console

HEAP_MB = 512
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a benchmark runs. `folder` is gone afterwards."""

    bootstrap: str
    redis_url: str
    folder: Path

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis_url)

    def empty_redis(self) -> None:
        """Between two measurements; this database is the benchmark's alone."""
        with self.redis() as client:
            client.flushdb()


@contextmanager
def ground(kafka: str | None = None, redis_url: str | None = None) -> Iterator[Ground]:
    """Starts what was not given. A given Redis database must be empty, and is emptied afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="interest-bench-")))
        bootstrap = stack.enter_context(kafka_ground(kafka))
        if redis_url is None:
            redis_url = stack.enter_context(LocalValkey(folder / "valkey")).url
        else:
            stack.enter_context(_borrowed(redis_url))
        yield Ground(bootstrap, redis_url, folder)


@contextmanager
def kafka_ground(kafka: str | None = None) -> Iterator[str]:
    """Bootstrap server of the given Kafka, or of one that is started here."""
    if kafka is not None:
        yield kafka
        return
    console.print("starting Kafka", style="dim")
    with (
        tempfile.TemporaryDirectory(prefix="interest-bench-") as folder,
        LocalKafka(Path(folder) / "kafka", heap_mb=HEAP_MB) as server,
    ):
        yield server.bootstrap


@contextmanager
def _borrowed(url: str) -> Iterator[None]:
    with redis.Redis.from_url(url) as client:
        held = client.dbsize()
        if held:
            raise SystemExit(
                f"{url} holds {held} keys: a benchmark needs an empty database, give another (redis://.../9)"
            )
        yield
        client.flushdb()


def unique(name: str) -> str:
    """A name for topics and groups that no earlier run has used."""
    return f"bench-{name}-{uuid.uuid4().hex[:8]}"


class Broker:
    """Topics and offsets of a cluster, by librdkafka's admin client. Raises KafkaException where the broker refuses."""

    def __init__(self, bootstrap: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": LIBRDKAFKA_LOG})

    def create(self, names: list[str], partitions: int, config: dict[str, str] | None = None) -> None:
        topics = [NewTopic(name, partitions, 1, config=config or {}) for name in names]
        for future in self._admin.create_topics(topics, operation_timeout=TIMEOUT_S).values():
            future.result()

    def delete(self, names: list[str]) -> None:
        """Frees the disk; topics that are not there are passed over."""
        held = [name for name in names if name in self._admin.list_topics(timeout=TIMEOUT_S).topics]
        for future in self._admin.delete_topics(held, operation_timeout=TIMEOUT_S).values() if held else ():
            future.result()

    def ends(self, names: list[str]) -> dict[tuple[str, int], int]:
        """End offset of each partition."""
        held = self._admin.list_topics(timeout=TIMEOUT_S).topics
        wanted = {
            TopicPartition(name, partition): OffsetSpec.latest()
            for name in names
            for partition in held[name].partitions
        }
        found = self._admin.list_offsets(wanted, request_timeout=TIMEOUT_S)
        return {(at.topic, at.partition): future.result().offset for at, future in found.items()}

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """Committed offset of each partition that the group has committed."""
        asked = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=TIMEOUT_S
        )
        return {(at.topic, at.partition): at.offset for at in asked[group].result().topic_partitions or []}

    def lag(self, group: str, ends: dict[tuple[str, int], int]) -> int:
        """Events before `ends` that the group has not committed."""
        committed = self.committed(group)
        return sum(max(0, end - max(0, committed.get(at, 0))) for at, end in ends.items())
