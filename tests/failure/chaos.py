"""Kills workers at random while events flow, and checks that nothing shows of it.

    python -m tests.failure.chaos --kills 20 --workers 2 --minutes 4 --seed 1 --rate 500 --json out.json

A real Kafka and Valkey are started unless given. One worker at a time is ended, by `kill -9` or SIGTERM, and started
again, while a producer of its own process sends and a watcher reads versions in Redis. At the end, once everything
sent is committed, `verdict.py` compares the changelog, Redis and the recommendations with what was sent.
"""

import random
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

import typer

from stream_app.local import LeashedProcess
from tests.bench.ground import Broker, Ground, ground, unique
from tests.bench.model import catalogue_model
from tests.bench.report import console, save
from tests.failure.crew import READY_S, Member, make_topics, member_settings
from tests.failure.found import Found, look
from tests.failure.people import ITEMS, Event, user_ids
from tests.failure.producer import Orders
from tests.failure.truth import read_journal
from tests.failure.verdict import Verdict, judge
from tests.failure.watch import Watcher

DRAIN_S = 180.0
WATCHED = 100
PRODUCER_STOP_S = 90.0


@dataclass(frozen=True)
class Plan:
    """`terms` of the strokes are SIGTERM, besides `kills`; all of them are spread over `seconds`."""

    kills: int = 20
    workers: int = 2
    seconds: float = 240.0
    seed: int = 1
    rate: float = 500.0
    terms: int = 5
    users: int = 3_000
    partitions: int = 6


@dataclass
class Outcome:
    """What happened, and whether it did harm. `readings`: versions that the watcher read."""

    plan: Plan
    kills: int = 0
    terms: int = 0
    self_exits: int = 0
    regressed: int = 0
    readings: int = 0
    lag: int = 0
    seconds: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)
    notes: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return self.verdict.sound and not (self.regressed or self.lag or self.self_exits)

    def line(self) -> str:
        found = self.verdict
        return (
            f"events={found.events} kills={self.kills} terms={self.terms} lost={found.lost} double={found.double} "
            f"regressed={self.regressed} rec_holes={found.rec_holes} lag={self.lag} self_exits={self.self_exits} "
            f"wrong={found.wrong} redis_wrong={found.redis_wrong} dead_letters={found.dead_letters}"
        )

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "sound": self.sound}


class Chaos:
    """One run on a given ground."""

    def __init__(self, on: Ground, plan: Plan) -> None:
        self.plan, self.outcome, self._began_s = plan, Outcome(plan), time.monotonic()
        self._on, self._dice = on, random.Random(plan.seed)
        name = unique("chaos")
        model = catalogue_model(on.folder / f"{name}-models", ITEMS)
        self.settings = [
            member_settings(on.bootstrap, on.redis_url, model, name, on.folder, plan.partitions)
            for _ in range(plan.workers)
        ]
        make_topics(self.settings[0])
        self._members = [
            Member(settings, on.folder / f"{name}-{number}.log") for number, settings in enumerate(self.settings)
        ]

    def run(self) -> tuple[Outcome, list[Event], Found]:
        """The outcome, what was sent and what was found."""
        self._began_s = time.monotonic()
        users = user_ids(self.plan.users)
        with ExitStack() as stack:
            for member in self._members:
                stack.callback(member.__exit__, None, None, None)
                member.start()
            for member in self._members:
                member.wait_ready()
            self._say(f"{len(self._members)} workers are ready")
            watcher = stack.enter_context(Watcher(self._on.redis_url, users[:WATCHED]))
            journal = self._on.folder / f"{self.settings[0].kafka.group}.jsonl"
            with self._producing(journal):
                self._strike()
            self._drain()
            self._stop_all()
        found = look(self.settings[0], users)
        sent = read_journal(journal)
        self.outcome.verdict = judge(sent, found)
        self.outcome.regressed, self.outcome.readings = len(watcher.versions.regressed), watcher.versions.readings
        self.outcome.notes += watcher.versions.regressed[:5]
        self.outcome.seconds = time.monotonic() - self._began_s
        return self.outcome, sent, found

    def _say(self, what: str) -> None:
        console.print(f"{time.monotonic() - self._began_s:6.1f} s  {what}", style="dim", highlight=False)

    @contextmanager
    def _producing(self, journal: Path) -> Iterator[None]:
        """A producer runs; at the end everything it sent is acknowledged. Raises RuntimeError if it failed."""
        kafka = self.settings[0].kafka
        topics = dict(zip(("click", "follow", "rating", "erasure"), kafka.topics.inputs, strict=True))
        orders = journal.with_suffix(".orders")
        Orders(kafka.bootstrap, kafka.group, topics, self.plan.users, self.plan.rate, self.plan.seed).write(orders)
        argv = [sys.executable, "-m", "tests.failure.producer", str(orders), str(journal)]
        producer = LeashedProcess(argv, journal.with_suffix(".log"))
        try:
            yield
        finally:
            code = producer.stop(PRODUCER_STOP_S)
        if code:
            raise RuntimeError(f"the producer ended with status {code}:\n{producer.log_tail(30)}")

    def _strike(self) -> None:
        """All strokes, evenly spread with some chance in it; each waits until some worker is at work."""
        strokes = ["kill"] * self.plan.kills + ["term"] * self.plan.terms
        self._dice.shuffle(strokes)
        pause_s, began = self.plan.seconds / (len(strokes) + 1), time.monotonic()
        for stroke in strokes:
            self._until_somebody_works()
            time.sleep(pause_s * self._dice.uniform(0.4, 1.2))
            self._hit(self._dice.choice(self._members), stroke)
        self._until_somebody_works()
        time.sleep(max(pause_s, self.plan.seconds - (time.monotonic() - began)))

    def _hit(self, member: Member, stroke: str) -> None:
        if self._note_self_exit(member):
            return
        self._say(f"{stroke} {member.log.stem}, {'at work' if member.is_ready() else 'not ready'}")
        if stroke == "kill":
            member.kill()
            self.outcome.kills += 1
        else:
            self._terminate(member)
            self.outcome.terms += 1
        time.sleep(self._dice.uniform(0.0, 1.0))
        member.start()

    def _terminate(self, member: Member) -> None:
        code = member.terminate()
        # A worker that is told to stop while TensorFlow is being imported dies of the signal itself.
        if code not in (0, -15):
            self._bad_exit(member, code)

    def _note_self_exit(self, member: Member) -> bool:
        """Whether a worker had ended by itself; it is started again."""
        code = member.exit_code()
        if code is None:
            return False
        self._bad_exit(member, code)
        member.start()
        return True

    def _bad_exit(self, member: Member, code: int) -> None:
        self.outcome.self_exits += 1
        self._say(f"{member.log.stem} ended with {code}")
        self.outcome.notes.append(f"{member.log.name} ended with {code}: {member.log_text()[-1500:]}")

    def _until_somebody_works(self) -> None:
        deadline = time.monotonic() + READY_S
        while not any(member.is_ready() for member in self._members):
            for member in self._members:
                self._note_self_exit(member)
            if time.monotonic() > deadline:
                raise TimeoutError(f"no worker is ready after {READY_S:.0f} s: {self._members[0].log_text()[-2000:]}")
            time.sleep(0.2)

    def _drain(self) -> None:
        """Until everything sent is committed, or that takes too long."""
        broker, settings = Broker(self._on.bootstrap), self.settings[0]
        ends = broker.ends(list(settings.kafka.topics.inputs))
        self._say("everything is sent")
        deadline = time.monotonic() + DRAIN_S
        while lag := broker.lag(settings.kafka.group, ends):
            for member in self._members:
                self._note_self_exit(member)
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        self.outcome.lag = lag
        self._say(f"lag {lag}")

    def _stop_all(self) -> None:
        for member in self._members:
            if not self._note_self_exit(member):
                self._terminate(member)


def main(
    kills: int = 20,
    workers: int = 2,
    minutes: float = 4.0,
    seed: int = 1,
    rate: float = 500.0,
    terms: Annotated[
        int | None, typer.Option(help="SIGTERMs besides the kills; a quarter as many if not given.")
    ] = None,
    users: int = 3_000,
    partitions: int = 6,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT instead of one that is started here.")] = None,
    redis: Annotated[str | None, typer.Option(help="URL of an empty database instead of one started here.")] = None,
) -> None:
    """Kill workers at random and check that nothing was lost, applied twice or shown backwards."""
    plan = Plan(kills, workers, minutes * 60, seed, rate, kills // 4 if terms is None else terms, users, partitions)
    with ground(kafka, redis) as on:
        outcome, _, _ = Chaos(on, plan).run()
    save(json, outcome.as_dict())
    for note in outcome.notes:
        typer.echo(note, err=True)
    for fault, told in outcome.verdict.examples.items():
        for what in told:
            typer.echo(f"{fault}: {what}", err=True)
    typer.echo(outcome.line())
    raise typer.Exit(0 if outcome.sound else 1)


def short(on: Ground) -> tuple[Outcome, list[Event], Found]:
    """A minute of it."""
    return Chaos(on, replace(Plan(), kills=4, terms=0, seconds=15.0, rate=200.0, users=1_200, partitions=4)).run()


if __name__ == "__main__":
    typer.run(main)
