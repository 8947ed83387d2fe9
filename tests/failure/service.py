"""A service's whole world, as its neighbours see it: they produce to Kafka and read from Redis and Kafka."""

import itertools
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from confluent_kafka import Message, Producer

from model_store.state.hashing import partition_of
from stream_app.client import Interest, InterestReader
from stream_app.settings import Settings
from tests.bench.ground import Broker
from tests.failure.found import read_topic

WAIT_S = 60.0
T = TypeVar("T")


class Neighbour:
    """Produces events for the workers of these settings, and looks at what they make of them."""

    def __init__(
        self, settings: Settings, partitioner: str = "murmur2_random", reader: InterestReader | None = None
    ) -> None:
        self.settings = settings
        self.reader = reader or InterestReader(settings.redis.url.get_secret_value())
        kinds = ("click", "follow", "rating", "erasure")
        self.topics = dict(zip(kinds, settings.kafka.topics.inputs, strict=True))
        self._numbers = itertools.count()
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka.bootstrap,
                "partitioner": partitioner,
                "enable.idempotence": True,
                "log_level": 3,
            }
        )

    def send(self, kind: str, user: str, **fields: Any) -> dict[str, Any]:
        """One valid event, unless `fields` make it otherwise; returns it. Not acknowledged before `flush`."""
        event = {"event_id": f"e{next(self._numbers)}", "user_id": user, "ts": now_ms(), **_BODIES[kind], **fields}
        self.send_raw(kind, user.encode(), json.dumps(event).encode())
        return event

    def send_raw(
        self,
        kind: str,
        key: bytes | None,
        value: bytes | None,
        partition: int = -1,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        self._producer.produce(self.topics[kind], value, key, partition, headers=list(headers))
        self._producer.poll(0)

    def flush(self) -> None:
        """Until Kafka has everything that was sent."""
        left = self._producer.flush(30)
        if left:
            raise TimeoutError(f"{left} events were not acknowledged")

    def interest(self, user: str, condition: Callable[[Interest], bool]) -> Interest:
        """The user's interests as soon as they are as the condition says. Raises TimeoutError."""
        self.flush()
        return wait_for(f"interests of {user}", lambda: _if(self.reader.get(user), condition))

    def events_of(self, user: str, events: int) -> Interest:
        """The user's interests once that many events count."""
        return self.interest(user, lambda interest: interest.events >= events)

    def recommendations(self, user: str) -> list[dict[str, Any]]:
        """All that were published for a user since the last erasure."""
        records = read_topic(self.settings.kafka.bootstrap, self.settings.kafka.topics.recommendations)
        values = [record.value() for record in records if record.key() == user.encode()]
        erased = max((place for place, value in enumerate(values, start=1) if value is None), default=0)
        return [json.loads(value or b"") for value in values[erased:]]

    def dead_letters(self) -> list[Message]:
        return read_topic(self.settings.kafka.bootstrap, self.settings.kafka.topics.dead_letters)

    def until_committed(self) -> None:
        """Until the group has committed everything that was sent."""
        self.flush()
        broker, names = Broker(self.settings.kafka.bootstrap), list(self.settings.kafka.topics.inputs)
        wait_for("commit", lambda: not broker.lag(self.settings.kafka.group, broker.ends(names)) or None)

    def users_in(self, partition: int, count: int) -> list[str]:
        """Users that nobody else uses, whose events belong to this partition."""
        return list(itertools.islice((user for user in _users() if self._partition(user) == partition), count))

    def _partition(self, user: str) -> int:
        return partition_of(user.encode(), self.settings.kafka.partitions)

    def close(self) -> None:
        self._producer.flush(5)
        self.reader.close()


_BODIES: Mapping[str, dict[str, Any]] = {
    "click": {"item_id": "i1"},
    "follow": {"target_id": "c1", "target_type": "creator", "action": "follow"},
    "rating": {"item_id": "i1", "rating": 4},
    "erasure": {},
}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def new_user() -> str:
    """A user that nobody else uses."""
    return f"user-{uuid.uuid4().hex[:10]}"


def _users() -> Any:
    while True:
        yield new_user()


def wait_for(what: str, look: Callable[[], T | None], timeout_s: float = WAIT_S) -> T:
    """The first value that is not None. Raises TimeoutError that says what did not come."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = look()
        if value is not None:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.02)


def _if(interest: Interest | None, condition: Callable[[Interest], bool]) -> Interest | None:
    return interest if interest is not None and condition(interest) else None
