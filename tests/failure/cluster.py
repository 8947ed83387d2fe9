"""Several Kafka brokers, each a controller as well, with three copies of everything of which two must be in sync."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    PartitionMetadata,
    ResourceType,
)

from stream_app.local import LocalKafka
from stream_app.local.kafka import new_cluster_id
from stream_app.local.server import HOST, free_port

WAIT_S = 90.0
PROPERTIES: Mapping[str, object] = {
    "min.insync.replicas": 2,
    "offsets.topic.replication.factor": 3,
    "transaction.state.log.replication.factor": 3,
    "transaction.state.log.min.isr": 2,
    # Three of them share this machine with everything else.
    "broker.session.timeout.ms": 6000,
    "controller.quorum.fetch.timeout.ms": 6000,
    "controller.quorum.election.timeout.ms": 3000,
}


class Node(LocalKafka):
    """One of the brokers. `controllers`: address of each one's controller, by number from 1."""

    def __init__(self, folder: Path, number: int, controllers: Mapping[int, str], cluster_id: str) -> None:
        super().__init__(folder)
        self.number, self._controllers, self._id = number, controllers, cluster_id

    def _cluster_id(self) -> str:
        return self._id

    def _properties(self) -> dict[str, object]:
        ours = {
            **PROPERTIES,
            "node.id": self.number,
            "listeners": f"BROKER://{self.address},CONTROLLER://{self._controllers[self.number]}",
            "controller.quorum.voters": ",".join(f"{number}@{at}" for number, at in self._controllers.items()),
        }
        return {**super()._properties(), **ours}


class Cluster:
    """To faults it is what a single broker is: they strike all of its brokers at once, unless they name one."""

    def __init__(self, folder: Path, brokers: int) -> None:
        controllers = {number: f"{HOST}:{free_port()}" for number in range(1, brokers + 1)}
        cluster_id = new_cluster_id()
        self.nodes = [Node(folder / f"broker-{number}", number, controllers, cluster_id) for number in controllers]

    def __enter__(self) -> Self:
        self._all(LocalKafka.start)  # none answers before most of them run
        return self

    def __exit__(self, *_: object) -> None:
        self._all(LocalKafka.stop)

    @property
    def bootstrap(self) -> str:
        return ",".join(node.bootstrap for node in self.nodes)

    def kill(self) -> None:
        self._all(LocalKafka.kill)

    def restart(self) -> None:
        self._all(LocalKafka.restart)

    def pause(self) -> None:
        self._all(LocalKafka.pause)

    def resume(self) -> None:
        self._all(LocalKafka.resume)

    def leader_of(self, topic: str, partition: int) -> Node:
        return self.nodes[self._partitions(topic)[partition].leader - 1]

    def wait_in_sync(self, topics: Iterable[str], copies: int) -> None:
        """Until each partition of the topics has exactly that many copies in sync. Raises TimeoutError."""
        until_s = time.monotonic() + WAIT_S
        while wrong := [topic for topic in topics if self._copies(topic) != {copies}]:
            if time.monotonic() > until_s:
                raise TimeoutError(f"{wrong} have not {copies} copies in sync after {WAIT_S:.0f} s")
            time.sleep(0.2)

    def require_in_sync(self, topic: str, copies: int) -> None:
        """A write of the topic is confirmed by that many copies or refused."""
        entry = ConfigEntry("min.insync.replicas", str(copies), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin = self._admin()  # a client that nobody holds ends at once
        admin.incremental_alter_configs([resource])[resource].result(WAIT_S)

    def _copies(self, topic: str) -> set[int]:
        return {len(partition.isrs) for partition in self._partitions(topic).values()}

    def _partitions(self, topic: str) -> Mapping[int, PartitionMetadata]:
        return self._admin().list_topics(topic, timeout=WAIT_S).topics[topic].partitions

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 3})

    def _all(self, act: Callable[[Node], object]) -> None:
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(act, self.nodes))


def nodes_of(kafka: LocalKafka | Cluster) -> Sequence[LocalKafka]:
    """The brokers, one by one."""
    return kafka.nodes if isinstance(kafka, Cluster) else [kafka]
