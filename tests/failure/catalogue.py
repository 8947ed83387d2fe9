"""A catalogue service in this process, and its world: what producers say, and what becomes of it."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pytest
import redis
from confluent_kafka import Message, Producer

from model_store.catalog.annotators.taxonomy import Topic
from model_store.catalog.encoders.hashing import HashingEncoder
from model_store.catalog.encoders.port import Float32
from model_store.catalog.errors import RefusedError, UnavailableError
from stream_app.catalog import start
from stream_app.catalog.loop import Catalog
from stream_app.catalog.metrics import CatalogMetrics
from stream_app.contracts.knowledge import Knowledge, decode, unpacked
from stream_app.settings import Settings
from tests.failure.found import read_topic

TOPICS = ("Drama", "War")
TOPICS_TEXTS = {Topic(name, name).text() for name in TOPICS}
WAIT_S = 60.0


class Said(NamedTuple):
    """The last that a producer has said of an item."""

    title: str
    description: str = ""
    creator_id: str = ""


@dataclass
class Encoder:
    """The hashing encoder, that counts, fails when told to, and hangs while its gate is not set."""

    name: str = "hashing:64"
    texts: list[str] = field(default_factory=list)
    away: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    hangs: threading.Event = field(default_factory=threading.Event)
    _inner: HashingEncoder = field(default_factory=lambda: HashingEncoder(64))

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def dimension(self) -> int:
        return 64

    def encode(self, texts: Sequence[str]) -> Float32:
        if not self.gate.is_set():
            self.hangs.set()
            assert self.gate.wait(WAIT_S)
        if self.away:
            self.away -= 1
            raise UnavailableError("away")
        if any("Unspeakable" in text for text in texts):
            raise RefusedError("no")
        self.texts += texts
        return self._inner.encode(texts)


@dataclass
class World:
    settings: Settings
    encoder: Encoder
    metrics: CatalogMetrics = field(default_factory=CatalogMetrics)
    producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        self.producer = Producer({"bootstrap.servers": self.settings.kafka.bootstrap, "log_level": 3})

    def say(self, item: str, /, **fields: object) -> None:
        self.say_raw(item.encode(), json.dumps({"item_id": item, "title": item.title(), **fields}).encode())

    def say_raw(self, key: bytes | None, value: bytes | None) -> None:
        self.producer.produce(self.settings.kafka.topics.items, value, key)
        assert not self.producer.flush(30)

    @contextmanager
    def service(self) -> Iterator[Catalog]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(start, "build_encoder", lambda _config: self.encoder)
            with start.catalog_of(self.settings, TOPICS, self.metrics, threading.Event()) as catalog:
                yield catalog

    @property
    def described(self) -> list[str]:
        """Texts of items, in the order in which they were encoded."""
        return [text for text in self.encoder.texts if text not in TOPICS_TEXTS]

    def work_off(self) -> None:
        with self.service() as catalog:
            catalog.run(once=True)

    @contextmanager
    def running(self) -> Iterator[Catalog]:
        """The service, at work in a thread until the end of the block."""
        with self.service() as catalog:
            thread = threading.Thread(target=catalog.run, daemon=True)
            thread.start()
            try:
                yield catalog
            finally:
                catalog._stop.set()
                thread.join(WAIT_S)
                assert not thread.is_alive()

    @staticmethod
    def decoded(record: Message) -> Knowledge:
        return decode(record.value() or b"")

    def told(self, item: str) -> list[Knowledge]:
        """All that was ever told of an item."""
        records = read_topic(self.settings.kafka.bootstrap, self.settings.kafka.topics.knowledge)
        return [decode(record.value() or b"") for record in records if record.key() == item.encode()]

    def knowledge(self) -> dict[str, Knowledge]:
        records = read_topic(self.settings.kafka.bootstrap, self.settings.kafka.topics.knowledge)
        return {(record.key() or b"").decode(): decode(record.value() or b"") for record in records}

    def assert_is(self, truth: Mapping[str, Said | None]) -> None:
        """That of these items, and no others, is known what was said last, None for a deletion; in Redis too."""
        known = self.knowledge()
        assert set(known) == set(truth)
        for item, said in truth.items():
            found = self.in_redis(item)
            assert known[item].deleted == (said is None) == (not found)
            if said is not None:
                text = f"{said.title}. {said.description}" if said.description else said.title
                vector = HashingEncoder(64).encode([text])[0]
                np.testing.assert_allclose(unpacked(known[item].vector), vector, atol=1e-3)
                np.testing.assert_allclose(np.frombuffer(found[b"content"], "<f4"), vector, atol=1e-3)
                assert (known[item].title, known[item].creator_id) == (said.title, said.creator_id)
                assert (found[b"title"].decode(), found[b"creator_id"].decode()) == (said.title, said.creator_id)

    def in_redis(self, item: str) -> dict[bytes, bytes]:
        with redis.Redis.from_url(self.settings.redis.url.get_secret_value()) as client:
            found: dict[bytes, bytes] = client.hgetall(f"item:{{{item}}}")
            return found

    def count(self, outcome: str) -> float:
        return float(self.metrics.items.labels(outcome)._value.get())
