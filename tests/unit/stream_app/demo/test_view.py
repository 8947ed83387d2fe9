"""What people see of a user."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from stream_app.client import Interest, Window
from stream_app.contracts.recommendations import Item, Reason, Recommendation, Trigger
from stream_app.demo.person import Person
from stream_app.demo.view import Now, bar, because, milliseconds, person_panel, plain_line, screen

NOTHING = np.zeros(4, np.float32)
PERSON = Person(
    Interest(
        user_id="a[b]c",
        vector=NOTHING,
        behaviour=NOTHING,
        social=NOTHING,
        content=NOTHING,
        topics={"Comedy": 0.5, "Sci-Fi [1]": 0.3, "Drama": 0.2},
        windows={"1h": Window(clicks=3, dwell_ms=0, ratings=2, rating_mean=0.75, follows=0)},
        version=9,
        generation=1,
        events=1234,
        event_ts_ms=875_000_000_000,
        updated_at_ms=0,
        model="m-1",
    ),
    Recommendation("e", "a", 0, Trigger("click", "x", 0), "m-1", [Item("7", 1.5, Reason("behaviour", "Comedy", "8"))]),
)
NOW = Now(500, 400, 1000, 1999.6, 0.0081, 0.0223, 17, 5, PERSON)


def drawn(renderable: object, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("share", "cells"), [(0, 0), (1, 10), (2, 10), (-1, 0), (0.5, 5), (0.05, 0.5), (0.9875, 9.875)]
)
def test_bar_is_as_long_as_its_share_and_always_as_wide(share: float, cells: float) -> None:
    text = bar(share, cells=10)
    assert len(text) == 10
    eighths = sum(" ▏▎▍▌▋▊▉█".index(cell) for cell in text)
    assert eighths / 8 == pytest.approx(cells)


def test_panel_shows_topics_windows_titles_and_reasons_as_text_not_markup() -> None:
    text = drawn(person_panel(PERSON, {"7": "Airplane! [1980]", "8": "Top Secret!"}))
    for part in (
        "a[b]c",
        "1,234 events",
        "1997-09-23",
        "Sci-Fi [1]",
        "50.0%",
        "Airplane! [1980]",
        "clicked Top Secret!",
        "0.75",
    ):
        assert part in text


def test_item_without_a_title_shows_its_id() -> None:
    assert because(Item("7", 1.0, Reason("social")), {}) == "social"
    assert because(Item("7", 1.0, Reason("content", None, "8")), {}) == "content, clicked 8"


def test_screen_says_what_is_simulated_and_how_to_end() -> None:
    text = drawn(screen(NOW, {}, ["follows are simulated", "terms: research only"]))
    for part in (
        "400 of 1,000",
        "2,000",
        "8.1 ms",
        "22.3 ms",
        "follows are simulated",
        "research only",
        "Ctrl-C",
    ):
        assert part in text


def test_figures_stand_above_their_names_and_fit_a_terminal_of_80_columns() -> None:
    many = replace(NOW, accounted=200_943, total=200_943, users=12_168, recommendations=12_211)
    values, names, *_ = drawn(screen(many, {}, []), width=80).splitlines()
    assert "…" not in values + names
    for value, name in (("200,943 of", "events"), ("2,000", "events/s"), ("22.3 ms", "p99"), ("12,168", "users")):
        assert names[values.index(value) :].split()[0] == name


def test_line_for_logs() -> None:
    line = plain_line(NOW)
    assert line.startswith("400 of 1,000 events, 2,000 events/s, event to Redis p50 8.1 ms, p99 22.3 ms, 17 users")
    assert "Comedy 50%" in line
    assert milliseconds(None) == "-"


def test_document_is_plain_json() -> None:
    document = json.loads(json.dumps(PERSON.document()))
    assert document["vector"] == [0, 0, 0, 0]
    assert document["windows"]["1h"]["clicks"] == 3
    assert document["recommendation"]["items"][0]["reason"]["because_item"] == "8"
