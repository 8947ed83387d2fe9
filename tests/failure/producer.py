"""Sends what people do at an even rate until SIGTERM, and writes down what it sent, in that order.

    python -m tests.failure.producer SETTINGS.json JOURNAL

The journal has one JSON object a line, the last one is {"end": number of events}; it is whole only if every event was
acknowledged.
"""

import json
import random
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from tests.failure.people import Event, Person, crowd

LOOK_S, COMMITTED_S = 1.0, 5.0
TICK_S = 0.01
TRIES = 1_000


@dataclass(frozen=True)
class Orders:
    """`topics`: kind of event -> topic."""

    bootstrap: str
    group: str
    topics: dict[str, str]
    users: int
    rate: float
    seed: int

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def read(path: Path) -> "Orders":
        return Orders(**json.loads(path.read_text()))


class Stage:
    """Sends events; lets a silent user speak again once the group has committed everything that made it silent."""

    def __init__(self, orders: Orders, journal: TextIO) -> None:
        self._orders, self._journal = orders, journal
        # An administration client aborts the process if its broker dies at a bad moment; a consumer only fails.
        self._group = Consumer({"bootstrap.servers": orders.bootstrap, "group.id": orders.group, "log_level": 3})
        self._people = list(crowd(orders.users, orders.seed))
        self._dice = random.Random(orders.seed)
        self._waiting: dict[str, tuple[Person, int, int]] = {}
        self._looked_s = 0.0
        self._errors: list[Any] = []
        self.sent = 0
        self._producer = Producer(
            {
                "bootstrap.servers": orders.bootstrap,
                "log_level": 3,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 2,
            }
        )

    def step(self, count: int) -> None:
        """Send `count` events, and look after the silent ones from time to time."""
        now_ms = time.time_ns() // 1_000_000
        for _ in range(count):
            self._send(self._somebody(now_ms), now_ms)
        self._producer.poll(0)
        if time.monotonic() - self._looked_s > LOOK_S:
            self._looked_s = time.monotonic()
            with suppress(KafkaException):  # the broker may be away; it is asked again later
                self._wake()

    def _somebody(self, now_ms: int) -> Person:
        for _ in range(TRIES):
            person = self._dice.choice(self._people)
            if person.may_act(now_ms):
                return person
        raise ValueError("the rate is too high for so few users: see MOST in tests/failure/people.py")

    def _send(self, person: Person, now_ms: int) -> None:
        event = person.act(now_ms)
        self._journal.write(json.dumps(event) + "\n")
        value = json.dumps({name: part for name, part in event.items() if name != "kind"}).encode()
        self._producer.produce(
            self._orders.topics[event["kind"]],
            value,
            person.user.encode(),
            on_delivery=lambda error, message: self._delivered(error, message, person, event),
        )
        self.sent += 1

    def _delivered(self, error: Any, message: Message, person: Person, event: Event) -> None:
        if error is not None:
            self._errors.append(error)
        elif event["kind"] == "erasure" and person.silent:
            self._waiting[person.user] = (person, message.partition() or 0, message.offset() or 0)

    def _wake(self) -> None:
        topic = self._orders.topics["erasure"]
        places = [TopicPartition(topic, number) for number in {partition for _, partition, _ in self._waiting.values()}]
        committed = {at.partition: at.offset for at in self._group.committed(places, COMMITTED_S)} if places else {}
        for person, partition, offset in list(self._waiting.values()):
            if committed[partition] > offset:
                person.silent = False
                del self._waiting[person.user]

    def finish(self) -> None:
        """Wait for every acknowledgement. Raises KafkaException for the first that failed."""
        left = self._producer.flush(60)
        if self._errors:
            raise KafkaException(self._errors[0])
        if left:
            raise TimeoutError(f"{left} events were not acknowledged within 60 s")
        self._journal.write(json.dumps({"end": self.sent}) + "\n")


class _Until:
    """Becomes true at SIGTERM."""

    def __init__(self) -> None:
        self.over = False
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: object) -> None:
        self.over = True


def main(settings: Path, journal: Path) -> None:
    until, orders = _Until(), Orders.read(settings)
    with journal.open("w") as out:
        stage = Stage(orders, out)
        began = time.monotonic()
        while not until.over:
            stage.step(int((time.monotonic() - began) * orders.rate) - stage.sent)
            time.sleep(TICK_S)
        stage.finish()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
