"""Figures out of a worker's metrics, held against the values that went in."""

import math

import numpy as np
import pytest
from prometheus_client import generate_latest

from stream_app.demo.meter import Meter, Reading, parse, quantile
from stream_app.observability import WorkerMetrics


def test_what_a_worker_counts_is_what_is_read() -> None:
    metrics = WorkerMetrics()
    metrics.events.labels("click", "applied").inc(5)
    metrics.events.labels("rating", "applied").inc(3)
    metrics.events.labels("click", "duplicate").inc(2)
    metrics.events.labels("click", "dead_lettered").inc(1)
    metrics.events.labels("click", "replayed").inc(100)
    metrics.event_to_redis.observe("click", np.array([0.004, 0.004, 0.3]))
    metrics.event_to_redis.observe("rating", np.array([0.004, 99.0]))
    metrics.ready.set(1)
    metrics.users.set(17)
    metrics.recommendations.inc(4)
    reading = parse(generate_latest(metrics.registry).decode(), 1.0)
    assert reading.accounted == 11
    assert reading.outcomes["applied"] == 8
    assert (reading.ready, reading.users, reading.recommendations) == (True, 17, 4)
    assert {bound: count for bound, count in reading.latency.items() if count} == {0.005: 3, 0.5: 1, math.inf: 1}


def test_a_worker_that_just_started_is_not_ready() -> None:
    reading = parse(generate_latest(WorkerMetrics().registry).decode(), 0.0)
    assert not reading.ready
    assert reading.accounted == 0
    assert quantile(reading.latency, 0.5) is None


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.9, 0.99])
def test_quantile_is_within_the_bucket_of_the_true_one(share: float) -> None:
    values = np.random.default_rng(1).lognormal(-4, 1, 5_000)
    edges = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0, math.inf]
    counts = {
        edge: int(((values > low) & (values <= edge)).sum()) for low, edge in zip([0, *edges], edges, strict=False)
    }
    true = float(np.quantile(values, share))
    low, high = max(edge for edge in [0, *edges] if edge < true), min(edge for edge in edges if edge >= true)
    found = quantile(counts, share)
    assert found is not None
    assert low <= found <= high


def test_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile({0.1: 1, 60.0: 0, math.inf: 9}, 0.5) == 60.0


def test_rates_and_latencies_are_of_the_last_seconds() -> None:
    meter = Meter(window_s=5)
    for second in range(1, 21):
        slow = max(0, second - 10)
        meter.add(Reading(float(second), {"applied": 100 * second}, {0.01: min(second, 10), 1.0: slow}))
    assert meter.events_per_second() == pytest.approx(100)
    # For ten seconds now all events have been in the slow bucket, for ten before that in the quick one.
    (p50,) = meter.latency_s([0.5])
    assert p50 is not None
    assert 0.01 < p50 <= 1.0
