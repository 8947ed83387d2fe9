"""Where faults strike: the workers, the servers and the dice of one run, and the list of faults."""

import importlib
import pkgutil
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from stream_app.faust_slab.fatal import EXIT_STOPPED
from stream_app.local import LocalKafka, LocalValkey
from stream_app.settings import Settings
from tests.failure.cluster import Cluster
from tests.failure.crew import Member
from tests.failure.poison import Place, Poison


@dataclass
class Stage:
    """What a fault may touch. Workers that end are started again by the run, as a supervisor would.

    Attributes:
        members: the workers; `settings` are those of the first.
        ended: to be told of a member that has ended with a status that it should not.
        points: boundaries of steps, for ever; the next fail-point is put at the next one.
        users: those of the load.
        poison: bad records that faults have sent, by place.
        struck: name of a stroke -> how often; a fault adds its own, such as `kill`.
    """

    members: Sequence[Member]
    kafka: LocalKafka | Cluster
    redis: LocalValkey
    dice: random.Random
    say: Callable[[str], None]
    ended: Callable[[Member, int], None]
    points: Iterator[str]
    users: Sequence[str]
    poison: dict[Place, Poison] = field(default_factory=dict)
    struck: dict[str, int] = field(default_factory=dict)

    @property
    def cluster(self) -> Cluster:
        """For faults that need several brokers."""
        assert isinstance(self.kafka, Cluster)
        return self.kafka

    @property
    def settings(self) -> Settings:
        return self.members[0].settings

    def pick(self) -> Member:
        """One of the workers."""
        return self.dice.choice(self.members)

    def terminate(self, member: Member) -> None:
        """SIGTERM to one worker, which is to end in order."""
        code = member.terminate()
        # A worker that is told to stop while TensorFlow is being imported dies of the signal itself.
        if code not in (0, -15):
            self.ended(member, code)

    def leave(self, member: Member) -> None:
        """One worker ends in order, and what it was given again is counted."""
        self.count_replays([member])
        self.terminate(member)

    def wait_ready(self, members: Sequence[Member] | None = None) -> None:
        """Until these workers are ready, or all."""
        for member in members or self.members:
            member.wait_ready()

    def count_replays(self, members: Sequence[Member] | None = None) -> None:
        """Events that these workers were given again, or all, as far as they are told from new ones."""
        for member in members or self.members:
            scrape = member.scrape() if member.exit_code() is None else None
            replays = int(scrape.total("interest_events_total", outcome="replayed")) if scrape else 0
            if replays:
                self.struck[f"replays at {member.name}"] = replays

    def leave_alone(self) -> None:
        """No worker that ends is started again until it is."""
        for member in self.members:
            member.leave_alone()

    def until_all_have_stopped(self, said: str, timeout_s: float) -> None:
        """Every worker must end by itself with 70, and its log with this."""
        for member in self.members:
            code = member.wait_exit(timeout_s)
            end = member.log_text()[-1500:]
            if code != EXIT_STOPPED or said not in end:
                raise AssertionError(f"{member.name} ended with {code}, and should with {said!r}: {end}")

    def start_all(self) -> None:
        for member in self.members:
            member.start()

    def count(self, stroke: str) -> None:
        """One more of these."""
        self.struck[stroke] = self.struck.get(stroke, 0) + 1


Strike = Callable[[Stage], None]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong while events flow.

    Attributes:
        strike: makes it happen once, and returns when it is over.
        exits: a worker may stop itself (70) because of it.
        empties_redis: users vanish from Redis; the fault itself brings them back.
        brokers: it needs a cluster of so many.
        alone: it needs a broker that is alone.
    """

    name: str
    strike: Strike
    exits: bool = False
    empties_redis: bool = False
    brokers: int = 1
    alone: bool = False

    def fits(self, brokers: int) -> bool:
        return brokers == 1 if self.alone else brokers >= self.brokers

    @property
    def meaning(self) -> str:
        return (self.strike.__doc__ or "").strip().splitlines()[0]


FAULTS: dict[str, Fault] = {}


def fault(
    *, exits: bool = False, empties_redis: bool = False, brokers: int = 1, alone: bool = False
) -> Callable[[Strike], Strike]:
    """Puts a function into the list, under its name with dashes."""

    def listed(strike: Strike) -> Strike:
        name = strike.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, strike, exits, empties_redis, brokers, alone)
        return strike

    return listed


def all_faults() -> dict[str, Fault]:
    """By name, from every module of `faults`."""
    from tests.failure import faults

    for module in pkgutil.iter_modules(faults.__path__, f"{faults.__name__}."):
        importlib.import_module(module.name)
    return dict(sorted(FAULTS.items()))
