"""Sends records to Kafka at a chosen pace.

Keys are user ids and the partitioner is Kafka's own (murmur2), so a user's events stay together. Records are stamped
with the present and keep their event time in `ts`: Kafka's retention looks at record times, and would throw a replay
of 1997 away at its next clean-up.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.partitioner import DefaultPartitioner

from stream_app.access import kafka_options
from stream_app.reaching import reach_timeout_ms, reaching
from stream_app.settings import Settings
from stream_app.sources import Record, Source, topic_of

# Sleeping costs more than it paces below this.
MIN_SLEEP_S = 0.001
PROGRESS_EVERY = 256
DELIVERY_TIMEOUT_MS = 60_000


class ReplayError(RuntimeError):
    """Records were not delivered. The message says which and why."""


@dataclass(frozen=True)
class Pace:
    """How fast: `rate` events/s (0: no limit); or `speedup` times as fast as the events happened (0: not used)."""

    rate: float = 0.0
    speedup: float = 0.0

    def due_s(self, number: int, ts_ms: int, first_ts_ms: int) -> float:
        """Seconds from the start at which the record with this number (from 0) and event time is due."""
        if self.speedup:
            return max(0.0, (ts_ms - first_ts_ms) / 1000 / self.speedup)
        return number / self.rate if self.rate else 0.0


@dataclass(frozen=True)
class Replayed:
    """What was delivered: events by kind, and how long it took."""

    by_kind: dict[str, int]
    seconds: float

    @property
    def events(self) -> int:
        return sum(self.by_kind.values())

    @property
    def user_events(self) -> int:
        """All but the words on items, which are no worker's."""
        return self.events - self.by_kind.get("item", 0)

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds if self.seconds else 0.0


def replay(
    source: Source,
    settings: Settings,
    pace: Pace = Pace(),
    *,
    progress: Callable[[int], None] = lambda _sent: None,
    stop: threading.Event | None = None,
) -> Replayed:
    """Send all of `source` and wait until the broker has it; `stop` ends it early. `progress` gets the number sent.

    Raises `KafkaUnreachableError`, `ReplayError` (what is not delivered), and what the source raises.
    """
    stop = stop or threading.Event()
    sender = _Sender(settings, paced=bool(pace.rate or pace.speedup))
    started = time.monotonic()
    try:
        for number, record in enumerate(_paced(source.records(), pace, stop)):
            sender.send(record)
            if number % PROGRESS_EVERY == 0:
                progress(number)
        sender.flush()
    finally:
        sender.close()
    progress(sender.sent.total())
    return Replayed(dict(sender.sent), time.monotonic() - started)


def _paced(records: Iterator[Record], pace: Pace, stop: threading.Event) -> Iterator[Record]:
    """The records, each when it is due."""
    started = time.monotonic()
    first_ts = None
    for number, record in enumerate(records):
        first_ts = record.ts_ms if first_ts is None else first_ts
        ahead = started + pace.due_s(number, record.ts_ms, first_ts) - time.monotonic()
        if ahead > MIN_SLEEP_S:
            stop.wait(ahead)
        if stop.is_set():
            return
        yield record


class _Sender:
    """A producer that counts what it sent and remembers the first failure."""

    def __init__(self, settings: Settings, *, paced: bool) -> None:
        self.sent: Counter[str] = Counter()
        self._topics = {
            kind: topic_of(kind, settings.kafka.topics) for kind in ("click", "follow", "rating", "erasure", "item")
        }
        self._failure: Exception | None = None
        options = kafka_options(settings.kafka)
        with reaching(settings, KafkaError, ValueError):
            self._producer = KafkaProducer(
                bootstrap_servers=settings.kafka.bootstrap.split(","),
                bootstrap_timeout_ms=reach_timeout_ms(settings.kafka),
                **options,
                partitioner=_RememberingPartitioner(),
                # lz4 is quicker than none here: the checksum is in Python, and so is of fewer bytes.
                compression_type="lz4",
                batch_size=1 << 18,
                linger_ms=0 if paced else 20,
                delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
                max_block_ms=DELIVERY_TIMEOUT_MS,
                metrics_enabled=False,
            )

    def send(self, record: Record) -> None:
        if self._failure is not None:
            self._raise_failure()
        future = self._producer.send(self._topics[record.kind], record.value, record.key)
        future.add_errback(self._failed)
        self.sent[record.kind] += 1

    def flush(self) -> None:
        self._producer.flush()
        if self._failure is not None:
            self._raise_failure()

    def close(self) -> None:
        self._producer.close(timeout=5)

    def _failed(self, problem: Exception) -> None:
        self._failure = self._failure or problem

    def _raise_failure(self) -> None:
        raise ReplayError(
            f"Kafka did not take a record after {self.sent.total()} were sent: {self._failure}. "
            "`interest doctor` says whether the broker and the topics are right"
        ) from self._failure


class _RememberingPartitioner(DefaultPartitioner):  # type: ignore[misc]  # the library has no types
    """Kafka's default; it hashes in Python, so each key is hashed once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], int] = {}

    def partition(
        self, topic: str, key: Any, serialized_key: bytes, value: Any, serialized_value: Any, cluster: Any
    ) -> int:
        known = self._known.get((topic, serialized_key))
        if known is None:
            known = super().partition(topic, key, serialized_key, value, serialized_value, cluster)
            self._known[topic, serialized_key] = known
        return known
