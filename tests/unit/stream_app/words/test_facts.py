"""What of a user's interests and recommendations is told."""

import numpy as np

from stream_app.client import Interest, Window
from stream_app.contracts.recommendations import Item, Reason, Recommendation, Trigger
from stream_app.words import facts
from stream_app.words.facts import Counts, Facts, Recommended, facts_of, items_asked

NOTHING = Window(0, 0, 0, None, 0)
VECTOR = np.zeros(4, np.float32)


def interest(topics: dict[str, float] | None = None, windows: dict[str, Window] | None = None) -> Interest:
    return Interest(
        "u42", VECTOR, VECTOR, VECTOR, VECTOR, topics or {}, windows or {}, 7, 1, 7, 1_790_000_000_000,
        1_790_000_000_001, "model-7",
    )  # fmt: skip


def recommendation(*items: Item) -> Recommendation:
    return Recommendation("u42:0:1", "u42", 1_790_000_000_000, Trigger("follow", "e1", 1), "model-7", list(items))


def test_topics_that_weigh_little_are_left_out_but_not_the_heaviest() -> None:
    weights = {"War": 0.049, "Drama": 0.5, "Crime": 0.05, "Sea": 0.2, "Love": 0.06}
    assert facts_of(interest(weights), None, {}).topics == (("Drama", 0.5), ("Sea", 0.2), ("Love", 0.06))
    flat = {f"topic {number}": 0.04 for number in range(25)}
    assert facts_of(interest(flat), None, {}).topics == (("topic 0", 0.04),)
    assert facts_of(interest({"Drama": 0.9, "War": 0.04}), None, {}).topics == (("Drama", 0.9),)


def test_the_shortest_window_in_which_anything_happened() -> None:
    windows = {
        "1h": Window(9, 0, 9, 0.5, 9),
        "24h": NOTHING,
        "7d": Window(0, 0, 0, None, 2),
        "30d": Window(8, 10, 1, 0.5, 2),
    }
    assert facts_of(interest(windows=windows), None, {}).counts == Counts("7d", 0, 0, 2)
    assert facts_of(interest(windows={"24h": NOTHING, "30d": NOTHING}), None, {}).counts is None


def test_items_by_title_and_those_without_by_their_id() -> None:
    latest = recommendation(
        Item("i1", 0.9, Reason("content", "Drama", "c1")),
        Item("i2", 0.8, Reason("social")),
        Item("i3", 0.7, Reason("behaviour", None, "c1")),
        Item("i4", 0.6, Reason("behaviour", "War", "c2")),
    )
    assert items_asked(latest) == ["i1", "i2", "i3", "c1", "c2"]
    found = facts_of(interest({"Drama": 1.0}), latest, {"i1": "Ran", "c1": "Heat", "c2": " \n "}, ("War", "Drama"))
    ran, heat = facts.Item("Ran"), facts.Item("Heat")
    assert found.clicked == (heat, facts.Item("c2", titled=False, tellable=False))
    assert found.recommended == (
        Recommended(ran, "content", "Drama", heat),
        Recommended(facts.Item("i2", titled=False, tellable=False), "social"),
        Recommended(facts.Item("i3", titled=False, tellable=False), "behaviour", "", heat),
    )
    assert found.known_topics == ("War", "Drama")
    assert items_asked(None) == []


def test_a_title_is_one_short_line_without_what_would_break_out_of_it() -> None:
    hostile = "“Quote” \x1b[2J \u202e" + "x" * 500
    shown = facts_of(interest(), recommendation(Item("i", 1, Reason("content"))), {"i": hostile}).recommended[0].item
    assert shown.name == ("'Quote' [2J " + "x" * 500)[:80]


def test_what_is_told_of_nobody_known() -> None:
    assert facts_of(interest(), None, {}) == Facts()
