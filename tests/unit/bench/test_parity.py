"""What the parity benchmark calls a difference."""

from typing import Any

import numpy as np
import pytest

from model_store.state.layout import USER
from tests.bench.parity import StateDifference, demand

FINE = {"users": 3, "identical_users": 3, "max_abs_difference": 0.0, "metric_offline": 0.5, "metric_streamed": 0.5}


def states() -> np.ndarray[tuple[int], np.dtype[np.void]]:
    out = np.zeros(3, USER)
    out["events"] = [1, 2, 3]
    out["time"][:, 0, 0] = [0.5, 0.25, 0.125]
    out["time_weight"][:, 0] = [1.0, 0.5, 2.0]
    return out


def test_equal_states_do_not_differ() -> None:
    assert StateDifference.of(states(), states()) == StateDifference(3, 3, 0.0, 0.0, 0)


def test_a_sum_differs_by_what_the_model_reads_of_it() -> None:
    other = states()
    other["time"][1, 0, 0] += 0.125
    # The mean is the sum over a weight of 0.5; the sum itself is off by half of its size.
    assert StateDifference.of(states(), other) == StateDifference(3, 3, 0.25, 0.5, 0)


@pytest.mark.parametrize("field", ["ring", "rank", "bucket_clicks", "rated_value", "version", "followee"])
def test_what_does_not_depend_on_order_must_be_equal(field: str) -> None:
    other = states()
    other[field][2] = 9
    assert StateDifference.of(states(), other).identical_users == 2


def test_the_filter_is_counted_apart() -> None:
    other = states()
    other["seen"][2, 1, 3] = 9
    assert StateDifference.of(states(), other) == StateDifference(3, 3, 0.0, 0.0, 1)


def test_delivery_and_recommendations_do_not_count() -> None:
    other = states()
    other["next_offset"] = 5
    other["event_id"] = 6
    other["rec_seq"] = 7
    assert StateDifference.of(states(), other) == StateDifference(3, 3, 0.0, 0.0, 0)


def test_good_figures_pass() -> None:
    demand(FINE)


@pytest.mark.parametrize(
    "bad",
    [
        {"identical_users": 2},
        {"max_abs_difference": 2e-5},
        {"max_abs_difference": float("nan")},
        {"metric_streamed": 0.4},
    ],
)
def test_bad_figures_end_the_benchmark(bad: dict[str, Any]) -> None:
    with pytest.raises(SystemExit):
        demand({**FINE, **bad})
