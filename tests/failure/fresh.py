"""Brand-new groups that find a backlog: each must count it once, killed or not before its first commit.

    python -m tests.failure.fresh --rounds 50 --seed 1

One backlog lies in topics whose partitions begin at an offset above 0, at 0, or are empty; every round reads it as
another group.
"""

import json
import random
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Annotated

import typer
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_app import topics
from stream_app.settings import Kafka, Settings
from tests.bench.ground import Broker, Ground, ground, unique
from tests.bench.model import catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.found import look
from tests.failure.nursery import Nursery
from tests.failure.people import ITEMS, Event, crowd, life_of
from tests.failure.verdict import Verdict, judge
from tests.failure.wounds import Wound

PARTITIONS = 6
PEOPLE, ACTS = 600, 8
DELETED = 50
COMMIT_S = 120.0
GO_ON_S = 10.0
FINE = {0, -15}
"""A worker that is told to stop while TensorFlow is being imported dies of the signal itself."""


@dataclass
class Tally:
    """Over all rounds. `unsound`: what was wrong, by round."""

    rounds: int = 0
    kills: int = 0
    events: int = 0
    lost: int = 0
    double: int = 0
    unsound: list[str] = field(default_factory=list)

    def line(self) -> str:
        return (
            f"rounds={self.rounds} kills={self.kills} events={self.events} lost={self.lost} double={self.double} "
            f"unsound={len(self.unsound)}"
        )


class Backlog:
    """Topics, the events in them, and rounds on them."""

    def __init__(self, on: Ground, seed: int) -> None:
        self._on, self._dice, self._name = on, random.Random(seed), unique("fresh")
        self._model = catalogue_model(on.folder / f"{self._name}-models", ITEMS)
        self._first = self._settings(self._name)
        make_topics(self._first)
        self._delete_some()
        self._people = [person for person in crowd(PEOPLE, seed) if life_of(person.user) != "reborn"]
        self.journal: list[Event] = []
        for _ in range(ACTS):
            self.everybody_acts()

    def round(self, nursery: Nursery, tally: Tally) -> None:
        """A new group reads everything, by one or two workers, of which some are killed early."""
        settings = [self._settings(unique("group")) for _ in range(self._dice.randint(1, 2))]
        settings = [one.model_copy(update={"kafka": _named(one, settings[0].kafka.group)}) for one in settings]
        topics.create(settings[0])  # the changelog
        self._on.empty_redis()
        with ExitStack() as stack:
            members = [
                Member(one, self._on.folder / f"{one.kafka.group}-{number}.log", nursery)
                for number, one in enumerate(settings)
            ]
            for member in members:
                stack.callback(member.__exit__, None, None, None)
                member.start()
            if self._dice.random() < 0.5:
                self._kill_early(self._dice.choice(members))
                tally.kills += 1
            self._until_committed(settings[0])
            codes = [member.terminate() for member in members]
        self._judge(settings[0], codes, tally)

    def begun(self, nursery: Nursery) -> Settings:
        """A group whose only worker was killed after its first write of states, so before its first commit."""
        settings = self._settings(unique("group"))
        topics.create(settings)
        member = Member(settings, self._on.folder / f"{settings.kafka.group}-begins.log", nursery)
        member.start([{"kill": "after KafkaChangelog.write", "at": 1}])
        assert member.wait_exit(COMMIT_S) == -signal.SIGKILL, member.log_text()
        return settings

    def gone_on(self, settings: Settings, nursery: Nursery, wounds: Sequence[Wound]) -> Verdict:
        """What that group has made of everything after another worker, with these wounds, has gone on. More events come
        once it is ready, so that it commits them, and with them all before."""
        self._on.empty_redis()
        member = Member(settings, self._on.folder / f"{settings.kafka.group}.log", nursery, wounds)
        member.start()
        member.wait_ready()
        self.everybody_acts()
        with suppress(TimeoutError):
            self._until_committed(settings, GO_ON_S)
        member.terminate()
        return self._verdict(settings)

    def everybody_acts(self) -> None:
        """One event more of each user."""
        self._send([person.act(time.time_ns() // 1_000_000) for person in self._people])

    def _kill_early(self, member: Member) -> None:
        """While it recovers, or reads, or flushes for the first time."""
        member.wait("metrics", lambda scrape: scrape.total("interest_partitions") > 0, COMMIT_S, poll_s=0.01)
        time.sleep(self._dice.uniform(0.0, 0.4))
        member.kill()
        member.start()

    def _judge(self, settings: Settings, codes: list[int], tally: Tally) -> None:
        verdict = self._verdict(settings)
        tally.rounds += 1
        tally.events += verdict.events
        tally.lost += verdict.lost
        tally.double += verdict.double
        if any(
            (verdict.lost, verdict.double, verdict.wrong, verdict.redis_wrong, verdict.dead_letters, *set(codes) - FINE)
        ):
            tally.unsound.append(f"round {tally.rounds}: ended with {codes}, {verdict.examples}")

    def _verdict(self, settings: Settings) -> Verdict:
        found = look(settings, sorted({event["user_id"] for event in self.journal}))
        # The topic of recommendations is that of all rounds.
        return judge(self.journal, replace(found, sequences={}, rec_seq=dict.fromkeys(found.rec_seq, 0)))

    def _settings(self, group: str) -> Settings:
        made = member_settings(
            self._on.bootstrap, self._on.redis_url, self._model, self._name, self._on.folder, PARTITIONS,
            recommend={"enabled": False},
        )  # fmt: skip
        return made.model_copy(update={"kafka": _named(made, group)})

    def _send(self, events: list[Event]) -> None:
        self.journal += events
        producer = self._producer()
        names = dict(zip(("click", "follow", "rating", "erasure"), self._first.kafka.topics.inputs, strict=True))
        for event in events:
            value = json.dumps({name: part for name, part in event.items() if name != "kind"})
            producer.produce(names[event["kind"]], value.encode(), event["user_id"].encode())
            producer.poll(0)
        assert producer.flush(60) == 0

    def _delete_some(self) -> None:
        """Records that were deleted before any group came: nobody misses them."""
        producer, clicks = self._producer(), self._first.kafka.topics.clicks
        for partition in range(0, PARTITIONS, 2):
            for _ in range(DELETED):
                producer.produce(clicks, b"long gone", b"x", partition)
        assert producer.flush(60) == 0
        admin = AdminClient({"bootstrap.servers": self._on.bootstrap, "log_level": 3})
        starts = [TopicPartition(clicks, partition, DELETED) for partition in range(0, PARTITIONS, 2)]
        for future in admin.delete_records(starts).values():
            future.result()

    def _producer(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self._on.bootstrap, "partitioner": "murmur2_random", "enable.idempotence": True,
                "log_level": 3,
            }
        )  # fmt: skip

    def _until_committed(self, settings: Settings, wait_s: float = COMMIT_S) -> None:
        broker = Broker(self._on.bootstrap)
        ends = broker.ends(list(settings.kafka.topics.inputs))
        deadline = time.monotonic() + wait_s
        while broker.lag(settings.kafka.group, {at: end for at, end in ends.items() if end > _start(at)}):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{settings.kafka.group} has not committed everything within {wait_s:.0f} s")
            time.sleep(0.1)


def _start(at: tuple[str, int]) -> int:
    """Where a partition begins."""
    return DELETED if at[0].endswith(".clicks") and at[1] % 2 == 0 else 0


def _named(settings: Settings, group: str) -> Kafka:
    return settings.kafka.model_copy(update={"group": group})


def rounds(on: Ground, nursery: Nursery, count: int, seed: int) -> Tally:
    """That many groups, one after the other."""
    tally, backlog = Tally(), Backlog(on, seed)
    for _ in range(count):
        backlog.round(nursery, tally)
    return tally


def main(
    rounds_: Annotated[int, typer.Option("--rounds", help="Groups, one after the other.")] = 50, seed: int = 1
) -> None:
    """Let new groups read a backlog and check that each counts it once."""
    with ground() as on, Nursery() as nursery:
        tally = rounds(on, nursery, rounds_, seed)
    for what in tally.unsound:
        typer.echo(what, err=True)
    typer.echo(tally.line())
    raise typer.Exit(1 if tally.unsound or tally.lost or tally.double else 0)


if __name__ == "__main__":
    typer.run(main)
