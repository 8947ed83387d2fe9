"""Makes things go wrong while events flow, and checks that nothing shows of it.

    python -m tests.failure.chaos --kills 20 --workers 2 --minutes 4 --seed 1 --rate 500 --json out.json
    python -m tests.failure.chaos --fault broker-pause --fault term=3
    python -m tests.failure.chaos --kills 8 --minutes 1 --control ack-before-flush

A real Kafka and Valkey are started. Faults strike one after the other, while a producer of its own process sends and a
watcher reads versions in Redis; workers that end are started again. At the end, once everything sent is committed,
`verdict.py` compares the changelog, Redis and the recommendations with what was sent. `--faults` lists what there is.
"""

import itertools
import random
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from stream_app.local import LeashedProcess, LocalKafka, LocalValkey
from tests.bench.ground import HEAP_MB, Broker, unique
from tests.bench.model import catalogue_model
from tests.bench.report import console, save
from tests.failure.background import Background
from tests.failure.cluster import Cluster
from tests.failure.crew import READY_S, Member, make_topics, member_settings
from tests.failure.found import Found, look
from tests.failure.nursery import Nursery
from tests.failure.people import ITEMS, Event, user_ids
from tests.failure.producer import Orders
from tests.failure.rights import GUARDED
from tests.failure.stage import Fault, Stage, all_faults
from tests.failure.truth import read_journal
from tests.failure.verdict import Verdict, judge
from tests.failure.watch import Watcher
from tests.failure.wounds import CONTROLS, EXPOSED, POINTS

DRAIN_S = 180.0
LAME_READY_S, LAME_DRAIN_S = 40.0, 15.0
"""Without a protection some of it may never be committed."""

WATCHED = 100
PRODUCER_STOP_S = 90.0
SUPERVISED_S = 0.2
REVISITED_S = 3.0
"""Followers are read out again so often though they do nothing."""
STOPPED = 70


@dataclass(frozen=True)
class Plan:
    """What is to happen.

    Attributes:
        kills: processes to be killed, one by one, all at once, or at the boundary of a step.
        faults: name -> how often, besides the kills.
        seconds: time over which all of it is spread; it takes longer where recovery does.
        control: the protection that is taken out of all workers.
        brokers: in the cluster; of everything there are as many copies, 3 at most.
        points: boundaries of steps at which `kill-at-step` kills.
    """

    kills: int = 20
    faults: Mapping[str, int] = field(default_factory=dict)
    workers: int = 2
    seconds: float = 240.0
    seed: int = 1
    rate: float = 500.0
    users: int = 3_000
    partitions: int = 6
    session_s: float = 6.0
    control: str | None = None
    points: tuple[str, ...] = POINTS
    brokers: int = 1

    def shuffled_points(self) -> Iterator[str]:
        """All of `points` in a random order, again and again."""
        dice = random.Random(self.seed)
        while True:
            yield from dice.sample(self.points, len(self.points))

    def strokes(self) -> list[str]:
        """Names of faults in the order in which they strike."""
        dice, kills = random.Random(self.seed), 0
        strokes: list[str] = []
        ways = itertools.cycle((("kill-at-step", 2), ("kill", 1), ("kill-all", self.workers), ("kill", 1)))
        while kills < self.kills:
            way, deaths = next(ways)
            strokes.append(way)
            kills += deaths
        strokes += [name for name, times in self.faults.items() for _ in range(times)]
        dice.shuffle(strokes)
        return strokes


@dataclass
class Outcome:
    """What happened, and whether it did harm.

    Attributes:
        struck: name of a stroke -> how often; the boundaries of steps, too.
        self_exits: workers that stopped themselves for no reason; `excused` had one.
        stuck: times that workers without a protection did not get ready.
        readings: versions that the watcher read.
    """

    plan: Plan
    struck: dict[str, int] = field(default_factory=dict)
    self_exits: int = 0
    excused: int = 0
    stuck: int = 0
    regressed: int = 0
    readings: int = 0
    lag: int = 0
    seconds: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)
    notes: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.struck.get("kill", 0)

    @property
    def sound(self) -> bool:
        return self.verdict.sound and not (self.regressed or self.lag or self.self_exits or self.stuck)

    def line(self) -> str:
        found = self.verdict
        others = "".join(
            f"{name}={times} " for name, times in self.struck.items() if name != "kill" and " " not in name
        )
        return (
            f"events={found.events} kills={self.kills} {others}lost={found.lost} double={found.double} "
            f"regressed={self.regressed} rec_holes={found.rec_holes} lag={self.lag} self_exits={self.self_exits} "
            f"excused_exits={self.excused} "
            f"wrong={found.wrong} redis_wrong={found.redis_wrong} poison={found.poison} "
            f"dead_letters_missing={found.dead_letters_missing} dead_letters_wrong={found.dead_letters}"
        )

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "sound": self.sound}


class Supervisor(Background):
    """Starts members again that have ended by themselves, as a context manager."""

    def __init__(self, members: list[Member], outcome: Outcome, may_exit: bool) -> None:
        super().__init__()
        self._members, self._outcome, self._may_exit = members, outcome, may_exit

    def _run(self) -> None:
        while not self._over.wait(SUPERVISED_S):
            for member in self._members:
                code = member.start_again()
                if code is not None:
                    self.note(member, code)

    def note(self, member: Member, code: int) -> None:
        """It ended with this status, and nobody had asked for it."""
        console.print(f"         {member.name} ended with {code}", style="dim", highlight=False)
        away = "no Kafka answers" in member.log_text()[-500:]  # it was started again before the broker was back
        if self._may_exit and (code == STOPPED or away):
            self._outcome.excused += 1
            return
        self._outcome.self_exits += 1
        self._outcome.notes.append(f"{member.log.name} ended with {code}: {member.log_text()[-1500:]}")


class Chaos:
    """One run on given servers."""

    def __init__(self, kafka: LocalKafka | Cluster, redis: LocalValkey, folder: Path, plan: Plan) -> None:
        self.plan, self.outcome, self._began_s = plan, Outcome(plan), time.monotonic()
        self._kafka, self._redis, self._folder = kafka, redis, folder
        self._faults = all_faults()
        self._strokes = [self._faults[name] for name in plan.strokes()]
        name = unique("chaos")
        model = catalogue_model(folder / f"{name}-models", ITEMS)
        session = {
            "session_timeout_s": plan.session_s,
            "heartbeat_s": plan.session_s / 6,
            "replication": min(plan.brokers, 3),
        }
        self.settings = [
            member_settings(
                kafka.bootstrap,
                redis.url,
                model,
                name,
                folder,
                plan.partitions,
                kafka=session,
                social={"refresh_s": REVISITED_S},
            )
            for _ in range(plan.workers)
        ]
        make_topics(self.settings[0])

    def run(self, nursery: Nursery) -> tuple[Outcome, list[Event], Found]:
        """The outcome, what was sent and what was found."""
        self._began_s = time.monotonic()
        users, journal = user_ids(self.plan.users), self._folder / f"{self.settings[0].kafka.group}.jsonl"
        with ExitStack() as stack:
            members = self._members(nursery, stack)
            may_vanish = any(fault.empties_redis for fault in self._strokes)
            watcher = stack.enter_context(Watcher(self._redis.url, users[:WATCHED], may_vanish))
            points = self.plan.shuffled_points()
            supervisor = Supervisor(members, self.outcome, any(fault.exits for fault in self._strokes))
            dice = random.Random(self.plan.seed)
            stage = Stage(members, self._kafka, self._redis, dice, self._say, supervisor.note, points, users)
            with supervisor:
                with self._producing(journal), self._allowing_lameness():
                    self._strike(stage)
                self._drain()
            self.outcome.struck = stage.struck
            for member in members:
                stage.terminate(member)
        found = look(self.settings[0], users)
        sent = read_journal(journal)
        self.outcome.verdict = judge(sent, found, stage.poison)
        self.outcome.regressed, self.outcome.readings = len(watcher.versions.regressed), watcher.versions.readings
        self.outcome.notes += watcher.versions.regressed[:5]
        self.outcome.seconds = time.monotonic() - self._began_s
        return self.outcome, sent, found

    def _members(self, nursery: Nursery, stack: ExitStack) -> list[Member]:
        control = self.plan.control
        lacking = [{"control": control}, *EXPOSED.get(control, ())] if control else []
        members = [
            Member(settings, self._folder / f"{settings.kafka.group}-{number}.log", nursery, lacking)
            for number, settings in enumerate(self.settings)
        ]
        for member in members:
            stack.callback(member.__exit__, None, None, None)
            member.start()
        with self._allowing_lameness():
            for member in members:
                member.wait("ready", lambda scrape: scrape.total("interest_ready") == 1, self._ready_s)
        self._say(f"{len(members)} workers are ready")
        return members

    @property
    def _ready_s(self) -> float:
        return LAME_READY_S if self.plan.control else READY_S

    @contextmanager
    def _allowing_lameness(self) -> Iterator[None]:
        """Workers without a protection may never get ready: that is noticed, and the run goes on to its end."""
        try:
            yield
        except (TimeoutError, RuntimeError) as problem:
            if not self.plan.control:
                raise
            self.outcome.stuck += 1
            self.outcome.notes.append(str(problem))

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

    def _strike(self, stage: Stage) -> None:
        """All strokes, evenly spread with some chance in it; each waits until some worker is at work."""
        pause_s, began = self.plan.seconds / (len(self._strokes) + 1), time.monotonic()
        for fault in self._strokes:
            self._until_somebody_works(stage.members)
            time.sleep(pause_s * stage.dice.uniform(0.4, 1.2))
            fault.strike(stage)
            if not fault.name.startswith("kill"):
                stage.count(fault.name)
        self._until_somebody_works(stage.members)
        time.sleep(max(pause_s, self.plan.seconds - (time.monotonic() - began)))

    def _until_somebody_works(self, members: list[Member]) -> None:
        deadline = time.monotonic() + self._ready_s
        while not any(member.is_ready() for member in members):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no worker is ready after {READY_S:.0f} s: {members[0].log_text()[-2000:]}")
            time.sleep(0.1)

    def _drain(self) -> None:
        """Until everything sent is committed, or that takes too long."""
        broker, settings = Broker(self._kafka.bootstrap), self.settings[0]
        ends = broker.ends(list(settings.kafka.topics.inputs))
        self._say("everything is sent")
        deadline = time.monotonic() + (LAME_DRAIN_S if self.plan.control else DRAIN_S)
        while (lag := broker.lag(settings.kafka.group, ends)) and time.monotonic() < deadline:
            time.sleep(0.2)
        self.outcome.lag = lag
        self._say(f"lag {lag}")


def main(
    kills: Annotated[int | None, typer.Option(help="Processes to kill; 20 unless faults are named.")] = None,
    workers: int = 2,
    minutes: Annotated[float, typer.Option(help="Time to spread it over; 0 goes on as soon as a worker works.")] = 4.0,
    seed: int = 1,
    rate: Annotated[float, typer.Option(help="Events a second.")] = 500.0,
    users: int = 3_000,
    partitions: int = 6,
    session: Annotated[float, typer.Option(help="Session timeout of the group, in seconds.")] = 6.0,
    fault: Annotated[
        list[str] | None, typer.Option(help="A fault, or NAME=TIMES; may be repeated. `all` is each of them.")
    ] = None,
    terms: Annotated[int, typer.Option(help="As --fault term=N.")] = 0,
    brokers: Annotated[int, typer.Option(help="Kafka brokers; some faults need 3.")] = 1,
    control: Annotated[str | None, typer.Option(help=f"Take a protection out: {', '.join(CONTROLS)}.")] = None,
    faults: Annotated[bool, typer.Option("--faults", help="List the faults and end.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Strike a running system and check that nothing was lost, applied twice or shown backwards."""
    if faults:
        console.print(fault_table(all_faults()))
        return
    wanted = _faults(fault or [], terms, brokers)
    deaths = (0 if fault else 20) if kills is None else kills
    plan = Plan(deaths, wanted, workers, minutes * 60, seed, rate, users, partitions, session, control, brokers=brokers)
    if control not in (None, *CONTROLS):
        raise typer.BadParameter(f"{control} is none of {', '.join(CONTROLS)}", param_hint="--control")
    with servers(brokers) as (kafka, redis, folder), Nursery() as nursery:
        outcome, _, _ = Chaos(kafka, redis, folder, plan).run(nursery)
    save(json, outcome.as_dict())
    for note in outcome.notes:
        typer.echo(note, err=True)
    for kind, told in outcome.verdict.examples.items():
        for what in told:
            typer.echo(f"{kind}: {what}", err=True)
    typer.echo(outcome.line())
    raise typer.Exit(0 if outcome.sound else 1)


def _faults(named: list[str], terms: int, brokers: int) -> dict[str, int]:
    known, wanted = all_faults(), {"term": terms} if terms else {}
    for one in named:
        name, _, times = one.partition("=")
        if name != "all" and name not in known:
            raise typer.BadParameter(f"{name} is no fault; --faults lists them", param_hint="--fault")
        feasible = [one.name for one in known.values() if one.fits(brokers)]
        if name != "all" and name not in feasible:
            raise typer.BadParameter(f"{name} needs --brokers {known[name].brokers}", param_hint="--fault")
        for each in feasible if name == "all" else [name]:
            wanted[each] = wanted.get(each, 0) + int(times or 1)
    return wanted


def fault_table(known: Mapping[str, Fault]) -> Table:
    """Name and meaning of each fault."""
    table = Table("fault", "what happens", box=None)
    for name, one in known.items():
        table.add_row(name, one.meaning)
    return table


@contextmanager
def servers(brokers: int = 1) -> Iterator[tuple[LocalKafka | Cluster, LocalValkey, Path]]:
    """A broker or more, and a Valkey, that faults may strike, and a folder; gone afterwards."""
    import tempfile

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="interest-chaos-")))
        kafka = stack.enter_context(
            LocalKafka(folder / "kafka", heap_mb=HEAP_MB, properties=GUARDED)
            if brokers == 1
            else Cluster(folder / "kafka", brokers)
        )
        yield kafka, stack.enter_context(LocalValkey(folder / "valkey")), folder


def short(
    kafka: LocalKafka, redis: LocalValkey, folder: Path, plan: Plan, nursery: Nursery
) -> tuple[Outcome, list[Event], Found]:
    """A plan on little data, so that it takes half a minute."""
    small = replace(plan, seconds=6.0, rate=200.0, users=1_200, partitions=4, session_s=3.0)
    return Chaos(kafka, redis, folder, small).run(nursery)


if __name__ == "__main__":
    typer.run(main)
