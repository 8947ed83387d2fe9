"""When somebody who fails is left alone, by a clock that stands still."""

import pytest

from model_store.catalog.annotators.breaker import Breaker, BreakerPolicy


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(BreakerPolicy(failures=3, rest_s=60), clock)


def test_it_opens_after_failures_in_a_row(breaker: Breaker) -> None:
    for _ in range(2):
        breaker.failed()
    breaker.succeeded()
    for _ in range(2):
        breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    assert breaker.is_open


def test_after_the_rest_one_may_try(breaker: Breaker, clock: Clock) -> None:
    breaker.open()
    clock.now_s += 59
    assert not breaker.allows()
    clock.now_s += 1
    assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_a_try_that_succeeds_closes_it(breaker: Breaker, clock: Clock) -> None:
    breaker.open()
    clock.now_s += 60
    assert breaker.allows()
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.allows()


def test_a_try_that_fails_opens_it_anew(breaker: Breaker, clock: Clock) -> None:
    breaker.open()
    clock.now_s += 60
    assert breaker.allows()
    clock.now_s += 10
    breaker.failed()
    clock.now_s += 59
    assert not breaker.allows()
    clock.now_s += 1
    assert breaker.allows()


def test_a_try_that_nobody_tells_of_is_followed_by_another(breaker: Breaker, clock: Clock) -> None:
    breaker.open()
    for _ in range(3):
        clock.now_s += 60
        assert breaker.allows()
