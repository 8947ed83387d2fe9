"""What a scenario counts, compared with a count by hand over the same records."""

import json
import random

import pytest

from stream_app.contracts.knowledge import Knowledge
from stream_app.contracts.recommendations import Item, Reason, Recommendation, Trigger
from stream_app.demo.ledger import WORD_MS, Ledger
from stream_app.sources import Record


def published(item: str, ts_ms: int) -> Record:
    word = {"item_id": item, "title": item.upper(), "creator_id": "c", "tags": ["T"], "published_at": ts_ms}
    return Record("item", item.encode(), json.dumps(word).encode(), ts_ms)


def withdrawn(item: str, ts_ms: int = 0) -> Record:
    return Record("item", item.encode(), json.dumps({"item_id": item, "deleted": True}).encode(), ts_ms)


def clicked(item: str, ts_ms: int = 0) -> Record:
    return Record("click", b"u", json.dumps({"item_id": item, "user_id": "u"}).encode(), ts_ms)


def made(at_ms: int, *items: str, ts_ms: int = 0) -> Recommendation:
    listed = [Item(item, 1.0, Reason("behaviour")) for item in items]
    return Recommendation("e", "u", at_ms, Trigger("click", "x", ts_ms), "m", listed)


def test_recommended_before_the_first_click_is_told_from_after_it() -> None:
    ledger = Ledger()
    for item in ("early", "late", "never", "unclicked"):
        ledger.sent(published(item, 5), 100)
    ledger.offered(made(200, "early", "unclicked"))
    ledger.sent(clicked("early"), 201)
    ledger.sent(clicked("late"), 201)
    ledger.offered(made(202, "late", "early"))
    ledger.sent(clicked("early"), 300)
    assert {item: trace.offered_first for item, trace in ledger.traces.items()} == {
        "early": True, "late": False, "never": False, "unclicked": True
    }  # fmt: skip


def test_a_click_that_was_sent_first_counts_though_it_is_heard_of_later() -> None:
    """The list of 200 is read after the click of 150 was sent, and one made at 140 after that."""
    ledger = Ledger()
    ledger.sent(published("i", 0), 100)
    ledger.sent(clicked("i"), 150)
    ledger.offered(made(200, "i"))
    assert not ledger.traces["i"].offered_first
    ledger.offered(made(140, "i"))
    assert ledger.traces["i"].offered_first


def test_recommended_after_its_withdrawal_counts_from_when_the_word_must_have_arrived() -> None:
    ledger = Ledger()
    ledger.sent(published("i", 0), 0)
    ledger.offered(made(900, "i"))
    ledger.sent(withdrawn("i"), 1000)
    ledger.offered(made(1000, "i"))
    assert (ledger.after_withdrawal, ledger.before_heard, ledger.slowest_word_ms) == (0, 0, 0)
    ledger.offered(made(1000 + WORD_MS, "i"))
    assert (ledger.after_withdrawal, ledger.before_heard) == (0, 1)
    ledger.offered(made(1001 + WORD_MS, "i"))
    assert (ledger.withdrawn, ledger.after_withdrawal, ledger.slowest_word_ms) == (1, 1, WORD_MS + 1)


def test_what_was_withdrawn_before_anything_was_played_must_not_be_recommended_either() -> None:
    ledger = Ledger()
    ledger.sent(withdrawn("i"), 0, standing=True)
    ledger.offered(made(WORD_MS + 1, "i"))
    assert (ledger.withdrawn, ledger.after_withdrawal) == (0, 1)
    assert ledger.new() == []


def test_the_catalogue_service_has_told_when_it_has_told_what_was_said_last() -> None:
    ledger = Ledger()
    ledger.heard(Knowledge("old", 0, deleted=True))  # from an earlier run
    ledger.sent(published("old", 0), 0)
    ledger.sent(published("i", 0), 0)
    assert (ledger.words, ledger.unheard()) == (2, 2)
    ledger.heard(Knowledge("old", 1, title="OLD"))
    ledger.heard(Knowledge("i", 1, title="I"))
    assert ledger.unheard() == 0
    ledger.sent(withdrawn("i"), 0)
    assert ledger.unheard() == 1
    ledger.heard(Knowledge("i", 2, deleted=True))
    assert (ledger.words, ledger.unheard()) == (2, 0)


@pytest.mark.parametrize("seed", range(5))
def test_ages_and_counts_are_those_of_a_naive_list(seed: int) -> None:
    rng = random.Random(seed)
    ledger, ages, at_ms = Ledger(), [], 0
    born: dict[str, int] = {}
    gone: dict[str, int] = {}
    late = 0
    for step in range(400):
        at_ms += rng.randint(1, 400)
        ts_ms = step * 1000
        if rng.random() < 0.3:
            item = f"i{len(born)}"
            born[item] = ts_ms
            ledger.sent(published(item, ts_ms), at_ms)
        elif rng.random() < 0.2 and len(born) > len(gone):
            item = rng.choice([name for name in born if name not in gone])
            gone[item] = at_ms
            ledger.sent(withdrawn(item, ts_ms), at_ms)
        elif born:
            items = rng.sample(sorted(born), min(3, len(born)))
            ledger.offered(made(at_ms, *items, ts_ms=ts_ms))
            ages += [ts_ms - born[item] for item in items]
            late += sum(item in gone and at_ms - gone[item] > WORD_MS for item in items)
    ages.sort()
    assert late > 0
    assert ledger.after_withdrawal == late
    assert ledger.alive() == len(born) - len(gone)
    quantiles = ledger.ages_ms((0.0, 1.0))
    assert quantiles == [ages[0], ages[-1]]
    middle = ledger.ages_ms((0.5,))
    assert middle is not None
    assert ages[(len(ages) - 1) // 2] <= middle[0] <= ages[len(ages) // 2]
