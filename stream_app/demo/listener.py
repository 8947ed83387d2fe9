"""Follows what comes out: the recommendations topic from now on, and the knowledge topic from its beginning."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import msgspec
from kafka import KafkaConsumer, TopicPartition

from stream_app.access import kafka_options
from stream_app.contracts import knowledge, recommendations
from stream_app.contracts.knowledge import Knowledge
from stream_app.contracts.recommendations import Recommendation
from stream_app.demo.errors import DemoError
from stream_app.settings import Settings

_POLL_MS = 100
_JOIN_S = 10.0


class Listener:
    """A thread, for as long as the `with` lasts. What it hears it says in that thread."""

    def __init__(
        self,
        settings: Settings,
        on_recommendation: Callable[[Recommendation], None],
        on_knowledge: Callable[[Knowledge], None],
    ) -> None:
        self._settings, self._topics = settings, settings.kafka.topics
        self._on_recommendation, self._on_knowledge = on_recommendation, on_knowledge
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._follow, name="listener", daemon=True)

    def __enter__(self) -> Self:
        self._consumer = KafkaConsumer(
            bootstrap_servers=self._settings.kafka.bootstrap.split(","),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            **kafka_options(self._settings.kafka),
        )
        made, told = self._at(self._topics.recommendations), self._at(self._topics.knowledge)
        self._consumer.assign([*made, *told])
        self._consumer.seek_to_beginning(*told)
        # From what is there now: positions are looked up before anything is made.
        for at, end in self._consumer.end_offsets(made).items():
            self._consumer.seek(at, end)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_JOIN_S)

    def check(self) -> None:
        """Raises `DemoError` if nobody listens any more."""
        if self._failure is not None:
            raise DemoError(f"what the worker publishes can no longer be read: {self._failure}") from self._failure

    def _at(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, partition) for partition in self._consumer.partitions_for_topic(topic) or ()]

    def _follow(self) -> None:
        try:
            while not self._stop.is_set():
                for at, records in self._consumer.poll(timeout_ms=_POLL_MS).items():
                    for record in records:
                        self._say(at.topic, record.value)
        except Exception as problem:  # whatever it is, the one who shows must know
            self._failure = problem
        finally:
            self._consumer.close()

    def _say(self, topic: str, value: bytes | None) -> None:
        """An erased user's tombstone says nothing here."""
        if value is None:
            return
        with suppress(msgspec.DecodeError, ValueError):
            if topic == self._topics.recommendations:
                self._on_recommendation(recommendations.decode(value))
            else:
                self._on_knowledge(knowledge.decode(value))
