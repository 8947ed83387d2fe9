"""The local servers: real, reusable, and gone when their owner is gone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import redis
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic
from kafka.structs import TopicPartition

from stream_app.local import LocalKafka, LocalServerError, LocalValkey

OWNER = """
import sys, threading, time
from stream_app.local import LocalKafka, LocalValkey
kafka, valkey = LocalKafka(sys.argv[1] + "/kafka"), LocalValkey(sys.argv[1] + "/valkey")
starter = threading.Thread(target=lambda: (kafka.start(), valkey.start()))
starter.start(); starter.join()
print(kafka.pid, valkey.pid, flush=True)
try:
    time.sleep(120)
finally:
    kafka.stop(), valkey.stop()
"""


def test_records_pass_through_the_broker(kafka: LocalKafka) -> None:
    assert _round_trip(kafka, "local.round-trip", b"hello") == [b"hello"]


def test_redis_answers(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("local:answer", "42", ex=60)
        assert client.get("local:answer") == b"42"


def test_killed_broker_comes_back_on_its_port_with_its_records(tmp_path: Path) -> None:
    with LocalKafka(tmp_path / "broker") as broker:
        assert _round_trip(broker, "before", b"kept") == [b"kept"]
        address = broker.bootstrap
        broker.kill()
        assert not broker.running
        broker.restart()
        assert broker.bootstrap == address
        assert _read(broker, "before") == [b"kept"]


def test_paused_server_is_silent_until_resumed(tmp_path: Path) -> None:
    with LocalValkey(tmp_path / "server") as server, redis.Redis.from_url(server.url, socket_timeout=0.2) as client:
        server.pause()
        with pytest.raises(redis.exceptions.TimeoutError):
            client.ping()
        server.resume()
        assert client.ping()


def test_folder_goes_with_the_server_unless_kept(tmp_path: Path) -> None:
    with LocalValkey(tmp_path / "dropped"), LocalValkey(tmp_path / "kept", keep=True):
        assert (tmp_path / "dropped").is_dir()
    assert not (tmp_path / "dropped").exists()
    assert (tmp_path / "kept").is_dir()


def test_kept_data_are_read_by_the_next_run(tmp_path: Path) -> None:
    for _ in range(2):
        with LocalValkey(tmp_path / "kept", keep=True) as server, redis.Redis.from_url(server.url) as client:
            runs = client.incr("runs")
    assert runs == 2


def test_second_server_on_a_folder_is_refused(tmp_path: Path) -> None:
    with LocalValkey(tmp_path / "one"), pytest.raises(LocalServerError, match=f"process {os.getpid()}"):
        LocalValkey(tmp_path / "one").start()


def test_taken_port_is_an_error_with_the_end_of_the_log(tmp_path: Path) -> None:
    with LocalValkey(tmp_path / "one") as first, pytest.raises(LocalServerError, match=r"ended with status 1[^$]*bind"):
        LocalValkey(tmp_path / "two", port=first.port).start()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_its_owner(tmp_path: Path, end: signal.Signals) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pids = [int(word) for word in owner.stdout.readline().split()]
    tree = psutil.Process(owner.pid).children(recursive=True)
    assert len(pids) == 2
    assert {process.pid for process in tree} >= set(pids)
    owner.send_signal(end)
    owner.wait(30)
    owner.stdout.close()
    _, alive = psutil.wait_procs(tree, timeout=20)
    assert alive == []


def _round_trip(broker: LocalKafka, topic: str, value: bytes) -> list[bytes]:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    producer.send(topic, value).get(30)
    producer.close()
    return _read(broker, topic)


def _read(broker: LocalKafka, topic: str) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    deadline = time.monotonic() + 30
    values: list[bytes] = []
    while not values and time.monotonic() < deadline:
        values = [record.value for records in consumer.poll(500).values() for record in records]
    consumer.close()
    return values
