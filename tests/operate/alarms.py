"""Breaks a running system and sees that each alert fires, and stops once it is mended.

    python -m tests.operate.alarms                          # all; make alerts
    python -m tests.operate.alarms --only InterestRedisLost --json out.json

A real Kafka, Valkey and Prometheus, a worker, a trainer, a catalogue service and the pages, under load. So that it does
not take days, every range, offset and `for` of the rules is 30 times shorter (5 m are 10 s), Prometheus scrapes and
evaluates every second, and the bounds in `LOWER` are lower. A trial of what takes a day has a second Prometheus, whose
rules are 720 times faster: a day is two minutes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import redis
import typer
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from rich.console import Console

from model_store.model import export
from model_store.registry import ModelRegistry
from stream_app.contracts.generations import FIRST
from stream_app.contracts.knowledge import decode
from stream_app.local import LocalKafka, LocalValkey
from stream_app.local.server import free_port
from stream_app.settings import environment
from tests.bench.ground import HEAP_MB
from tests.bench.model import VERSION
from tests.failure.crew import Member
from tests.failure.found import read_topic
from tests.failure.nursery import Nursery
from tests.failure.rights import GUARDED
from tests.fake_openai import FakeOpenAI, hanging, status
from tests.operate.prometheus import LocalPrometheus, watching
from tests.operate.scene import ITEMS, KNOWS_TOPICS, Scene, Traffic, model_parts, until

TIMES_FASTER, A_DAY_IN_TWO_MINUTES = 30, 720
LOWER: Mapping[str, str] = {
    "interest_commit_age_seconds > 30": "interest_commit_age_seconds > 5",
    "job:interest_lag:seconds > 60": "job:interest_lag:seconds > 5",
    "job:interest_lag_events:sum > 1000": "job:interest_lag_events:sum > 300",
    "> 1800": "> 20",
    "> 7200": "> 20",
    "> 3600": "> 30",
    "(increase(interest_rebalances_total[30m])) > 10": "(increase(interest_rebalances_total[30m])) > 2",
    "> 3e9": "> 1e9",
}
PATIENT: Mapping[str, str] = {'le="0.25"': 'le="1.0"'}
"""Text of the rules -> what stands there instead. The second where the bound is one percent of the events: with much
other work on a machine as many are later than 250 ms, and nothing is broken."""

FIRES_S, STOPS_S, CALM_S = 150.0, 180.0, 240.0
BEFORE_REDIS_IS_GIVEN_UP_S = 45.0

say = Console(stderr=True).print


@dataclass
class World:
    """What may be broken."""

    kafka: LocalKafka
    redis: LocalValkey
    scene: Scene
    traffic: Traffic
    prometheus: LocalPrometheus
    folder: Path

    @property
    def worker(self) -> Member:
        return self.scene.workers[0]

    @property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.scene.settings.models.url)

    def restart(self, name: str, **variables: str) -> None:
        """Another command than the worker's, with some settings changed."""
        self.scene.others[name].kill()
        self.scene.start(name, **variables)
        until(name, lambda: self.scene.answers(name), 120)

    def run(self, *arguments: str) -> str:
        """An `interest` command with these settings. Raises CalledProcessError."""
        command = [sys.executable, "-m", "stream_app", *arguments]
        env = environment(self.scene.settings, os.environ)
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=180).stdout


Breakage = Callable[[World], Iterator[None]]


@dataclass(frozen=True)
class Trial:
    """`breakage`: a generator that breaks, yields, and mends. Each of `expected` must fire meanwhile, and none of
    `spared`. `times_faster`: the rules."""

    breakage: Breakage
    expected: tuple[str, ...]
    spared: tuple[str, ...]
    times_faster: int

    @property
    def says(self) -> str:
        return (self.breakage.__doc__ or "").strip().rstrip(".")


TRIALS: list[Trial] = []


def makes_fire(
    *expected: str, spared: tuple[str, ...] = (), times_faster: int = TIMES_FASTER
) -> Callable[[Breakage], Breakage]:
    def listed(breakage: Breakage) -> Breakage:
        TRIALS.append(Trial(breakage, expected, spared, times_faster))
        return breakage

    return listed


# -- processes


@makes_fire("InterestNoWorkerReady", "InterestServiceDown")
def worker_killed(world: World) -> Iterator[None]:
    """kill -9 of the only worker."""
    world.worker.kill()
    yield
    world.worker.start()
    world.worker.wait_ready()


@makes_fire("InterestServiceDown", "InterestModelOld")
def trainer_frozen(world: World) -> Iterator[None]:
    """SIGSTOP to the trainer."""
    world.scene.others["trainer"].pause()
    yield
    world.scene.others["trainer"].resume()


@makes_fire("InterestWorkerRestarts")
def worker_restarts(world: World) -> Iterator[None]:
    """kill -9 of the worker four times, each time it is ready again."""
    for _ in range(4):
        world.worker.kill()
        world.worker.start()
        world.worker.wait_ready()
    yield


@makes_fire("InterestEventLoopBlocked")
def worker_stutters(world: World) -> Iterator[None]:
    """SIGSTOP to the worker for 0.6 s, again and again."""
    end_s = time.monotonic() + 60
    while "InterestEventLoopBlocked" not in world.prometheus.firing() and time.monotonic() < end_s:
        world.worker.pause()
        time.sleep(0.6)
        world.worker.resume()
        time.sleep(1.0)
    yield


@makes_fire("InterestMemoryUnexplained")
def memory_hoarded(world: World) -> Iterator[None]:
    """A worker that holds 600 MB which nothing explains."""
    hoarded = world.folder / "hoarded"
    world.worker.terminate()
    world.worker.start(wounds=[{"hoard": 600, "while": str(hoarded)}])
    world.worker.wait_ready()
    hoarded.touch()
    yield
    hoarded.unlink()


@makes_fire("InterestGroupUnsettled")
def workers_come_and_go(world: World) -> Iterator[None]:
    """A second worker joins and leaves four times."""
    metrics = world.scene.settings.metrics.model_copy(update={"port": free_port()})
    settings = world.scene.settings.model_copy(update={"metrics": metrics})
    second = Member(settings, world.folder / "second.log", world.scene.nursery)
    for _ in range(4):
        second.start()
        second.wait_ready()
        second.terminate()
    yield


@makes_fire("InterestWorkerNotReady", "InterestNoWorkerReady")
def start_held(world: World) -> Iterator[None]:
    """A worker that is held before it reads the first of the changelog."""
    holding = world.folder / "holding"
    holding.touch()
    world.worker.terminate()
    world.worker.start(wounds=[{"hold": "SlabRecovery.take", "while": str(holding)}])
    yield
    holding.unlink()
    world.worker.wait_ready()


@makes_fire("InterestRestoreStuck")
def recovery_lingers(world: World) -> Iterator[None]:
    """A worker that gets its changelog in small pieces, and waits a minute before each."""
    world.worker.terminate()
    world.worker.told = {"INTEREST_KAFKA__FETCH_MAX_BYTES": "5000"}
    world.worker.start(wounds=[{"linger": "SlabRecovery.take", "seconds": 60}])
    yield
    world.worker.kill()
    world.worker.told = {}
    world.worker.start()
    world.worker.wait_ready()


# -- events


@makes_fire("InterestDeadLetterShare")
def some_bad(world: World) -> Iterator[None]:
    """One event in nine is garbage."""
    world.traffic.bad = 1
    yield
    world.traffic.bad = 0


@makes_fire("InterestDeadLetterFlood", "InterestDeadLetterShare")
def many_bad(world: World) -> Iterator[None]:
    """Three events in eleven are garbage."""
    world.traffic.bad = 3
    yield
    world.traffic.bad = 0


@makes_fire("InterestWorkerRestarts", "InterestNoWorkerReady")
def flood(world: World) -> Iterator[None]:
    """Three events in four are garbage; the worker stops itself, and its supervisor starts it again."""
    world.traffic.bad = 24
    for _ in range(4):
        code = world.worker.wait_exit(90)
        say(
            f"    the worker ended with {code}: {world.worker.log_text().strip().splitlines()[-1][:160]}",
            highlight=False,
        )
        world.worker.start()
    world.worker.wait_exit(90)
    yield
    world.traffic.bad = 0
    world.worker.told = {"INTEREST_ACCEPT__FLOOD_SHARE": "1"}
    world.worker.start()
    world.worker.wait_ready()
    until("the flood to pass", lambda: world.prometheus.values("job:interest_lag_events:sum < 500"), 120)
    world.worker.terminate()
    world.worker.told = {}
    world.worker.start()
    world.worker.wait_ready()


@makes_fire(
    "InterestLatencyBudgetBurnsSlowly", spared=("InterestLatencyBudgetBurnsFast",), times_faster=A_DAY_IN_TWO_MINUTES
)
def some_held_back(world: World) -> Iterator[None]:
    """For half a day one click in 26 is sent 1.5 s after it was made."""
    world.traffic.holds_back = True
    time.sleep(43_200 / A_DAY_IN_TWO_MINUTES)
    yield
    world.traffic.holds_back = False


@makes_fire("InterestForeignWrites")
def stranger_in_the_changelog(world: World) -> Iterator[None]:
    """Somebody else writes into the changelog, six times."""
    producer = Producer({"bootstrap.servers": world.scene.settings.kafka.bootstrap, "log_level": 2})
    for number in range(6):
        producer.produce(world.scene.settings.kafka.changelog, None, f"stranger-{number}".encode(), partition=0)
        producer.flush(10)
        time.sleep(1.5)
    yield


# -- Redis


@makes_fire("InterestCommitStuck", "InterestLagGrows", "InterestWebFailing", "InterestLatencyBudgetBurnsFast")
def redis_frozen(world: World) -> Iterator[None]:
    """SIGSTOP to Redis, for less than workers wait."""
    world.redis.pause()
    end_s, seen = time.monotonic() + BEFORE_REDIS_IS_GIVEN_UP_S, set[str]()
    while time.monotonic() < end_s and not {"InterestCommitStuck", "InterestLagGrows", "InterestWebFailing"} <= seen:
        seen |= world.prometheus.firing().keys()
        time.sleep(0.5)
    world.redis.resume()
    yield


@makes_fire("InterestRedisLost")
def redis_emptied(world: World) -> Iterator[None]:
    """kill -9 of Redis, which comes back empty; then interest rebuild-redis."""
    world.redis.kill()
    world.redis.restart()
    yield
    say("    " + world.run("rebuild-redis", "--dry-run").strip().splitlines()[-1], highlight=False)
    world.run("rebuild-redis")
    say("    " + world.run("rebuild-redis", "--dry-run").strip().splitlines()[-1], highlight=False)


@makes_fire("InterestNobodyServes")
def generation_without_workers(world: World) -> Iterator[None]:
    """interest:serving names a generation that has no workers."""
    with redis.Redis.from_url(world.scene.settings.redis.url.get_secret_value()) as client:
        client.set("interest:serving", json.dumps({"generation": 2, "prefix": "g2:", "since": 1, "previous": 1}))
        yield
        client.set("interest:serving", json.dumps({"generation": FIRST, "prefix": "", "since": 2, "previous": 2}))


# -- the model


@makes_fire("InterestModelRefused")
def version_of_nan(world: World) -> Iterator[None]:
    """A version that gives NaN is published and promoted."""
    before = world.registry.current()
    assert before is not None
    parts = model_parts()
    broken = replace(parts, index=replace(parts.index, bias=np.full(ITEMS, np.nan, np.float32)))
    export(broken, world.folder / "nan", "nan")
    world.registry.publish(world.folder / "nan", "nan")
    world.registry.promote("nan")
    yield
    world.registry.promote(before)


@makes_fire("InterestModelStoreUnreachable")
def store_away(world: World) -> Iterator[None]:
    """Where the model store was there is a file."""
    store = Path(world.scene.settings.models.url)
    away = store.with_name("away")
    store.rename(away)
    store.touch()
    yield
    store.unlink()
    away.rename(store)


@makes_fire("InterestTrainerNotPromoting")
def rolled_back(world: World) -> Iterator[None]:
    """Somebody promotes another version than the trainer's, which is held back."""
    before = world.registry.current()
    assert before is not None
    world.registry.promote(VERSION)
    yield
    world.registry.promote(before)
    world.restart("trainer", INTEREST_TRAINER__PUBLISH_INTERVAL_S="2")


# -- the catalogue and its language model


@makes_fire("InterestLanguageModelUnavailable")
def language_model_away(world: World) -> Iterator[None]:
    """The endpoint answers 503."""
    world.scene.language_model.usual = status(503)
    yield
    world.scene.language_model.usual = KNOWS_TOPICS


@makes_fire("InterestLanguageModelBudgetSpent")
def budget_spent(world: World) -> Iterator[None]:
    """Five requests an hour are allowed."""
    world.restart("catalog", INTEREST_CATALOG__ANNOTATOR__REQUESTS_PER_HOUR="5")
    yield
    world.restart("catalog")


@makes_fire("InterestCatalogBacklog")
def encoder_hangs(world: World) -> Iterator[None]:
    """The encoder's endpoint takes requests and says nothing."""
    with FakeOpenAI(usual=hanging) as server:
        where = {"KIND": "endpoint", "BASE_URL": server.url, "MODEL": "m", "API_KEY": "secret", "TIMEOUT_S": "600"}
        variables = {f"INTEREST_CATALOG__ENCODER__{name}": value for name, value in where.items()}
        world.restart("catalog", **variables)
        yield
        world.restart("catalog")


@makes_fire("InterestKnowledgeForeign")
def another_encoder(world: World) -> Iterator[None]:
    """Another length of vectors than the model's; then the model's again, and all items anew."""
    world.restart("catalog", INTEREST_CATALOG__ENCODER__DIMENSION="64")
    yield
    world.scene.others["catalog"].stop(30)
    until("the catalogue's group to be gone", lambda: _is_deleted(world, f"{world.scene.settings.kafka.group}-catalog"))
    world.restart("catalog")
    until("all items to be told anew", lambda: _encoders(world) == {model_parts().writes.space.encoder}, 120)


def _is_deleted(world: World, group: str) -> bool:
    """As `kafka-consumer-groups.sh --delete` does; Kafka refuses as long as somebody is in the group."""
    admin = AdminClient({"bootstrap.servers": world.kafka.bootstrap, "log_level": 2})
    with suppress(KafkaException):
        admin.delete_consumer_groups([group])[group].result()
        return True
    return False


def _encoders(world: World) -> set[str]:
    """Whose the vectors are that are told of items."""
    records = read_topic(world.kafka.bootstrap, world.scene.settings.kafka.topics.knowledge)
    told = {record.key(): decode(record.value() or b"") for record in records}
    return {one.encoder for one in told.values() if not one.deleted}


# -- one after the other


@dataclass(frozen=True)
class Outcome:
    """`fired_s`: alert -> seconds after the system was broken; `stopped_s`: after it was mended. -1: it did not."""

    trial: str
    says: str
    fired_s: dict[str, float]
    stopped_s: dict[str, float]
    others: list[str]
    spared: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        happened = min(self.fired_s.values()) >= 0 and min(self.stopped_s.values()) >= 0
        return happened and not {*self.others} & {*self.spared}


def attempt(world: World, trial: Trial) -> Outcome:
    """Break, see, mend, see."""
    name = trial.breakage.__name__.replace("_", "-")
    until("calm", lambda: not set(trial.expected) & world.prometheus.firing().keys(), CALM_S)
    say(f"[bold]{name}[/]: {trial.says}", highlight=False)
    fired: dict[str, float] = {}
    seen: set[str] = set()
    breaking = contextmanager(trial.breakage)(world)
    began_s = time.monotonic()
    with _noting(world.prometheus, fired, seen, began_s), breaking:
        end_s = time.monotonic() + FIRES_S
        while not set(trial.expected) <= fired.keys() and time.monotonic() < end_s:
            time.sleep(0.5)
    mended_s, stopped = time.monotonic(), dict.fromkeys(trial.expected, -1.0)
    for alert in trial.expected:
        with suppress(TimeoutError):
            until(f"{alert} to stop", lambda alert=alert: alert not in world.prometheus.firing(), STOPS_S)
            stopped[alert] = round(time.monotonic() - mended_s, 1)
    times = {alert: round(fired.get(alert, -1.0), 1) for alert in trial.expected}
    outcome = Outcome(name, trial.says, times, stopped, sorted(seen - set(trial.expected)), trial.spared)
    say(f"    fired {outcome.fired_s}, stopped {outcome.stopped_s}, besides {outcome.others}", highlight=False)
    return outcome


@contextmanager
def hurried(world: World, times_faster: int) -> Iterator[World]:
    """The same world, as a Prometheus sees it whose rules are so many times faster, and which has seen it for a day."""
    if times_faster == TIMES_FASTER:
        yield world
        return
    a_day_ago = f"job:interest_events_written:rate5m offset {86_400 // times_faster}s"
    with watching(world.folder / "hurried", world.scene.targets, times_faster, {**LOWER, **PATIENT}) as prometheus:
        until("a day to be over", lambda: prometheus.values(a_day_ago), 2 * 86_400 / times_faster)
        yield replace(world, prometheus=prometheus)


@contextmanager
def _noting(prometheus: LocalPrometheus, fired: dict[str, float], seen: set[str], began_s: float) -> Iterator[None]:
    """Remembers when each alert was first seen to fire."""
    import threading

    over = threading.Event()

    def look() -> None:
        while not over.wait(0.3):
            with suppress(OSError):
                for alert in prometheus.firing():
                    fired.setdefault(alert, time.monotonic() - began_s)
                    seen.add(alert)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5)


@contextmanager
def world_at_work() -> Iterator[World]:
    """Everything runs, and has done so for long enough that nothing fires."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="interest-alarms-")))
        say("starting everything", style="dim")
        kafka = stack.enter_context(LocalKafka(folder / "kafka", heap_mb=HEAP_MB, properties=GUARDED))
        valkey = stack.enter_context(LocalValkey(folder / "valkey"))
        nursery, model = stack.enter_context(Nursery()), stack.enter_context(FakeOpenAI(usual=KNOWS_TOPICS))
        scene = Scene.on(kafka.bootstrap, valkey.url, folder, nursery, model)
        stack.enter_context(scene.open())
        traffic = stack.enter_context(scene.busy())
        prometheus = stack.enter_context(watching(folder / "prometheus", scene.targets, TIMES_FASTER, LOWER))
        say(f"Prometheus is at http://{prometheus.address}", style="dim", highlight=False)
        yield World(kafka, valkey, scene, traffic, prometheus, folder)


def main(
    only: Annotated[list[str] | None, typer.Option(help="An alert or a breakage; may be repeated.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write what was seen here.")] = None,
) -> None:
    """Break a running system, one thing after the other, and see each alert fire and stop."""
    trials = [one for one in TRIALS if not only or {*one.expected, one.breakage.__name__.replace("_", "-")} & set(only)]
    outcomes: list[Outcome] = []
    with world_at_work() as world:
        for trial in trials:
            try:
                with hurried(world, trial.times_faster) as seen:
                    outcomes.append(attempt(seen, trial))
            except Exception as error:
                say(f"    failed: {error!r:.300}", highlight=False)
                outcomes.append(
                    Outcome(trial.breakage.__name__, trial.says, {"-": -1.0}, {"-": -1.0}, [repr(error)[:300]])
                )
    if json_file:
        json_file.write_text(json.dumps([asdict(one) for one in outcomes], indent=1))
    failed = [one.trial for one in outcomes if not one.sound]
    say(f"{len(outcomes) - len(failed)} of {len(outcomes)} as expected; not: {', '.join(failed) or 'none'}")
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    typer.run(main)
