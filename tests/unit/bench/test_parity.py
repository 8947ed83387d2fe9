"""What the parity benchmark calls a difference."""

import numpy as np

from model_store.state.layout import USER
from tests.bench.parity import StateDifference


def states() -> np.ndarray[tuple[int], np.dtype[np.void]]:
    out = np.zeros(3, USER)
    out["events"] = [1, 2, 3]
    out["time"][:, 0, 0] = [0.5, 0.25, 0.125]
    return out


def test_equal_states_are_identical() -> None:
    assert StateDifference.of(states(), states()) == StateDifference(3, 0.0, 3, 0)


def test_a_float_differs_by_so_much() -> None:
    other = states()
    other["time"][1, 0, 0] += 0.5
    assert StateDifference.of(states(), other) == StateDifference(3, 0.5, 2, 0)


def test_a_counter_is_another_kind_of_difference() -> None:
    other = states()
    other["ring"][2, 4] = 9
    assert StateDifference.of(states(), other) == StateDifference(3, 0.0, 2, 1)


def test_delivery_and_recommendations_do_not_count() -> None:
    other = states()
    other["next_offset"] = 5
    other["event_id"] = 6
    other["rec_seq"] = 7
    assert StateDifference.of(states(), other).identical_users == 3
