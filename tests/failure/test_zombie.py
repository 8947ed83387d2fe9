"""A worker that is stopped for longer than the group waits, and then goes on as if nothing had happened."""

from pathlib import Path

import pytest

from model_store.state import codec
from stream_app.faust_slab.fatal import EXIT_STOPPED
from stream_app.local import LocalKafka
from tests.bench.ground import unique
from tests.bench.model import catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.found import look, read_topic
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, wait_for

# The servers' part is the same on both; `tests/contract` tries the other one.
pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

PARTITIONS = 2
USERS_EACH = 20


def test_a_frozen_worker_does_no_harm_when_it_wakes(
    kafka: LocalKafka, redis_url: str, nursery: Nursery, tmp_path: Path
) -> None:
    """It is frozen with events applied and not committed; another takes its partitions; then it goes on."""
    url, name = redis_url.removesuffix("0") + "4", unique("zombie")
    model = catalogue_model(tmp_path / "models", 40)
    seldom = {"commit_interval_s": 5.0}
    seldom_settings = member_settings(kafka.bootstrap, url, model, name, tmp_path, PARTITIONS, kafka=seldom)
    often_settings = member_settings(kafka.bootstrap, url, model, name, tmp_path, PARTITIONS)
    frozen = Member(seldom_settings, tmp_path / "1", nursery)
    other = Member(often_settings, tmp_path / "2", nursery)
    make_topics(frozen.settings)
    service = Neighbour(frozen.settings)
    users = [user for partition in range(PARTITIONS) for user in service.users_in(partition, USERS_EACH)]
    with frozen:
        frozen.wait_ready()
        _click(service, users, 1)
        frozen.pause()
        with other:
            other.wait("all", lambda scrape: scrape.total("interest_partitions") == PARTITIONS, 90)
            _click(service, users, 2)
            frozen.resume()
            _click(service, users, 3)
            service.until_committed()
            wait_for("news of the frozen one", lambda: _woke(frozen) or None, 60)
            _click(service, users, 4)
            service.until_committed()
            assert other.terminate() == 0
        assert frozen.exit_code() in (None, EXIT_STOPPED)
    for user, versions in _versions_logged(frozen, users).items():
        assert (versions, versions[-1]) == (sorted(versions), 4), f"{user}: a late write came behind a newer one"
    found = look(frozen.settings, users)
    assert {found.states[user].version for user in users} == {4}
    assert {found.redis[user].version for user in users} == {4}
    service.close()


def _click(service: Neighbour, users: list[str], round_number: int) -> None:
    """Everybody clicks, and all of it shows in Redis."""
    for user in users:
        service.send("click", user, item_id=f"i{round_number}")
    service.flush()
    wait_for("clicks", lambda: _least(service, users) >= round_number or None)


def _least(service: Neighbour, users: list[str]) -> int:
    found = service.reader.get_many(users)
    return min((found[user].version if user in found else 0) for user in users)


def _versions_logged(member: Member, users: list[str]) -> dict[str, list[int]]:
    """Versions of each user in the changelog, in its order."""
    kafka, logged = member.settings.kafka, dict[str, list[int]]()
    for record in read_topic(kafka.bootstrap, kafka.changelog):
        version = int(codec.decode([record.value() or b""])["version"][0])
        logged.setdefault((record.key() or b"").decode(), []).append(version)
    return {user: logged[user] for user in users}


def _woke(member: Member) -> bool:
    """Whether it has ended, or is a member of the group again, with half of the partitions."""
    if member.exit_code() is not None:
        return True
    scrape = member.scrape()
    return scrape is not None and scrape.total("interest_ready") == 1 and scrape.total("interest_partitions") == 1
