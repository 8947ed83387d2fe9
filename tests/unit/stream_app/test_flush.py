"""When a flush is due."""

import pytest

from stream_app.flush import MAX_REST_S, FlushPolicy, LastFlush

POLICY = FlushPolicy(interval_s=0.25, max_touched_users=1000, duty=0.2)


@pytest.mark.parametrize(
    ("now_s", "took_s", "behind", "due"),
    [
        (10.24, 0.0, False, False),
        (10.25, 0.0, False, True),
        (10.25, 1.0, False, True),  # nobody waits: the interval alone counts
        (10.25, 1.0, True, False),  # one second at a duty of a fifth: rest four
        (13.99, 1.0, True, False),
        (14.0, 1.0, True, True),
        (10 + MAX_REST_S, 100.0, True, True),  # however long the last one took
    ],
)
def test_flushes_rest_by_the_share_of_time_they_may_take(now_s: float, took_s: float, behind: bool, due: bool) -> None:
    assert POLICY.should_flush(now_s, LastFlush(10.0, took_s), 1, 1, behind) is due


def test_many_touched_users_hasten_it() -> None:
    last = LastFlush(10.0, 1.0)
    assert not POLICY.should_flush(10.1, last, 1, 999, behind=True)
    assert POLICY.should_flush(10.1, last, 1, 1000, behind=True)


def test_nothing_applied_means_nothing_to_flush() -> None:
    assert not POLICY.should_flush(1e9, LastFlush(0.0, 0.0), 0, 0, behind=False)
