"""How fast and how evenly all rows are gone round."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.revisits import MOST, Lap

START_S = 1_000.0


def walked(lap: Lap, sizes: dict[int, int], seconds: list[float]) -> Counter[tuple[int, int]]:
    """How often each row was looked at."""
    return Counter((partition, row) for s in seconds for partition, rows in lap.step(sizes, s).items() for row in rows)


def times(until_s: float, step_s: float) -> list[float]:
    return [START_S + step_s * step for step in range(1, round(until_s / step_s) + 1)]


def test_a_lap_takes_as_long_as_it_is_told() -> None:
    sizes = {0: 300, 3: 0, 7: 500}
    half = walked(Lap(10.0, START_S), sizes, times(5.0, 0.1))
    assert sum(half.values()) == pytest.approx(400, abs=1)
    whole = walked(Lap(10.0, START_S), sizes, times(10.01, 0.1))
    assert set(whole) == {(0, row) for row in range(300)} | {(7, row) for row in range(500)}


@given(st.dictionaries(st.integers(0, 9), st.integers(0, 900), max_size=5), st.lists(st.floats(0.0, 3.0), max_size=60))
def test_no_row_is_looked_at_twice_before_all_were(sizes: dict[int, int], waits_s: list[float]) -> None:
    seconds = [START_S + sum(waits_s[: place + 1]) for place in range(len(waits_s))]
    seen = walked(Lap(5.0, START_S), sizes, seconds)
    rows = [seen[partition, row] for partition, size in sizes.items() for row in range(size)]
    assert set(seen) <= {(partition, row) for partition, size in sizes.items() for row in range(size)}
    assert max(rows, default=0) - min(rows, default=0) <= 1


def test_a_step_is_bounded_and_what_was_missed_is_not_made_up_for() -> None:
    lap = Lap(1.0, START_S)
    first = lap.step({0: 10_000}, START_S + 3_600)
    assert first == {0: range(MOST)}
    assert lap.step({0: 10_000}, START_S + 3_600) == {}


def test_partitions_that_go_and_come_leave_nobody_out_for_ever() -> None:
    lap = Lap(2.0, START_S)
    walked(lap, {0: 50, 1: 50}, times(1.5, 0.1))
    seen = walked(lap, {1: 20}, [START_S + 1.5 + one - START_S for one in times(4.1, 0.1)])
    assert set(seen) == {(1, row) for row in range(20)}


def test_standing_still() -> None:
    assert walked(Lap(0.0, START_S), {0: 100}, times(100.0, 10.0)) == {}
    assert walked(Lap(1.0, START_S), {}, times(10.0, 1.0)) == {}


def test_a_clock_that_goes_back_does_no_harm() -> None:
    lap = Lap(1.0, START_S)
    assert lap.step({0: 100}, START_S - 50) == {}
    assert lap.step({0: 100}, START_S - 49.5) == {0: range(50)}
