"""Workers of one group that come, go, sleep and disagree; what each fault is, is in `faults/members.py`."""

from pathlib import Path

from stream_app.faust_slab.fatal import EXIT_STOPPED
from stream_app.local import LocalKafka, LocalValkey
from tests.bench.ground import unique
from tests.bench.model import catalogue_model
from tests.failure.chaos import Plan, short
from tests.failure.crew import READY_S, Member, make_topics, member_settings
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour


def test_who_has_other_settings_is_refused_until_the_others_are_gone(
    kafka: LocalKafka, nursery: Nursery, tmp_path: Path
) -> None:
    name = unique("agree")
    model = catalogue_model(tmp_path / "models", 40)
    with LocalValkey(tmp_path / "valkey") as redis:
        usual = member_settings(kafka.bootstrap, redis.url, model, name, tmp_path, 2)
        longer = member_settings(
            kafka.bootstrap, redis.url, model, name, tmp_path, 2, recommend={"min_interval_s": 9.0}
        )
        first, like, other = (
            Member(settings, tmp_path / f"{number}.log", nursery)
            for number, settings in enumerate(
                (usual, member_settings(kafka.bootstrap, redis.url, model, name, tmp_path, 2), longer)
            )
        )
        make_topics(usual)
        service = Neighbour(usual)
        first.start()
        first.wait_ready()
        other.start()
        assert other.wait_exit(READY_S) == EXIT_STOPPED
        assert "recommend.min_interval_s is 9.0 here, 0.5 there" in other.log_text()
        like.start()
        like.wait("its share", lambda scrape: scrape.total("interest_partitions") == 1, READY_S)
        service.send("click", "u1")
        service.events_of("u1", 1)
        assert (first.terminate(), like.terminate()) == (0, 0)
        other.start()
        other.wait_ready()
        service.send("click", "u1")
        service.events_of("u1", 2)
        assert other.terminate() == 0
        service.close()


def test_workers_that_sleep_and_come_and_go_lose_and_repeat_nothing(
    kafka: LocalKafka, nursery: Nursery, tmp_path: Path
) -> None:
    """One is asleep for longer than the group waits, and wakes to own again what it had forgotten."""
    with LocalValkey(tmp_path / "valkey") as redis:
        plan = Plan(kills=0, faults={"freeze": 2, "scale": 1}, seed=7)
        outcome, _, _ = short(kafka, redis, tmp_path, plan, nursery)
    assert outcome.verdict.events > 1_000
    assert outcome.sound, (outcome.line(), outcome.notes, outcome.verdict.examples)


def test_workers_that_sleep_in_the_middle_of_a_rebalance_lose_and_repeat_nothing(
    kafka: LocalKafka, nursery: Nursery, tmp_path: Path
) -> None:
    """One has been dropped, forgets its states, and only then comes to the end of the recovery that read them. Another
    sleeps before it ends what it had, with a poll that waits and is of no use any more when its turn comes."""
    with LocalValkey(tmp_path / "valkey") as redis:
        plan = Plan(kills=0, faults={"freeze-during-recovery": 1, "freeze-during-revocation": 1}, seed=7)
        outcome, _, _ = short(kafka, redis, tmp_path, plan, nursery)
    assert outcome.verdict.events > 1_000
    assert outcome.sound, (outcome.line(), outcome.notes, outcome.verdict.examples)
