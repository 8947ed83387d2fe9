"""What a supervisor asks a real worker, `/healthz` and `/readyz`, while it starts, works, waits and hangs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from stream_app.faust_slab.fatal import EXIT_STOPPED
from stream_app.local import LocalKafka, LocalValkey
from stream_app.local.server import free_port
from tests.bench.ground import unique
from tests.bench.model import catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, wait_for

# The servers' part is the same on both; `tests/contract` tries the other one.
pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

END_S = 90.0


class Watched(Member):
    """A worker with `recovering` and `hanging` to be touched and removed."""

    recovering: Path
    hanging: Path

    def ask(self, page: str) -> tuple[int, Any]:
        """Status and body; 0 while nobody answers. Raises RuntimeError once it has ended."""
        self.check()
        metrics = self.settings.metrics
        try:
            with urlopen(f"http://{metrics.host}:{metrics.port}/{page}", timeout=10) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def checks(self, page: str) -> dict[str, bool]:
        """Name of a check -> whether it has passed."""
        _, body = self.ask(page)
        return {name: check["ok"] for name, check in json.loads(body)["checks"].items()} if body else {}

    def until(self, page: str, status: int) -> None:
        wait_for(f"{status} of {page}", lambda: self.ask(page)[0] == status or None, END_S)


@pytest.fixture(scope="module")
def worker(
    kafka: LocalKafka, redis_url: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """Alone in its group, with one partition, and kept in recovery for now."""
    folder = tmp_path_factory.mktemp("health")
    model, url = catalogue_model(folder / "models", 40), redis_url.removesuffix("0") + "7"
    settings = member_settings(
        kafka.bootstrap, url, model, unique("health"), folder, 1,
        health={"max_beat_age_s": 3.0, "max_group_age_s": 5.0, "max_commit_age_s": 2.0}, cycle={"stall_s": 8.0},
    )  # fmt: skip
    make_topics(settings)
    recovering, hanging = folder / "recovering", folder / "hanging"
    recovering.touch()
    wounds = [
        {"hold": "SlabRecovery.on_recovery_completed", "while": str(recovering)},
        {"plant": "loop-hangs", "when": str(hanging)},
    ]
    member = Watched(settings, folder / "worker.log", nursery, wounds)
    member.recovering, member.hanging = recovering, hanging
    member.start()
    yield member
    member.__exit__(None, None, None)


# The tests are told in order: a worker's start is what takes the time.


def test_while_it_recovers_it_is_alive_and_not_ready(worker: Watched) -> None:
    passed = dict.fromkeys(("loop", "model", "group", "assigned", "commit_age"), True)
    expected = {**passed, "recovered": False}
    wait_for("assignment", lambda: worker.checks("readyz") == expected or None, END_S)
    assert worker.ask("readyz")[0] == 503
    assert worker.ask("healthz")[0] == 200


def test_once_it_has_recovered_it_is_ready(worker: Watched) -> None:
    worker.recovering.unlink()
    worker.until("readyz", 200)
    assert all(worker.checks("readyz").values())
    assert worker.checks("healthz") == {"loop": True}
    assert worker.ask("nonsense")[0] == 404


def test_a_worker_without_partitions_is_ready(worker: Watched, nursery: Nursery) -> None:
    """It has nothing to recover, and takes over when the other leaves; a roll-out must not wait for it for ever."""
    metrics = worker.settings.metrics.model_copy(update={"port": free_port()})
    settings = worker.settings.model_copy(update={"metrics": metrics})
    with Watched(settings, worker.log.with_name("spare.log"), nursery) as spare:
        worker.until("readyz", 200)
        spare.until("readyz", 200)
        worker.until("readyz", 200)
        held = [scrape.total("interest_partitions") for scrape in (worker.scrape(), spare.scrape()) if scrape]
        assert sorted(held) == [0, 1]
    worker.wait("all", lambda scrape: scrape.total("interest_partitions") == 1, END_S)


def test_while_nothing_becomes_durable_it_is_not_ready(worker: Watched, redis_server: LocalValkey) -> None:
    service = Neighbour(worker.settings)
    (user,) = service.users_in(0, 1)
    redis_server.pause()
    try:
        service.send("click", user)
        service.flush()
        worker.until("readyz", 503)
        assert [name for name, ok in worker.checks("readyz").items() if not ok] == ["commit_age"]
        assert worker.ask("healthz")[0] == 200
    finally:
        redis_server.resume()
    worker.until("readyz", 200)
    service.events_of(user, 1)
    service.close()


def test_while_kafka_is_silent_it_is_not_ready(worker: Watched, kafka: LocalKafka) -> None:
    """Though it has nothing to do."""
    kafka.pause()
    try:
        worker.until("readyz", 503)
        assert [name for name, ok in worker.checks("readyz").items() if not ok] == ["group"]
        assert worker.ask("healthz")[0] == 200
    finally:
        kafka.resume()
    worker.until("readyz", 200)


def test_while_its_loop_hangs_it_is_not_alive_and_then_ends(worker: Watched) -> None:
    service = Neighbour(worker.settings)
    worker.hanging.touch()
    service.send("click", service.users_in(0, 1)[0])
    service.flush()
    worker.until("healthz", 503)
    assert worker.checks("healthz") == {"loop": False}
    assert worker.ask("metrics")[0] == 200
    assert worker.wait_exit(END_S) == EXIT_STOPPED
    assert "the event loop has not turned for" in worker.log_text()
    assert "in harmed" in worker.log_text()
    service.close()
