"""A worker takes itself for a member only while the group can't have dropped it."""

import pytest

from stream_app.faust_slab.lease import Lease, now_s


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        (100.0, True),
        (104.9, True),
        (105.0, False),  # half of the session's timeout: what is written now must arrive before all of it is over
        (1_000.0, False),
    ],
)
def test_it_counts_from_when_the_question_was_sent(now: float, holds: bool) -> None:
    lease = Lease(session_s=10.0, rebalance_s=60.0)
    lease.renew(100.0, rebalancing=False)
    assert lease.holds(now) is holds


def test_a_rebalance_is_not_waited_for_for_ever() -> None:
    """The group hears of this worker all the time, and drops it all the same if it does not join."""
    lease = Lease(session_s=10.0, rebalance_s=60.0)
    lease.renew(100.0, rebalancing=False)
    for sent_at_s in range(101, 140):
        lease.renew(float(sent_at_s), rebalancing=True)
    assert lease.holds(129.9 + 0.0)
    assert not lease.holds(139.0)


def test_an_answer_makes_it_hold_again_and_nothing_else_does() -> None:
    lease = Lease(session_s=10.0, rebalance_s=60.0)
    assert not lease.holds(0.0)
    lease.renew(50.0, rebalancing=False)
    assert lease.holds(50.0)


def test_the_clock_goes_on() -> None:
    before = now_s()
    assert now_s() >= before > 0
