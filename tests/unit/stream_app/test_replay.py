"""When a record is due."""

import pytest

from stream_app.replay import Pace, Replayed


@pytest.mark.parametrize(
    ("pace", "number", "ts_ms", "due_s"),
    [
        (Pace(), 1000, 9_000_000, 0.0),
        (Pace(rate=200), 0, 5_000, 0.0),
        (Pace(rate=200), 1000, 5_000, 5.0),
        (Pace(speedup=60), 1000, 65_000, 1.0),
        (Pace(speedup=60), 1000, 4_000, 0.0),  # out of order: at once
    ],
)
def test_due(pace: Pace, number: int, ts_ms: int, due_s: float) -> None:
    assert pace.due_s(number, ts_ms, first_ts_ms=5_000) == pytest.approx(due_s)


def test_rate_of_what_was_delivered() -> None:
    assert Replayed({"click": 30, "rating": 10}, 2.0).events_per_second == 20
    assert Replayed({}, 0.0).events_per_second == 0
