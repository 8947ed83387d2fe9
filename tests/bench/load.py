"""How fast the load generator is, so that no other figure here is its speed in disguise.

    python -m tests.bench.load --json FILE
    python -m tests.bench.load preload --kafka HOST:PORT --events 400000
    python -m tests.bench.load paced   --kafka HOST:PORT --rate 2000 --seconds 60

Events are sent from C (librdkafka) in a process of their own. The first command starts a Kafka and measures; the others
send to yours, whose topics exist. JSON: `preload_events_per_second`, `paced_events_per_second` (asked for: `rate`) and
`paced_cpu`, the share of one core that pacing takes. Eight of ten events are clicks, one is a follow, one a rating.
Keys are partitioned by murmur2, as Java clients do.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from confluent_kafka import KafkaError, KafkaException, Producer

from stream_app.settings import Topics
from tests.bench.report import save, show

Int64 = npt.NDArray[np.int64]

CLICK, FOLLOW, RATING = 0, 1, 2
SHARES = (0.8, 0.1, 0.1)
CREATORS = 1_000
TICK_S = 0.002
# Critical ones: what heals itself (a coordinator still loading) or is over (a broker that ended) is no news, and what
# was not sent raises.
LIBRDKAFKA_LOG = 2


class Followed(StrEnum):
    """Whom users follow: creators of whom no model knows anything, or each other."""

    CREATOR = "creator"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Population:
    """Who acts on what. `zipf` 0: every user is as likely as any other; otherwise the exponent over the user's rank,
    with everything beyond the last rank falling on the last user."""

    users: int = 20_000
    items: int = 5_000
    zipf: float = 0.0
    seed: int = 1
    user_prefix: str = "u"
    followed: Followed = Followed.CREATOR


@dataclass(frozen=True, slots=True)
class Events:
    """Columns of n events in the order in which they are sent; `value` is dwell in ms, or 1..5 for a rating."""

    population: Population
    kind: Int64
    user: Int64
    target: Int64
    value: Int64

    def __len__(self) -> int:
        return len(self.kind)

    def message(self, i: int, ts_ms: int) -> tuple[int, bytes, bytes]:
        """Kind, key and value of event `i`."""
        user = b"%s%d" % (self.population.user_prefix.encode(), self.user[i])
        kind = int(self.kind[i])
        if kind == FOLLOW:
            body = FOLLOWS[self.population.followed] % self.target[i]
        else:
            body = BODIES[kind] % (self.target[i], self.value[i])
        return kind, user, b'{"event_id":"%d-%d","user_id":"%s",%s,"ts":%d}' % (
            self.population.seed, i, user, body, ts_ms,
        )  # fmt: skip


BODIES = {
    CLICK: b'"item_id":"i%d","dwell_ms":%d',
    RATING: b'"item_id":"i%d","rating":%d',
}
FOLLOWS = {
    Followed.CREATOR: b'"target_id":"c%d","target_type":"creator","action":"follow"',
    Followed.USER: b'"target_id":"u%d","target_type":"user","action":"follow"',
}


def generate(population: Population, events: int) -> Events:
    rng = np.random.default_rng(population.seed)
    kind = rng.choice(3, events, p=SHARES)
    targets = population.users if population.followed == Followed.USER else CREATORS
    target = np.where(kind == FOLLOW, rng.integers(0, targets, events), rng.integers(0, population.items, events))
    value = np.where(kind == RATING, rng.integers(1, 6, events), rng.integers(500, 120_000, events))
    return Events(population, kind, _users(rng, population, events), target, value)


def _users(rng: np.random.Generator, population: Population, events: int) -> Int64:
    if not population.zipf:
        return rng.integers(0, population.users, events)
    return np.minimum(rng.zipf(population.zipf, events) - 1, population.users - 1)


def preload(bootstrap: str, topics: Topics, events: Events, end_ms: int) -> float:
    """Sends all events as fast as the broker takes them, one event time a millisecond up to `end_ms`.

    Returns seconds. Raises KafkaException if an event was not acknowledged."""
    names = topics.inputs
    start_ms = end_ms - len(events)
    began = time.perf_counter()
    with Sender(bootstrap, linger_ms=20) as sender:
        for i in range(len(events)):
            kind, key, value = events.message(i, start_ms + i)
            sender.send(names[kind], key, value)
    return time.perf_counter() - began


def pace(bootstrap: str, topics: Topics, events: Events, rate: float) -> float:
    """Sends the events at an even `rate`, in ticks of two milliseconds; `ts` is the wall clock at sending.

    Returns the rate reached, in events/s. Raises KafkaException if an event was not acknowledged."""
    names = topics.inputs
    began = time.perf_counter()
    with Sender(bootstrap, linger_ms=1) as sender:
        for first, last in _ticks(len(events), rate):
            now_ms = time.time_ns() // 1_000_000
            for i in range(first, last):
                kind, key, value = events.message(i, now_ms)
                sender.send(names[kind], key, value)
        seconds = time.perf_counter() - began
    return len(events) / max(seconds, 1e-9)


def _ticks(events: int, rate: float) -> Iterator[tuple[int, int]]:
    """Ranges of events as they become due, sleeping in between."""
    began, sent = time.perf_counter(), 0
    while sent < events:
        due = min(events, int((time.perf_counter() - began) * rate) + 1)
        if due > sent:
            yield sent, due
            sent = due
        time.sleep(TICK_S)


class Sender:
    """A librdkafka producer that fails loudly: its end waits for every acknowledgement and raises the first error."""

    def __init__(self, bootstrap: str, linger_ms: int) -> None:
        self._error: KafkaError | None = None
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "log_level": LIBRDKAFKA_LOG,
                # librdkafka's default partitioner hashes otherwise than Java's, which would split a user in two.
                "partitioner": "murmur2_random",
                "linger.ms": linger_ms,
                "batch.size": 262_144,
                "queue.buffering.max.messages": 1_000_000,
                "enable.idempotence": True,
                # Delivery reports are events that Python must fetch one by one: only the failed ones are wanted.
                "delivery.report.only.error": True,
                "on_delivery": self._delivered,
            }
        )

    def _delivered(self, error: KafkaError | None, _: Any) -> None:
        self._error = self._error or error

    def __enter__(self) -> "Sender":
        return self

    def send(self, topic: str, key: bytes, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key)
                return
            except BufferError:
                self._producer.poll(0.01)

    def __exit__(self, *_: object) -> None:
        left = self._producer.flush(60)
        if self._error is not None:
            raise KafkaException(self._error)
        if left:
            raise TimeoutError(f"{left} events were not acknowledged within 60 s; is the broker alive?")


cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Kafka = Annotated[str, typer.Option(help="Bootstrap server, HOST:PORT.")]
Prefix = Annotated[str, typer.Option(help="Prefix of the topics: PREFIX.clicks, PREFIX.follows, PREFIX.ratings.")]


def topics_named(prefix: str) -> Topics:
    """The eight topics under one prefix."""
    return Topics(
        clicks=f"{prefix}.clicks",
        follows=f"{prefix}.follows",
        ratings=f"{prefix}.ratings",
        erasures=f"{prefix}.erasures",
        items=f"{prefix}.items",
        knowledge=f"{prefix}.knowledge",
        recommendations=f"{prefix}.recommendations",
        dead_letters=f"{prefix}.dead-letters",
    )


@cli.callback(invoke_without_command=True)
def measure(
    context: typer.Context,
    events: int = 400_000,
    rate: float = 5_000,
    seconds: float = 10,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT instead of one that is started here.")] = None,
    redis: Annotated[str | None, typer.Option(help="Not used: for a call that names both.")] = None,
) -> None:
    """Measure the generator itself; PRELOAD and PACED send to a Kafka of yours."""
    if context.invoked_subcommand is None:
        figures = _measured(kafka, events, rate, seconds)
        show("load generator", [figures])
        save(json, figures)


def _measured(kafka: str | None, events: int, rate: float, seconds: float) -> dict[str, float]:
    from tests.bench.ground import Broker, kafka_ground, unique

    topics = topics_named(unique("load"))
    with kafka_ground(kafka) as bootstrap:
        broker = Broker(bootstrap)
        broker.create(list(topics.inputs), 4)
        preloaded = preload(bootstrap, topics, generate(Population(), events), time.time_ns() // 1_000_000)
        cpu = time.process_time()
        reached = pace(bootstrap, topics, generate(Population(seed=2), int(rate * seconds)), rate)
        cpu = time.process_time() - cpu
        broker.delete(list(topics.inputs))
    return {
        "preload_events_per_second": events / preloaded,
        "rate": rate,
        "paced_events_per_second": reached,
        "paced_cpu": cpu / seconds,
    }


@cli.command("preload")
def preload_command(
    kafka: Kafka, prefix: Prefix = "interest", events: int = 400_000, users: int = 20_000, items: int = 5_000,
    zipf: float = 0.0, seed: int = 1,
) -> None:  # fmt: skip
    """As many events as there are, as fast as the broker takes them."""
    drawn = generate(Population(users, items, zipf, seed), events)
    seconds = preload(kafka, topics_named(prefix), drawn, time.time_ns() // 1_000_000)
    typer.echo(f"{events} events in {seconds:.1f} s, {events / seconds:,.0f} events/s")


@cli.command("paced")
def paced_command(
    kafka: Kafka, prefix: Prefix = "interest", rate: float = 2_000, seconds: float = 60, users: int = 20_000,
    items: int = 5_000, zipf: float = 0.0, seed: int = 1, followed: Followed = Followed.CREATOR,
) -> None:  # fmt: skip
    """An even stream: `rate` events/s for `seconds`."""
    drawn = generate(Population(users, items, zipf, seed, followed=followed), int(rate * seconds))
    reached = pace(kafka, topics_named(prefix), drawn, rate)
    typer.echo(f"{len(drawn)} events at {reached:,.0f} events/s")


if __name__ == "__main__":
    cli()
