"""Worker processes that are treated roughly: killed, stopped, and started again under the same settings."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from stream_app import topics
from stream_app.local.leash import ProcessGroup
from stream_app.local.server import free_port
from stream_app.settings import Kafka, Log, Metrics, ModelStore, Recommend, Redis, Settings, load
from tests.bench.load import topics_named
from tests.bench.worker import Scrape, Worker
from tests.failure import wounds
from tests.failure.nursery import Nursery

READY_S = 120.0
STOP_S = 30.0


class Member(Worker):
    """One worker's place: `start` it, end it in one way or another, start it again. Its log goes on in one file.

    With a nursery it starts in a second, and can be wounded; `always` are wounds that it has at each start. `told` are
    variables by which an operator starts it otherwise.
    """

    def __init__(
        self, settings: Settings, log: Path, nursery: Nursery | None = None, always: Sequence[wounds.Wound] = ()
    ) -> None:
        super().__init__(settings, log)
        self.settings, self.name = settings, log.stem
        self._nursery, self._always, self._healthy = nursery, always, dict(self._env)
        self._lock, self._meant_to_run = threading.Lock(), False
        self.told: dict[str, str] = {}

    def start(self, wounds: Sequence[wounds.Wound] = ()) -> None:
        """Returns at once; see `wait_ready`. One with wounds is not expected to stay."""
        with self._lock:
            self._start(wounds)
            self._meant_to_run = not wounds

    def _start(self, given: Sequence[wounds.Wound]) -> None:
        self._env = self._healthy | self.told | wounds.environment([*self._always, *given])
        self.__enter__()

    def _launch(self) -> ProcessGroup:
        if self._nursery is None:
            return super()._launch()
        return self._nursery.launch(self.log, self._env)

    def start_again(self) -> int | None:
        """If it has ended by itself: start it, as a supervisor would, and return its exit status."""
        with self._lock:
            code = self.exit_code() if self._meant_to_run else None
            if code is not None:
                self._start(())
            return code

    def leave_alone(self) -> None:
        """Nobody starts it again when it ends."""
        with self._lock:
            self._meant_to_run = False

    def kill(self) -> None:
        """`kill -9`."""
        with self._lock:
            self._meant_to_run = False
            self._process.kill()

    def terminate(self) -> int:
        """SIGTERM; returns the exit status."""
        with self._lock:
            self._meant_to_run = False
            return self._process.stop(STOP_S)

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and does nothing."""
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.exit_code()

    def wait_exit(self, timeout_s: float) -> int:
        """Exit status of a worker that ends by itself. Raises `subprocess.TimeoutExpired`."""
        return self._process.wait(timeout_s)

    def is_ready(self) -> bool:
        """Whether it has recovered and consumes; False too once it has ended."""
        if self.exit_code() is not None:
            return False
        scrape = self.scrape()
        return scrape is not None and scrape.total("interest_ready") == 1

    def wait_ready(self) -> Scrape:
        return self.wait("ready", lambda scrape: scrape.total("interest_ready") == 1, READY_S)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def member_settings(
    bootstrap: str, redis_url: str, model_url: str, name: str, folder: Path, partitions: int = 4, **sections: Any
) -> Settings:
    """Settings of a worker that notices the death of another within seconds; `kafka={...}` and the like change them.

    `name` is the group and the topics' prefix. Each call gives another metrics port.
    """
    kafka = {
        "bootstrap": bootstrap,
        "group": name,
        "partitions": partitions,
        "topics": topics_named(name),
        # The dead are waited for this long at each rebalance; the production value of 30 s would be most of a test.
        "session_timeout_s": 6.0,
        "heartbeat_s": 1.0,
        "rebalance_timeout_s": 20.0,
        "commit_interval_s": 0.2,
    }
    made: dict[str, Any] = {
        "kafka": Kafka(**{**kafka, **sections.pop("kafka", {})}),
        "redis": Redis(url=SecretStr(redis_url), **sections.pop("redis", {})),
        "models": ModelStore(url=model_url, **sections.pop("models", {})),
        "recommend": Recommend(**{"min_interval_s": 0.5, "min_drift": 0.0, **sections.pop("recommend", {})}),
        "metrics": Metrics(port=free_port()),
        "log": Log(level="warning"),
        "data_dir": folder / "data",
    }
    return load(**made, **sections)


def make_topics(settings: Settings) -> None:
    """All topics of these settings."""
    topics.create(settings)
