"""Recovery is told as it goes: how much, how fast, how long still."""

import gc
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from stream_app import restoring
from stream_app.observability import WorkerMetrics
from stream_app.restoring import Restoring


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> WorkerMetrics:
    monkeypatch.setattr(restoring, "LOG_EVERY_S", 2.0)
    return WorkerMetrics()


def test_progress_is_logged_every_few_seconds_and_gauged(metrics: WorkerMetrics) -> None:
    seconds: Iterator[float] = iter([100.0, 100.0, 101.0, 104.0, 105.0])
    told = Restoring(metrics, lambda: next(seconds))
    with capture_logs() as logs:
        told.read(1000)
        told.remaining({0: 6000, 1: 3000})
        told.read(1000)
        told.remaining({0: 5000, 1: 3000})
        assert not logs
        told.read(2000)
        told.remaining({0: 6000})
        assert metrics.registry.get_sample_value("interest_restore_remaining_records") == 6000
        told.ended(users=4000, behind=1)
    first, last = logs
    assert (first["partitions"], first["restored"], first["of"]) == (1, 4000, 10_000)
    assert (first["users_per_second"], first["seconds_left"]) == (1000, 6.0)
    assert (last["users"], last["seconds"], last["written_again"]) == (4000, 5.0, 1)
    assert metrics.registry.get_sample_value("interest_restored_users_total") == 4000
    assert metrics.registry.get_sample_value("interest_restore_remaining_records") == 0


def test_the_collector_rests_meanwhile(metrics: WorkerMetrics) -> None:
    told = Restoring(metrics)
    told.read(1)
    assert not gc.isenabled()
    told.ended(users=1, behind=0)
    assert gc.isenabled()


def test_a_recovery_with_nothing_to_read_says_nothing(metrics: WorkerMetrics) -> None:
    with capture_logs() as logs:
        Restoring(metrics).ended(users=0, behind=0)
    assert not logs
