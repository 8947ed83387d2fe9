"""Producers may compress by any of Kafka's codecs: both of the clients that read their topics can."""

import asyncio
import json

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Producer
from kafka import KafkaConsumer

from stream_app.local import LocalKafka
from tests.bench.ground import Broker, unique

EVENTS = [json.dumps({"event_id": f"e{number}", "user_id": "u", "item_id": "i" * 50}).encode() for number in range(50)]
WAIT_MS = 30_000


@pytest.fixture(scope="module", params=["none", "gzip", "snappy", "lz4", "zstd"])
def topic(request: pytest.FixtureRequest, kafka: LocalKafka) -> str:
    """Of one partition, with events compressed so."""
    name = unique(f"compressed-{request.param}")
    Broker(kafka.bootstrap).create([name], 1)
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap, "compression.type": request.param, "linger.ms": 50, "log_level": 2}
    )
    for event in EVENTS:
        producer.produce(name, event)
    assert not producer.flush(30)
    return name


def test_the_trainer_s_and_the_catalogue_s_client_reads_it(topic: str, kafka: LocalKafka) -> None:
    consumer = KafkaConsumer(
        topic, bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=WAIT_MS
    )
    found = [next(consumer).value for _ in EVENTS]
    consumer.close()
    assert found == EVENTS


def test_the_worker_s_client_reads_it(topic: str, kafka: LocalKafka) -> None:
    async def read() -> list[bytes]:
        async with AIOKafkaConsumer(topic, bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest") as consumer:
            return [(await asyncio.wait_for(consumer.getone(), WAIT_MS / 1000)).value for _ in EVENTS]

    assert asyncio.run(read()) == EVENTS
