"""With a pseudonym key nothing behind the door shows an id: not Redis, not the changelog, not recommendations."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import redis
from pydantic import SecretStr

from model_store.model import InterestModel
from stream_app.client import InterestReader
from stream_app.contracts.pseudonyms import naming
from stream_app.local import LocalKafka
from stream_app.rebuild import Rebuilt, rebuild
from tests.bench.ground import unique
from tests.bench.model import catalogue_model, current_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.found import read_topic
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, now_ms

KEY = "0123456789abcdef0123456789abcdef"
PARTITIONS = 3


class Place(NamedTuple):
    member: Member
    service: Neighbour
    model: InterestModel

    def rebuild(self) -> Rebuilt:
        return rebuild(self.member.settings, self.model, settle_s=0.0)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.member.settings.redis.url.get_secret_value())


@pytest.fixture
def place(kafka: LocalKafka, redis_url: str, nursery: Nursery, tmp_path: Path) -> Iterator[Place]:
    store = catalogue_model(tmp_path / "models", 40)
    url = redis_url.removesuffix("0") + "9"
    settings = member_settings(
        kafka.bootstrap, url, store, unique("pseudonyms"), tmp_path, PARTITIONS, pseudonym_key=SecretStr(KEY)
    )
    make_topics(settings)
    service = Neighbour(settings, reader=InterestReader(url, pseudonym_key=KEY))
    with Member(settings, tmp_path / "worker.log", nursery) as member:
        yield Place(member, service, current_model(store, tmp_path / "fetched"))
    service.close()


@pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")
def test_who_has_the_key_reads_and_nobody_else_learns_an_id(place: Place) -> None:
    member, service = place.member, place.service
    users = [user for partition in range(PARTITIONS) for user in service.users_in(partition, 2)]
    member.wait_ready()
    for user in users:
        service.send("click", user)
    for user in users:
        assert service.events_of(user, 1).user_id == user
    service.until_committed()

    settings, names = member.settings, {naming(KEY)(user.encode()) for user in users}
    assert _keys(settings.kafka.bootstrap, settings.kafka.changelog) == names
    assert _keys(settings.kafka.bootstrap, settings.kafka.topics.recommendations) == names
    assert _keys(settings.kafka.bootstrap, settings.kafka.topics.clicks) == {user.encode() for user in users}
    shown = _behind_the_door(place)
    assert all(name in shown for name in names)
    assert not any(user.encode() in shown for user in users)
    assert KEY not in member.log_text()
    with InterestReader(settings.redis.url.get_secret_value()) as keyless:
        assert not keyless.get_many(users)

    member.kill()
    member.start()
    for user in users:
        service.send("rating", user)
    for user in users:
        assert service.events_of(user, 2).version == 2
        recommended = service.reader.recommendations(user)
        assert recommended is not None
        assert recommended.user_id == user
    service.until_committed()

    with place.client() as client:
        client.flushdb()
        client.hset("interest:{a-stranger}", "version", 1)
    done = place.rebuild()
    assert (done.users, done.written, done.recommendations, done.unknown) == (len(users), len(users), len(users), 1)
    assert {service.reader.get(user).version for user in users} == {2}  # type: ignore[union-attr]

    gone = users[0]
    erased = service.send("erasure", gone)
    service.until_committed()
    service.send("click", gone, ts=erased["ts"] - 1)
    service.send("click", users[1], ts=now_ms())
    service.events_of(users[1], 3)
    service.until_committed()
    assert service.reader.get(gone) is None
    assert place.rebuild().erased == 1


def _keys(bootstrap: str, topic: str) -> set[bytes | None]:
    return {record.key() for record in read_topic(bootstrap, topic)}


def _behind_the_door(place: Place) -> bytes:
    """All that Redis has, and all that was published and logged."""
    texts: list[bytes] = []
    with place.client() as client:
        for key in client.scan_iter():
            value = client.hgetall(key) if client.type(key) == b"hash" else client.get(key)
            texts += [key, b"%r" % value]
    kafka = place.member.settings.kafka
    for topic in (kafka.changelog, kafka.topics.recommendations):
        for record in read_topic(kafka.bootstrap, topic):
            texts += [record.key() or b"", record.value() or b""]
    return b"\0".join(texts)
