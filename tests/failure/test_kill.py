"""Workers die while events flow, and nothing shows of it; and the check that says so is no yes-man."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stream_app.local import LocalKafka, LocalValkey
from tests.bench.ground import Ground
from tests.failure import wounds
from tests.failure.chaos import Outcome, Plan, short
from tests.failure.found import Found
from tests.failure.fresh import Backlog
from tests.failure.nursery import Nursery
from tests.failure.people import Event, life_of
from tests.failure.verdict import Verdict, judge

Run = tuple[Outcome, list[Event], Found]

KILLS = 10


@pytest.fixture(scope="module")
def run(kafka: LocalKafka, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two workers, killed one by one, both at once and at boundaries of steps, while poison is among the events."""
    folder = tmp_path_factory.mktemp("chaos")
    with LocalValkey(folder / "valkey") as redis:
        outcome, journal, found = short(kafka, redis, folder, Plan(kills=KILLS, faults={"poison": 1}, seed=2), nursery)
    return outcome, journal, replace(found, dead_letters=[])  # `test_letters.py` judges some


def test_killed_workers_lose_and_repeat_nothing(run: Run) -> None:
    outcome, _, _ = run
    assert outcome.kills >= KILLS
    assert outcome.verdict.events > 1_000
    assert outcome.verdict.recommendations > outcome.verdict.users
    assert outcome.verdict.poison > 100
    assert outcome.readings > 1_000
    assert outcome.sound, (outcome.line(), outcome.notes, outcome.verdict.examples)


# -- controls: without a protection the same run is not sound

AT = ("before SlabConsumer._commit", "after KafkaChangelog.write", "after Updater._snapshot")


# What Faust's recovery loses is a race that eight kills may miss; its own test is below.
@pytest.mark.parametrize("control", [name for name in wounds.CONTROLS if name != "stock-recovery"])
def test_a_run_without_a_protection_is_caught(
    control: str, kafka: LocalKafka, nursery: Nursery, tmp_path: Path
) -> None:
    with LocalValkey(tmp_path / "valkey") as redis:
        outcome, _, _ = short(kafka, redis, tmp_path, Plan(kills=8, seed=4, control=control, points=AT), nursery)
    assert not outcome.sound
    found = outcome.verdict
    assert {"no-offset-guard": found.double, "ack-before-flush": found.lost}[control], outcome.line()


SLOW = ({"linger": "SlabConsumerThread._fetch_records", "seconds": 0.3},
        {"linger": "SlabTable.on_recovery_completed", "seconds": 1.0})  # fmt: skip


def test_stock_recovery_is_caught(kafka: LocalKafka, nursery: Nursery, tmp_path: Path) -> None:
    """At the end of recovery nothing is to be polled, which a poll that is under way takes for everything; and where
    nothing is committed yet no seek brings it back. Slow polls leave nothing to chance, and do no harm to ours."""
    with LocalValkey(tmp_path / "valkey") as redis:
        backlog = Backlog(Ground(kafka.bootstrap, redis.url, tmp_path), seed=5)
        ours, stock = backlog.begun(nursery), backlog.begun(nursery)
        backlog.everybody_acts()
        kept = backlog.gone_on(ours, nursery, SLOW)
        holed = backlog.gone_on(stock, nursery, [{"control": "stock-recovery"}, *SLOW])
    assert (kept.lost, kept.double) == (0, 0), kept.examples
    assert holed.lost, holed


# -- and each fault, made on purpose, is found, and as the fault that it is


def test_an_event_that_was_not_sent_is_double(run: Run) -> None:
    _, journal, found = run
    place = _last_click(journal)
    assert _counts(judge(journal[:place] + journal[place + 1 :], found)) == {"double": 1, "redis_wrong": 1}


def test_an_event_that_was_not_applied_is_lost(run: Run) -> None:
    _, journal, found = run
    more = {**journal[_last_click(journal)], "event_id": "one more"}
    assert _counts(judge([*journal, more], found)) == {"lost": 1, "redis_wrong": 1}


def test_a_retry_that_counted_is_double(run: Run) -> None:
    _, journal, found = run
    user = journal[_last_click(journal)]["user_id"]
    state = found.states[user]
    twice = replace(found, states={**found.states, user: replace(state, events=state.events + 1)})
    assert judge(journal, twice).double == 1


def test_a_lost_state_is_lost_whole(run: Run) -> None:
    _, journal, found = run
    user = journal[_last_click(journal)]["user_id"]
    without = replace(found, states={name: state for name, state in found.states.items() if name != user})
    assert judge(journal, without).lost == found.states[user].version


def test_a_wrong_window_is_wrong(run: Run) -> None:
    _, journal, found = run
    user = journal[_last_click(journal)]["user_id"]
    state = replace(found.states[user], followees=frozenset({1}))
    assert _counts(judge(journal, replace(found, states={**found.states, user: state}))) == {"wrong": 1}


def test_a_missing_recommendation_is_a_hole(run: Run) -> None:
    _, journal, found = run
    owner, published = next((owner, made) for owner, made in found.sequences.items() if len(made) > 1)
    holed = replace(found, sequences={**found.sequences, owner: published - {1}})
    assert _counts(judge(journal, holed)) == {"rec_holes": 1}


def test_an_erased_user_in_redis_is_wrong(run: Run) -> None:
    _, journal, found = run
    user = next(event["user_id"] for event in journal if event["kind"] == "erasure" and _is("erased")(event))
    seen = replace(found.redis[user], windows={})
    assert _counts(judge(journal, replace(found, redis={**found.redis, user: seen}))) == {"redis_wrong": 1}


def test_a_stale_user_in_redis_is_wrong(run: Run) -> None:
    _, journal, found = run
    user = journal[_last_click(journal)]["user_id"]
    stale = replace(found.redis[user], version=found.redis[user].version - 1)
    assert _counts(judge(journal, replace(found, redis={**found.redis, user: stale}))) == {"redis_wrong": 1}


def _is(life: str) -> Callable[[Event], bool]:
    return lambda event: life_of(event["user_id"]) == life


def _last_click(journal: list[Event]) -> int:
    """Place of the last click of a user without erasures that was not sent again."""
    ids = [event["event_id"] for event in journal]
    return next(
        place
        for place in reversed(range(len(journal)))
        if journal[place]["kind"] == "click" and _is("plain")(journal[place]) and ids.count(ids[place]) == 1
    )


def _counts(verdict: Verdict) -> dict[str, int]:
    """The faults that were found."""
    names = ("lost", "double", "wrong", "redis_wrong", "rec_holes", "dead_letters")
    return {name: getattr(verdict, name) for name in names if getattr(verdict, name)}
