"""The catalogue service beside a real Kafka and Redis: what goes first, what counts, and what a process leaves behind
that dies, or that its group drops."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import MemberToRemove

from stream_app.catalog.loop import Catalog
from stream_app.local import LocalKafka
from stream_app.topics import administration
from tests.bench.ground import unique
from tests.failure.catalogue import WAIT_S, Encoder, Said, World
from tests.failure.crew import make_topics, member_settings
from tests.failure.found import read_topic
from tests.failure.service import wait_for

pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

BATCH = 4


@pytest.fixture
def world(kafka: LocalKafka, redis_url: str, tmp_path: Path) -> World:
    settings = member_settings(
        kafka.bootstrap, redis_url.removesuffix("0") + "4", str(tmp_path / "models"), unique("order"), tmp_path,
        partitions=2, catalog={"batch_items": BATCH},
    )  # fmt: skip
    make_topics(settings)
    return World(settings, Encoder())


@contextmanager
def hanging(world: World) -> Iterator[None]:
    """While the block runs, the encoder answers nobody."""
    world.encoder.hangs.clear()
    world.encoder.gate.clear()
    try:
        yield
    finally:
        world.encoder.gate.set()


def drop(world: World, catalog: Catalog) -> None:
    """The group drops the process as it does one that was frozen for too long."""
    member = catalog._feed._consumer.group_metadata().member_id
    group = f"{world.settings.kafka.group}-catalog"
    with administration(world.settings) as admin:
        admin.remove_group_members(group, [MemberToRemove(member_id=member)])


def turn_until(catalog: Catalog, what: str, condition: Callable[[], bool]) -> None:
    def look() -> bool | None:
        catalog.turn()
        return condition() or None

    wait_for(what, look)


def test_a_deletion_waits_for_no_encoder_and_no_backlog_and_a_restart_does_not_undo_it(world: World) -> None:
    world.say("known")
    world.work_off()
    with hanging(world):
        for number in range(50):
            world.say(f"i{number}")
        with world.running():
            assert world.encoder.hangs.wait(WAIT_S)
            world.say("known", deleted=True)
            world.say("i3", creator_id="somebody", deleted=True)
            world.say_raw(b"i49", None)
            world.say_raw(b"strange", b"garbage")
            gone = {"known", "i3", "i49"}
            wait_for("deletions", lambda: {x for x, one in world.knowledge().items() if one.deleted} == gone or None)
            wait_for("Redis", lambda: not world.in_redis("known") or None)
            wait_for("a letter", lambda: read_topic(world.settings.kafka.bootstrap, letters(world)) or None)
            assert world.described == ["Known"]
            assert world.metrics.waits == set()
    world.work_off()
    world.assert_is({f"i{number}": Said(f"I{number}") for number in range(50)} | dict.fromkeys(gone))
    for item in gone:
        assert [one.deleted for one in world.told(item)][-1:] == [True]
    # What was under way when the encoder hung may have been encoded, and was not told.
    assert len(world.told("i49")) == len(world.told("i3")) == 1


def letters(world: World) -> str:
    return world.settings.kafka.topics.dead_letters


def test_an_encoder_that_cannot_be_asked_for_the_topics_holds_up_no_deletion(world: World) -> None:
    world.encoder.away = 1_000_000
    world.say("new")
    with world.running():
        wait_for("it to wait", lambda: world.metrics.waits == {"encoder"} or None)
        world.say("gone", deleted=True)
        wait_for("the deletion", lambda: world.knowledge() or None)
    assert [item for item, one in world.knowledge().items() if one.deleted] == ["gone"]


def test_facts_wait_for_no_encoder_and_an_edit_goes_before_new_items(world: World) -> None:
    for item in ("edited", "moved"):
        world.say(item)
    world.work_off()
    with hanging(world):
        for number in range(30):
            world.say(f"i{number}")
        with world.running():
            assert world.encoder.hangs.wait(WAIT_S)
            world.say("edited", description="once")
            world.say("edited", description="twice")
            world.say("moved", creator_id="somebody")
            wait_for("facts", lambda: world.knowledge()["moved"].creator_id == "somebody" or None)
            under_way = len(world.described)
            world.encoder.gate.set()
            wait_for("everything", lambda: len(world.knowledge()) == 32 or None)
    after = world.described[under_way:]
    place = after.index("Edited. twice")
    assert place < 2 * BATCH < len(after)  # those under way first, then a batch with the edit in it
    assert "Edited. once" not in after


def test_what_was_heard_is_committed_only_once_it_is_told_wherever_the_process_dies(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_app.catalog.feed.FRESH_S", -1.0)  # it asks the group each time
    truth: dict[str, Said | None] = {}
    for place in itertools.count():
        words(world, truth, place)
        with world.service() as catalog:
            die_before(catalog, place)
            try:
                catalog.run(once=True)
            except KeyboardInterrupt:
                died = True
            else:
                died = False
        world.work_off()
        world.assert_is(truth)
        assert never_back(world)
        if not died:
            break
    assert place >= 10  # at least two publications and two writes to Redis, a question before each, two commits


def words(world: World, truth: dict[str, Said | None], round_: int) -> None:
    """A new item, an edit, a deletion, one that is back, facts and garbage; what needs no encoder before and after what
    does, in each partition."""
    for number in range(4):
        world.say(f"never{number}", deleted=True)
        truth[f"never{number}"] = None
    world.say(f"new{round_}")
    world.say("edited", description=f"{round_}")
    world.say("gone", title=f"Gone{round_}")
    world.say("gone", deleted=True)
    world.say("back", deleted=True)
    world.say("back", title=f"Back{round_}")
    world.say("facts", creator_id=f"{round_}")
    world.say_raw(b"edited", b"garbage")
    truth |= {f"new{round_}": Said(f"New{round_}"), "edited": Said("Edited", f"{round_}"), "gone": None}
    truth |= {"back": Said(f"Back{round_}"), "facts": Said("Facts", creator_id=f"{round_}")}


def die_before(catalog: Catalog, place: int) -> None:
    """At the nth call of what leaves the process."""
    calls = itertools.count()

    def dying(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            if next(calls) == place:
                raise KeyboardInterrupt
            return work(*given)

        return call

    for owner, name in ((catalog._topic, "write"), (catalog._hashes, "write"), (catalog._feed, "_say_done")):
        setattr(owner, name, dying(getattr(owner, name)))


def never_back(world: World) -> bool:
    """Whether nothing of an earlier word was told after a later one."""
    last: dict[tuple[str, str], int] = {}
    records = read_topic(world.settings.kafka.bootstrap, world.settings.kafka.topics.knowledge)
    for one in [world.decoded(record) for record in records]:
        if one.offset < last.get((one.item_id, one.log), 0):
            return False
        last[one.item_id, one.log] = one.offset
    return bool(last)


def test_control_what_is_committed_before_it_is_told_is_lost(world: World) -> None:
    truth: dict[str, Said | None] = {}
    words(world, truth, 0)
    with world.service() as catalog:

        def commit_and_die(*_given: object) -> None:
            catalog._feed.commit(catalog._feed.positions())
            raise KeyboardInterrupt

        catalog._topic.write = commit_and_die  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            catalog.run(once=True)
    world.work_off()
    with pytest.raises(AssertionError):
        world.assert_is(truth)


def test_more_processes_than_partitions_all_end_when_nothing_is_left(world: World) -> None:
    for number in range(40):
        world.say(f"i{number}")
    threads = [threading.Thread(target=world.work_off, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    world.assert_is({f"i{number}": Said(f"I{number}") for number in range(40)})


@pytest.mark.parametrize("asks", [True, False])
def test_a_process_that_was_dropped_with_a_text_under_way_does_no_harm(world: World, asks: bool) -> None:
    """`asks`: before it tells; without that it is a process that froze right between asking and telling."""
    world.say("a", title="Old")
    with world.service() as dropped:
        with hanging(world):
            turn_until(dropped, "it to describe", world.encoder.hangs.is_set)
        wait_for("the text", lambda: dropped._aside._future.done() or None)  # type: ignore[union-attr]
        drop(world, dropped)
        world.say("a", title="New")
        with world.service() as owner:
            turn_until(owner, "the later text", lambda: len(world.told("a")) == 1)
            if not asks:
                dropped._feed.confirm = lambda _offsets: None  # type: ignore[method-assign]
                dropped._feed.is_settled = dropped._feed.holds = lambda: True  # type: ignore[method-assign]
                dropped._feed.poll = lambda _timeout_s: []  # type: ignore[method-assign]
                dropped._others.news = lambda *_given: set()  # type: ignore[method-assign]
            dropped.turn()
            titles = [one.title for one in world.told("a")]
            assert titles == (["New"] if asks else ["New", "Old"])
            if not asks:
                turn_until(owner, "it to be told again", lambda: len(world.told("a")) == 3)
            assert world.knowledge()["a"].title == "New"
            assert world.in_redis("a")[b"title"] == b"New"
