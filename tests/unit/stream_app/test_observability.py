"""The batch histogram tells what prometheus-client's own would."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from stream_app.observability import BatchHistogram

BUCKETS = (0.1, 1.0, 10.0)


@given(st.lists(st.lists(st.one_of(st.floats(0, 20), st.sampled_from(BUCKETS)), max_size=10), max_size=4))
def test_many_values_at_once_count_as_one_by_one(batches: list[list[float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    batch_histogram = BatchHistogram("latency_seconds", "A meaning", "kind", BUCKETS)
    ours.register(batch_histogram)
    plain = Histogram("latency_seconds", "A meaning", ["kind"], buckets=BUCKETS, registry=theirs)
    for batch in batches:
        batch_histogram.observe("click", np.array(batch, np.float64))
        for value in batch:
            plain.labels("click").observe(value)
    if any(batches):
        assert _samples(ours) == _samples(theirs)


def _samples(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    rounded = [line if "_sum" not in line else f"{line.split()[0]} {float(line.split()[1]):.6f}" for line in lines]
    return [line for line in rounded if "_created" not in line]
