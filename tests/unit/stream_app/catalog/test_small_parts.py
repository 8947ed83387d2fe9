"""The small parts of the catalogue service: pace, what runs beside the loop, what is known, what it costs in words."""

import threading

import pytest

from stream_app.catalog.aside import Aside
from stream_app.catalog.describe import follow
from stream_app.catalog.known import Change, Known
from stream_app.catalog.metrics import Cost
from stream_app.catalog.pace import FIRST, Pace
from stream_app.catalog.words import Word
from stream_app.commands.catalog import cost_in_words
from stream_app.contracts.items import Item
from stream_app.contracts.knowledge import Knowledge, encode

LOG = "topic-0"


def test_texts_are_described_so_many_at_once_as_take_no_longer_than_they_may() -> None:
    pace = Pace(most=256, longest_s=2.0)
    assert pace.size == FIRST
    assert pace.after(32, 0.64).size == 64  # 50 a second: 100 would do, but it grows step by step
    assert pace.after(32, 0.64).after(64, 1.28).size == 100
    assert pace.after(100, 200.0).size == 1
    assert Pace(256, texts=200).after(200, 0.0).size == 256
    assert Pace(8).size == 8


def test_work_beside_the_loop_is_asked_for_and_raises_there() -> None:
    aside: Aside[int] = Aside()
    assert aside.result(0.0) is None
    gate = threading.Event()

    def work() -> int:
        gate.wait(30)
        return 7

    aside.start(work)
    assert (aside.is_busy, aside.result(0.01)) == (True, None)
    gate.set()
    assert (aside.result(30), aside.is_busy) == (7, False)

    def fail() -> int:
        raise TimeoutError("its own")

    aside.start(fail)
    with pytest.raises(TimeoutError, match="its own"):
        aside.result(30)
    assert not aside.is_busy


def known(*told: Knowledge) -> Known:
    found = Known()
    for one in told:
        found.take(one.item_id.encode(), encode(one))
    return found


def test_an_earlier_word_that_is_told_later_is_not_taken_and_is_to_be_told_again() -> None:
    found = known(Knowledge("a", 1, "New", log=LOG, offset=5), Knowledge("a", 9, "Old", log=LOG, offset=3))
    assert found.items["a"].title == "New"
    assert found.overtaken == {"a"}
    assert [found.is_past(Word(Item("a"), 0, offset, LOG)) for offset in (4, 5, 6)] == [True, False, False]
    assert not found.is_past(Word(Item("a"), 0, 4, "other-0"))
    found.take(b"a", encode(found.items["a"]))  # by somebody else
    assert found.overtaken == set()


def test_an_item_that_was_deleted_and_is_back_sums_what_it_did() -> None:
    before = Knowledge("a", 1, "A", encoder="e", vector="first", topics={"War": 1.0})
    gone = follow(Word(Item("a", deleted=True), 0, 7, LOG), Change.DELETED, known(before), 5).knowledge
    assert (gone.deleted, gone.title, gone.vector, gone.log, gone.offset) == (True, "", "", LOG, 7)
    after = known(gone)
    assert after.change(Word(Item("a", "A again"), 0, 8, LOG), "e") is Change.TEXT
    assert after.origin("a", "e", "second") == "first"
    assert after.origin("a", "e", "first") == after.origin("a", "other", "second") == ""


def test_costs_are_told_where_there_are_any() -> None:
    assert cost_in_words(Cost()) == ""
    assert cost_in_words(Cost(encoded=1, unencoded=3)) == "75% were known"
    told = cost_in_words(Cost(1, 1, requests=1_200, tokens=45_000, remembered=9, looked_up=10))
    assert told == "50% were known; language model: 1,200 requests, 45,000 tokens, 90% remembered"
