"""Whom a user follows, between a real worker, Kafka and Redis: what the followees like reaches the follower."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import redis

from model_store.model import InterestModel
from stream_app.client import Interest
from stream_app.local import LocalKafka
from stream_app.rebuild import rebuild
from tests.bench.ground import unique
from tests.bench.model import TOPICS, catalogue_model, current_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.service import Neighbour, new_user, wait_for

# `tests/contract` tries the sinks on both servers; the worker is the same on both.
pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

ITEMS = 40
MAX_AGE_S = 0.5
REFRESH_S = {1: 0.0, 2: 1.0}  # by worker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("social")


@pytest.fixture(scope="module")
def model_url(folder: Path) -> str:
    return catalogue_model(folder / "models", ITEMS)


@pytest.fixture(scope="module")
def model(model_url: str, folder: Path) -> InterestModel:
    return current_model(model_url, folder / "loaded")


@pytest.fixture(scope="module")
def members(kafka: LocalKafka, redis_url: str, model_url: str, folder: Path) -> tuple[Member, Member]:
    """Two workers of one group, to be started one after the other."""
    name, url = unique("social"), redis_url.removesuffix("0") + "5"
    social = {"max_age_s": MAX_AGE_S, "timeout_s": 5.0, "blocked": ("creator:blocked",)}
    first, second = (
        Member(
            member_settings(
                kafka.bootstrap, url, model_url, name, folder, social={**social, "refresh_s": REFRESH_S[number]}
            ),
            folder / f"worker-{number}.log",
        )
        for number in (1, 2)
    )
    make_topics(first.settings)
    return first, second


@pytest.fixture(scope="module")
def service(members: tuple[Member, Member]) -> Iterator[Neighbour]:
    with members[0] as worker:
        worker.wait_ready()
        neighbour = Neighbour(worker.settings)
        yield neighbour
        neighbour.close()


def direction(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt(np.mean(vector.astype(np.float64) ** 2))


def followee(service: Neighbour, item: str = "i1") -> tuple[str, Interest]:
    """Somebody who has clicked."""
    user = new_user()
    for _ in range(3):
        service.send("click", user, item_id=item)
    return user, service.events_of(user, 3)


def follow(service: Neighbour, user: str, target: str, kind: str = "user", action: str = "follow") -> Interest:
    before = service.reader.get(user)
    service.send("follow", user, target_id=target, target_type=kind, action=action)
    return service.events_of(user, (before.events if before else 0) + 1)


def touched_until(service: Neighbour, user: str, social: np.ndarray) -> Interest:
    """Follows a blocked creator again and again, which says nothing, until what the others like shows."""

    def look() -> Interest | None:
        found = follow(service, user, "blocked", "creator")
        return found if np.allclose(found.social, social, atol=1e-4) else None

    return wait_for("what followees like", look)


def nobody_s(service: Neighbour) -> Interest:
    """The interests of a user who has done one thing, and follows nobody."""
    return follow(service, new_user(), "nobody", action="unfollow")


def test_the_silent_are_whom_they_follow_until_they_unfollow(service: Neighbour) -> None:
    liked, other, silent = followee(service, "i1"), followee(service, "i2"), new_user()
    alone = nobody_s(service)
    first = follow(service, silent, liked[0])
    np.testing.assert_allclose(first.social, direction(liked[1].vector), atol=1e-4)  # as long as nothing was learnt
    pull = 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(first.vector, alone.vector + pull * (first.social - alone.vector), atol=1e-4)
    both = follow(service, silent, other[0])
    mean = (direction(liked[1].vector) + direction(other[1].vector)) / 2
    np.testing.assert_allclose(both.social, mean, atol=1e-4)
    follow(service, silent, liked[0], action="unfollow")
    left = follow(service, silent, other[0], action="unfollow")
    assert not left.social.any()
    np.testing.assert_array_equal(left.vector, alone.vector)


def test_a_topic_stands_for_its_items(service: Neighbour, model: InterestModel) -> None:
    shares, vectors = model.index.shares[:, 3].astype(np.float64), model.index.vectors.astype(np.float64)
    expected = (shares[:, None] * vectors).sum(axis=0) / shares.sum() - vectors.mean(axis=0)
    found = follow(service, new_user(), TOPICS[3], "topic")
    np.testing.assert_allclose(found.social, direction(expected), atol=1e-4)


def test_who_is_blocked_and_who_is_unknown_say_nothing(service: Neighbour) -> None:
    silent, alone = new_user(), nobody_s(service)
    for target, kind in (("blocked", "creator"), ("never seen", "user"), ("unheard of", "topic")):
        found = follow(service, silent, target, kind)
        assert not found.social.any()
        np.testing.assert_array_equal(found.vector, alone.vector)


def test_what_a_followee_likes_now_arrives_with_the_follower_s_next_event(service: Neighbour) -> None:
    (liked, was), silent = followee(service, "i3"), new_user()
    np.testing.assert_allclose(follow(service, silent, liked).social, direction(was.vector), atol=1e-4)
    for _ in range(5):
        service.send("click", liked, item_id="i4")
    now = service.events_of(liked, 8)
    assert np.abs(direction(now.vector) - direction(was.vector)).max() > 0.01
    touched_until(service, silent, direction(now.vector))


def test_a_followee_s_first_click_may_come_after_the_follow(service: Neighbour) -> None:
    liked, silent = new_user(), new_user()
    assert not follow(service, silent, liked).social.any()
    service.send("click", liked)
    touched_until(service, silent, direction(service.events_of(liked, 1).vector))


def test_an_erased_followee_is_nobody(service: Neighbour) -> None:
    (liked, _), silent = followee(service), new_user()
    follow(service, silent, liked)
    names = _names(service)
    assert liked.encode() in names.values()
    service.send("erasure", liked)
    service.flush()
    wait_for("the name to go", lambda: liked.encode() not in _names(service).values() or None)
    touched_until(service, silent, np.zeros_like(follow(service, silent, "blocked", "creator").social))


def test_a_redis_that_lost_everything_gets_followers_back_as_they_were(
    service: Neighbour, model: InterestModel
) -> None:
    (liked, _), silent = followee(service, "i6"), new_user()
    was = follow(service, silent, liked)
    assert was.social.any()
    service.until_committed()
    with redis.Redis.from_url(service.settings.redis.url.get_secret_value()) as client:
        client.flushdb()
    done = rebuild(service.settings, model, settle_s=0.0)
    found = service.reader.get(silent)
    assert found is not None
    np.testing.assert_allclose(found.social, was.social, atol=1e-5)
    np.testing.assert_allclose(found.vector, was.vector, atol=1e-5)
    assert (found.version, done.records) == (was.version, done.of)
    assert liked.encode() in _names(service).values()
    assert not rebuild(service.settings, model, settle_s=0.0).written


def test_another_worker_knows_whom_users_follow(service: Neighbour, members: tuple[Member, Member]) -> None:
    (liked, was), silent = followee(service, "i5"), new_user()
    follow(service, silent, liked)
    service.until_committed()
    members[0].terminate()
    with members[1] as other:
        other.wait_ready()
        found = follow(service, silent, "blocked", "creator")
        np.testing.assert_allclose(found.social, direction(was.vector), atol=1e-4)


def test_a_follower_who_does_nothing_is_refreshed_now_and_then(
    service: Neighbour, members: tuple[Member, Member]
) -> None:
    if members[0].exit_code() is None:
        members[0].terminate()
    with members[1] as other, redis.Redis.from_url(service.settings.redis.url.get_secret_value()) as client:
        other.wait_ready()
        (liked, was), silent, unfollower = followee(service, "i3"), new_user(), new_user()
        follow(service, unfollower, liked)
        left, before = follow(service, unfollower, liked, action="unfollow"), follow(service, silent, liked)
        client.expire(f"interest:{{{silent}}}", 5_000)
        for _ in range(5):
            service.send("click", liked, item_id="i4")
        now = service.events_of(liked, 8)
        assert np.abs(direction(now.vector) - direction(was.vector)).max() > 0.01

        def look() -> Interest | None:
            found = service.reader.get(silent)
            return found if found and np.allclose(found.social, direction(now.vector), atol=1e-4) else None

        after = wait_for("what the followee likes now", look)
        assert 0 < client.ttl(f"interest:{{{silent}}}") <= 5_000
        np.testing.assert_array_equal(service.reader.get(unfollower).vector, left.vector)
    assert (after.version, after.events, after.event_ts_ms) == (before.version, before.events, before.event_ts_ms)
    assert after.updated_at_ms > before.updated_at_ms
    assert np.abs(after.vector - before.vector).max() > 0.01


def _names(service: Neighbour) -> dict[bytes, bytes]:
    with redis.Redis.from_url(service.settings.redis.url.get_secret_value()) as client:
        found = {}
        for key in client.scan_iter(match=b"interest:followee:*"):
            with client.pipeline(transaction=True) as both:
                name, ttl_s = both.get(key).ttl(key).execute()
            if name is not None:  # the worker takes names away meanwhile
                assert ttl_s > service.settings.redis.ttl_s - 600
                found[key] = name
        return found
