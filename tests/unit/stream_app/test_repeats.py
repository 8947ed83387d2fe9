"""A fault that repeats is told a few times, and then counted."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from stream_app import logs
from stream_app.faust_slab import fatal
from stream_app.repeats import MOST_KEYS, SHOWN, WINDOW_S, Repeats
from stream_app.settings import Log

Told = list[tuple[str, int, float]]


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def repeats(told: Told) -> Repeats[str]:
    return Repeats(lambda last, times, seconds: told.append((last, times, seconds)))


def test_the_first_ones_are_shown_and_the_rest_counted(repeats: Repeats[str], told: Told) -> None:
    shown = [repeats.is_shown("away", f"attempt {number}", number / 10) for number in range(300)]
    assert shown == [True] * SHOWN + [False] * (300 - SHOWN)
    assert repeats.holds_back
    assert told == []
    assert repeats.is_shown("other", "something else", WINDOW_S + 1)
    assert told == [("attempt 299", 300 - SHOWN, WINDOW_S + 1)]


def test_a_new_minute_begins_anew_and_what_was_shown_wholly_is_not_told_again(
    repeats: Repeats[str], told: Told
) -> None:
    for minute in range(3):
        for number in range(SHOWN):
            assert repeats.is_shown("away", "", minute * WINDOW_S + number)
    repeats.tell_all(3 * WINDOW_S)
    assert told == []
    assert not repeats.holds_back


def test_ever_new_words_do_not_fill_the_memory_and_lose_no_count(repeats: Repeats[str], told: Told) -> None:
    for _ in range(SHOWN + 2):
        repeats.is_shown("first", "first", 0.0)
    for number in range(2 * MOST_KEYS):
        assert repeats.is_shown(number, "", 1.0)
    assert told == [("first", 2, 1.0)]
    assert len(repeats._windows) == MOST_KEYS


@contextmanager
def json_logs() -> Iterator[None]:
    """Not a fixture: pytest would put its own handlers back, which `configure` closes."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure(Log(json_lines=True), worker="host:7", generation=2)
    try:
        yield
        root.handlers[0].close()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
        fatal.as_json = None


def test_logs_are_limited_ours_and_the_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    with json_logs():
        ours = structlog.get_logger("ours")
        for attempt in range(100):
            ours.warning("away", attempt=attempt)
            logging.getLogger("library").error("no route to %s", attempt)
            ours.info("so far", of=attempt)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert all((line["worker"], line["generation"]) == ("host:7", 2) for line in lines)
    away = [line for line in lines if line["event"] == "away"]
    assert [line["attempt"] for line in away] == [*range(SHOWN), 99]
    assert away[-1]["repeated"] == 100 - SHOWN
    theirs = [line for line in lines if line["logger"] == "library"]
    assert (len(theirs), theirs[-1]["event"], theirs[-1]["repeated"]) == (SHOWN + 1, "no route to 99", 100 - SHOWN)
    assert all("repeated" not in line for line in away[:-1] + theirs[:-1])
    # What is told below a warning is told at moments of its own, progress for example.
    assert len([line for line in lines if line["event"] == "so far"]) == 100


def test_the_last_line_of_a_worker_that_stops_itself_is_json_too() -> None:
    with json_logs():
        last = json.loads(fatal._last_line("sink", ValueError("no room\nleft")))
    assert (last["event"], last["level"], last["where"]) == ("worker stopped", "critical", "sink")
    assert last["worker"] == "host:7"
    assert last["why"].startswith("no room\nleft")
