"""When bad events are a flood."""

from typing import Any

import pytest

from stream_app.contracts.errors import BadEventFlood, StopWorker
from stream_app.contracts.reasons import Reason
from stream_app.contracts.validity import Rejected
from stream_app.settings import Accept
from stream_app.sinks.dead_letters import FloodGuard, FloodPolicy


class Consumed:
    topic, partition, offset, key, value = "interest.clicks", 3, 42, b"k", b"{"
    headers: Any = ()


def guard(share: float = 0.5, min_events: int = 100) -> FloodGuard:
    return FloodGuard(FloodPolicy(share, min_events))


def test_few_events_are_no_flood_however_bad() -> None:
    guard().check(0.0, 99, 99)


def test_exactly_the_share_is_no_flood_and_one_more_is() -> None:
    flood = guard()
    flood.check(0.0, 200, 100)
    with pytest.raises(BadEventFlood, match=r"101 of the last minute's 200 events are bad"):
        flood.check(0.5, 0, 1)


def test_minute_counts_as_a_whole() -> None:
    flood = guard()
    for second in range(59):
        flood.check(float(second), 10, 5)
    with pytest.raises(BadEventFlood):
        flood.check(59.0, 10, 6)


def test_older_than_a_minute_is_forgotten() -> None:
    flood = guard()
    flood.check(0.0, 1_000, 400)
    flood.check(60.0, 99, 99)
    with pytest.raises(BadEventFlood):
        flood.check(60.9, 1, 1)


def test_good_minute_keeps_a_bad_second_from_being_a_flood() -> None:
    flood = guard()
    flood.check(0.0, 10_000, 0)
    flood.check(30.0, 1_000, 1_000)


def test_clock_set_back_does_not_lose_the_count() -> None:
    flood = guard()
    flood.check(100.0, 60, 40)
    with pytest.raises(BadEventFlood):
        flood.check(40.0, 60, 40)


def test_message_shows_what_is_wrong_and_where() -> None:
    latest = [Rejected(Reason.NOT_JSON, "truncated", Consumed())]
    with pytest.raises(StopWorker, match=r"1 not_json; for example interest\.clicks\[3\] offset 42\)"):
        guard(min_events=1).check(0.0, 1, 1, latest)


def test_a_share_of_one_lets_everything_pass() -> None:
    FloodGuard.of(Accept(flood_share=1.0)).check(0.0, 1_000_000, 1_000_000)


def test_settings_make_the_policy() -> None:
    flood = FloodGuard.of(Accept(flood_share=0.1, flood_min_events=10))
    flood.check(0.0, 10, 1)
    with pytest.raises(BadEventFlood):
        flood.check(0.0, 0, 1)
