"""What the pages say of a worker, as time goes by."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from stream_app.health import Health
from stream_app.observability import WorkerMetrics
from stream_app.settings import Health as Bounds
from stream_app.settings import Metrics


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """At work, with bounds of 5, 20 and 30 s."""
    one = Health(Bounds(max_beat_age_s=5, max_group_age_s=20, max_commit_age_s=30), clock)
    one.warm = one.assigned = one.recovered = True
    one.beat()
    one.hear_group()
    return one


def _failed(checks: Any) -> list[str]:
    return [check.name for check in checks if not check.passed]


def test_a_worker_at_work_is_alive_and_ready(health: Health) -> None:
    assert _failed(health.live()) == _failed(health.ready()) == []


@pytest.mark.parametrize("attribute", ["warm", "assigned", "recovered"])
def test_each_thing_that_is_missing_is_named(health: Health, attribute: str) -> None:
    setattr(health, attribute, False)
    assert _failed(health.ready()) == ["model" if attribute == "warm" else attribute]
    assert _failed(health.live()) == []


def test_a_loop_that_stands_still_is_not_alive(health: Health, clock: Clock) -> None:
    clock.now_s += 5
    assert _failed(health.live()) == []
    clock.now_s += 0.1
    assert _failed(health.live()) == _failed(health.ready()) == ["loop"]
    health.beat()
    assert _failed(health.live()) == []


def test_what_waits_for_long_makes_it_unready_but_not_dead(health: Health, clock: Clock) -> None:
    health.unacked_since_s = clock.now_s
    clock.now_s += 30.5
    health.beat()
    health.hear_group()
    assert health.commit_age_s() == 30.5
    assert _failed(health.ready()) == ["commit_age"]
    assert _failed(health.live()) == []


def test_who_is_cut_off_from_kafka_is_not_ready_though_nothing_waits(health: Health, clock: Clock) -> None:
    clock.now_s += 20.5
    health.beat()
    assert _failed(health.ready()) == ["group"]
    assert _failed(health.live()) == []
    health.hear_group()
    assert _failed(health.ready()) == []


def test_before_the_loop_starts_nothing_is_wrong_with_it(clock: Clock) -> None:
    starting = Health(Bounds(), clock)
    clock.now_s += 1000
    assert _failed(starting.live()) == []
    assert _failed(starting.ready()) == ["model", "group", "assigned", "recovered"]


@pytest.fixture
def served() -> tuple[WorkerMetrics, str]:
    metrics = WorkerMetrics()
    port = metrics.serve(Metrics(port=0))
    return metrics, f"http://127.0.0.1:{port}"


def _ask(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_pages(served: tuple[WorkerMetrics, str]) -> None:
    metrics, url = served
    assert _ask(f"{url}/healthz")[0] == 200
    status, body = _ask(f"{url}/readyz")
    assert status == 503
    assert body.count("\n") == 1
    assert json.loads(body)["checks"]["recovered"] == {"ok": False, "says": "reading the changelog"}
    metrics.health.warm = metrics.health.assigned = metrics.health.recovered = True
    metrics.health.hear_group()
    assert _ask(f"{url}/readyz?verbose=1")[0] == 200
    assert "interest_commit_age_seconds 0.0" in _ask(f"{url}/metrics")[1]
    assert _ask(f"{url}/metrics/../secrets")[0] == 404
    assert _ask(f"{url}/")[0] == 404
