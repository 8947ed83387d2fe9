"""Everything a demo needs to be running: Kafka, Redis, topics, a model, a worker. All of it ends with the stage."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import SecretStr

from stream_app import topics
from stream_app.demo import meter
from stream_app.demo.errors import DemoError
from stream_app.local import LeashedProcess, LocalKafka, LocalValkey
from stream_app.local.server import HOST, free_port, port_answers
from stream_app.settings import Kafka, KafkaSecurity, Redis, Settings, Topics, environment

READY_TIMEOUT_S = 120.0
WORKER_GRACE_S = 20.0
STDERR = 2
PREFIX = "demo."
# A minute, the default, is long for somebody who looks on; the environment wins.
HURRY: Mapping[str, str] = {"INTEREST_RECOMMEND__MIN_INTERVAL_S": "5"}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Servers:
    """Addresses of servers that are there already; None starts one."""

    kafka: str | None = None
    redis: str | None = None


class Stage:
    """A context manager; `settings` are those of everything that runs on it once it is entered."""

    def __init__(
        self, settings: Settings, servers: Servers, say: Say, *, prefix: str = PREFIX, hurry: Mapping[str, str] = HURRY
    ) -> None:
        """`prefix`: of topics and group. `hurry`: variables in place of settings that are too slow to be looked at."""
        self.settings = settings
        self._prefix, self._hurry = prefix, hurry
        self._servers = servers
        self._say = say
        self._folder = settings.data_dir.resolve() / "demo"
        self._stack = ExitStack()
        self._worker: LeashedProcess | None = None
        self._catalog: LeashedProcess | None = None
        self._web: LeashedProcess | None = None
        self._catalog_port = free_port()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            kafka, redis = self.settings.kafka, self.settings.redis
            if self._servers.kafka is None:
                kafka = _own_kafka(kafka, opening.enter_context(self._kafka()).bootstrap)
            if self._servers.redis is None:
                redis = Redis(url=SecretStr(opening.enter_context(LocalValkey(self._folder / "redis")).url))
            self.settings = _with(self.settings, kafka, redis, self._prefix)
            address = redis.url.get_secret_value().rpartition("@")[2].rpartition("://")[2].removesuffix("/0")
            self._say(f"Kafka at {kafka.bootstrap}, Redis at {address}")
            self._topics()
            self._stack = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, problem, where)

    @property
    def metrics_url(self) -> str:
        return f"http://{HOST}:{self.settings.metrics.port}/metrics"

    def start_worker(self) -> None:
        """Start a worker; `wait_for_worker` says when it is ready."""
        self._worker = self._started("worker")

    def start_catalog(self) -> None:
        """Start a catalogue service."""
        self._catalog = self._started("catalog", "--metrics-port", str(self._catalog_port))

    def start_web(self) -> None:
        """Start the pages, on their own port or else on a free one, and say where."""
        pages = [self.metrics_url]
        if self._catalog:
            pages.append(f"http://{HOST}:{self._catalog_port}/metrics")
        web = self.settings.web
        port = free_port() if port_answers(web.port) else web.port
        changed = {"port": port, "metrics_urls": tuple(pages), "what_if": "changelog"}
        self.settings = self.settings.model_copy(update={"web": web.model_copy(update=changed)})
        self._web = self._started("web")
        self._say(f"the page is at http://{web.host}:{port}")

    def _started(self, *command: str) -> LeashedProcess:
        log = self._folder / f"{command[0]}.log"
        log.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "stream_app", *command]
        return self._stack.enter_context(_running(argv, log, self._environment()))

    def wait_for_worker(self) -> None:
        """Returns once the worker takes events. Raises `DemoError` with the end of its log."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            self.check()
            reading = meter.read(self.metrics_url, time.monotonic())
            if reading is not None and reading.ready:
                return
            if time.monotonic() > deadline:
                raise DemoError(f"the worker was not ready within {READY_TIMEOUT_S:.0f} s. {_end_of(self._worker)}")
            time.sleep(0.1)

    def check(self) -> None:
        """Raises `DemoError` if one of the processes has ended."""
        for name, process in (("worker", self._worker), ("catalogue service", self._catalog), ("page", self._web)):
            code = process.exit_code() if process else None
            if code is not None:
                raise DemoError(f"the {name} ended with status {code}. {_end_of(process)}")

    def keep_models_aside(self, name: str) -> str:
        """From now on models are those of the data set of that name, in a folder of their own; which one."""
        models = self.settings.models.model_copy(update={"url": str(self.settings.data_dir / name / "models")})
        self.settings = self.settings.model_copy(update={"models": models})
        return models.url

    def train(self, *source: str) -> None:
        """Train and publish a first model, in a process of its own: it needs a gigabyte that the demo does not.
        `source`: arguments of `interest train`."""
        argv = [sys.executable, "-m", "stream_app", "train", *source]
        # Standard output is the demo's own, a JSON document perhaps.
        if subprocess.run(argv, env=self._environment(), stdout=STDERR, check=False).returncode:
            raise DemoError("no model could be trained; the reason stands above")

    def _kafka(self) -> LocalKafka:
        self._say("starting Kafka and Valkey")
        return LocalKafka(self._folder / "kafka")

    def _topics(self) -> None:
        topics.create(self.settings)
        wrong = [finding for finding in topics.check(self.settings) if "partition count" in finding.problem]
        if wrong:
            raise DemoError("\n".join(f"{', '.join(each.topics)}: {each.problem}. {each.mend}" for each in wrong))

    def _environment(self) -> dict[str, str]:
        """By environment, not by options: a password in a URL would show in the process list."""
        asked = {name: value for name, value in os.environ.items() if name in self._hurry}
        return {**environment(self.settings, os.environ), **self._hurry, **asked}


def _end_of(process: LeashedProcess | None) -> str:
    return f"The end of {process.log}:\n{process.log_tail()}" if process else ""


@contextmanager
def _running(argv: list[str], log: Path, environment: dict[str, str]) -> Iterator[LeashedProcess]:
    log.parent.mkdir(parents=True, exist_ok=True)
    process = LeashedProcess(argv, log, environment)
    try:
        yield process
    finally:
        process.stop(WORKER_GRACE_S)


def _own_kafka(kafka: Kafka, bootstrap: str) -> Kafka:
    """One broker that lets everybody of this machine in, whatever a production cluster asks for."""
    return kafka.model_copy(update={"bootstrap": bootstrap, "security": KafkaSecurity(), "replication": 1})


def _with(settings: Settings, kafka: Kafka, redis: Redis, prefix: str) -> Settings:
    """The settings on these servers, with a free port for metrics, and with topics and a group of the demo's own: on a
    broker of yours it must not mix its events with real ones."""
    topics = {field: f"{prefix}{name}" for field, name in kafka.topics.model_dump().items()}
    ours = {"group": f"{prefix}{kafka.group}", "topics": Topics(**topics)}
    return settings.model_copy(
        update={
            "kafka": kafka.model_copy(update=ours),
            "redis": redis,
            "metrics": settings.metrics.model_copy(update={"port": free_port(), "host": HOST}),
        }
    )
