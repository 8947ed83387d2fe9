"""Figures from two looks at a real registry, against what was observed in between."""

import numpy as np
import pytest
from prometheus_client import generate_latest

from stream_app.histograms import quantile
from stream_app.observability import WorkerMetrics
from stream_app.web.scrape import Look, Span, flow_figures, kind_of, merged, parsed, process_figures


def look(metrics: WorkerMetrics, at_s: float) -> Look:
    return parsed(generate_latest(metrics.registry).decode(), at_s)


def worker(events: int, at_s: float, metrics: WorkerMetrics | None = None) -> tuple[WorkerMetrics, Look]:
    """After so many events more."""
    metrics = metrics or WorkerMetrics()
    metrics.events.labels("click", "applied").inc(events)
    metrics.event_to_redis.observe("click", np.full(events, 0.004))
    metrics.stage.labels("advance").observe(0.002)
    metrics.lag.labels("clicks").set(7)
    metrics.users.set(3)
    metrics.show_model("model-7", 1, 0)
    return metrics, look(metrics, at_s)


def some(rates: dict[str, float]) -> dict[str, float]:
    """Those that are not 0: counters tell of every kind from the start."""
    return {name: rate for name, rate in rates.items() if rate}


def test_what_grew_between_two_looks() -> None:
    metrics, first = worker(100, 10.0)
    _, last = worker(50, 20.0, metrics)
    flow = flow_figures(Span(first, last))
    assert some(flow["in"]) == {"click": 5.0}
    assert some(flow["outcomes"]) == {"applied": 5.0}
    assert flow["lag"] == {"clicks": 7}
    assert flow["users"] == 3
    p50, p99 = flow["event_to_redis"]
    assert 0.0025 < p50 < p99 <= 0.005  # the bucket of 4 ms
    [advance] = [one for one in flow["stages"] if one["name"] == "advance"]
    assert advance["per_s"] == pytest.approx(0.1)
    assert 0.001 < advance["p"][0] <= 0.0025


def test_a_process_that_began_anew_has_no_negative_rates() -> None:
    _, before = worker(100, 10.0)
    _, after = worker(1, 20.0)
    assert set(flow_figures(Span(before, after))["in"].values()) == {0.0}


def test_two_workers_are_one_system() -> None:
    one, one_first = worker(10, 0.0)
    two, two_first = worker(20, 1.0)
    spans = [Span(one_first, worker(10, 10.0, one)[1]), Span(two_first, worker(30, 11.0, two)[1])]
    flow = flow_figures(merged(spans))
    assert some(flow["in"]) == {"click": pytest.approx(4.0)}
    assert flow["users"] == 6


def test_whose_page_it_is() -> None:
    _, one = worker(1, 0.0)
    assert kind_of(one) == "worker"
    assert kind_of(parsed("interest_trainer_lag_events 1\n", 0.0)) == "trainer"
    assert kind_of(parsed("interest_catalog_lag_items 1\ninterest_partitions 0\n", 0.0)) == "catalog"
    assert kind_of(Look()) == ""
    assert process_figures("here:1", Span(Look(), Look()))["away"]
    figures = process_figures("here:1", Span(one, one))
    assert (figures["model"], figures["generation"], figures["away"]) == ("model-7", "1", False)


def test_quantiles_are_those_of_a_naive_count() -> None:
    edges = [0.1, 0.5, 1.0, float("inf")]
    values = np.random.default_rng(3).uniform(0, 1, 10_000)
    cumulative = {edge: float((values <= edge).sum()) for edge in edges}
    for share in (0.05, 0.5, 0.99):
        assert quantile(cumulative, share) == pytest.approx(np.quantile(values, share), abs=0.02)
    assert quantile({0.1: 0, 0.5: 3, float("inf"): 9}, 0.99) == 0.5  # the lower bound of the last
    assert quantile({}, 0.5) is None
    assert quantile({0.1: 0, float("inf"): 0}, 0.5) is None


@pytest.mark.parametrize("text", ["<html>", "x{ 1", 'a{b="c"} one'])
def test_what_is_no_metrics_page_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(text, 0.0)
