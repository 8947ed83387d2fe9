"""Bad events into the dead-letter topic, and the point at which there are too many of them."""

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from stream_app.contracts.dead_letter import dead_letter
from stream_app.contracts.errors import BadEventFlood
from stream_app.contracts.validity import Rejected
from stream_app.settings import Accept
from stream_app.sinks.kafka_batches import KafkaRecord, TopicSink, partitions_of, publish

FLOOD_WINDOW_S = 60


class KafkaDeadLetters(TopicSink):
    """Publishes rejected records, those of one input partition in their order.

    The topic may have any number of partitions.
    """

    async def publish(self, rejected: Sequence[Rejected]) -> None:
        """Returns when Kafka has acknowledged all of them; raises SinkStopped if it does not.

        After a crash the same records may be published again: their topic, partition and offset tell.
        """
        if not rejected:
            return
        producer = self.producer()
        partitions = await partitions_of(producer, self.topic, self.give_up_s)
        records: dict[int, list[KafkaRecord]] = defaultdict(list)
        for one in rejected:
            records[one.record.partition % partitions].append(dead_letter(one))
        await publish(producer, self.topic, records, self.clock(), self.give_up_s)


@dataclass(frozen=True, slots=True)
class FloodPolicy:
    """When bad events are a flood: more than `share` of the last minute's, once it had `min_events`."""

    share: float
    min_events: int

    def is_flood(self, events: int, bad: int) -> bool:
        """Are `bad` of the last minute's `events` a flood?"""
        return events >= self.min_events and bad > self.share * events


@dataclass(slots=True)
class _Second:
    second: int
    events: int = 0
    bad: int = 0


class FloodGuard:
    """Counts a minute's events by the second, and stops the worker at a flood.

    A producer gone wrong, or a topic mistaken for another, would otherwise be drained into dead letters.
    """

    def __init__(self, policy: FloodPolicy) -> None:
        self._policy = policy
        self._seconds: deque[_Second] = deque()

    @classmethod
    def of(cls, accept: Accept) -> "FloodGuard":
        return cls(FloodPolicy(accept.flood_share, accept.flood_min_events))

    def check(self, now_s: float, events: int, rejected: int, latest: Sequence[Rejected] = ()) -> None:
        """Add a cycle: `events` were read and `rejected` of them are bad, `latest` among those, to be shown.

        To be called before they are published, so that a flood is not. Raises BadEventFlood if the last minute's
        events are one.
        """
        self._advance(int(now_s))
        self._seconds[-1].events += events
        self._seconds[-1].bad += rejected
        if not rejected:
            return
        total, bad = sum(one.events for one in self._seconds), sum(one.bad for one in self._seconds)
        if self._policy.is_flood(total, bad):
            raise BadEventFlood(_flood_message(total, bad, latest))

    def _advance(self, second: int) -> None:
        # A clock set back goes on counting into the latest second.
        if not self._seconds or second > self._seconds[-1].second:
            self._seconds.append(_Second(second))
        while self._seconds[0].second <= self._seconds[-1].second - FLOOD_WINDOW_S:
            self._seconds.popleft()


def _flood_message(events: int, bad: int, latest: Sequence[Rejected]) -> str:
    return (
        f"{bad:,} of the last minute's {events:,} events are bad{_shown(latest)}. Mend the producer, or the topic names"
        " in the settings. What was just read is not acknowledged: the worker meets it again when it is started. To let"
        " what is in the topic already pass into the dead-letter topic, start workers with"
        " INTEREST_ACCEPT__FLOOD_SHARE=1 until they are through."
    )


def _shown(latest: Sequence[Rejected]) -> str:
    if not latest:
        return ""
    kinds = ", ".join(f"{count} {reason}" for reason, count in Counter(one.reason for one in latest).most_common(3))
    record = latest[0].record
    # Not what is wrong there in words, which may quote a user's id: this is logged, and the dead letter says it.
    return f" (the latest: {kinds}; for example {record.topic}[{record.partition}] offset {record.offset})"
