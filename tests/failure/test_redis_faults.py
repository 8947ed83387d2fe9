"""Redis goes away, slows down, fills up, fails over or comes back empty, under a real worker: events wait, nothing is
lost, and what Redis has lost comes back from the state table."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import redis
from pydantic import SecretStr

from model_store.model import InterestModel
from stream_app.faust_slab.fatal import EXIT_STOPPED
from stream_app.local import LocalKafka, LocalValkey
from stream_app.rebuild import RebuildError, Rebuilt, rebuild
from stream_app.settings import environment
from tests.bench.ground import unique
from tests.bench.model import catalogue_model, current_model
from tests.failure import snapshots
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, wait_for
from tests.failure.vip import Vip

PARTITIONS = 2
USERS_EACH = 30
ITEMS = 40
MOMENT_S = 0.5
"""Long enough for writes to fail and be tried again; much shorter than the patience."""
PATIENCE_S = 30.0
TTL_S = 1_000_000

COMMAND_S = 120.0
VECTORS = (b"vector", b"behaviour", b"social", b"content")


class Place(NamedTuple):
    """A worker that reaches its Redis by an address that can be moved from the first server to the second."""

    member: Member
    service: Neighbour
    vip: Vip
    first: LocalValkey
    second: LocalValkey
    model: InterestModel

    def rebuild(self, dry_run: bool = False, settle_s: float = 0.0, **redis: Any) -> Rebuilt:
        """`interest rebuild-redis` without its imports and its wait; `redis` changes settings."""
        changed = self.member.settings.redis.model_copy(update=redis)
        settings = self.member.settings.model_copy(update={"redis": changed})
        return rebuild(settings, self.model, dry_run=dry_run, settle_s=settle_s)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return catalogue_model(tmp_path_factory.mktemp("models") / "models", ITEMS)


@pytest.fixture(scope="module")
def place(kafka: LocalKafka, nursery: Nursery, model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Shared: each test leaves the address at a first server that takes writes, and uses users of its own."""
    folder = tmp_path_factory.mktemp("redis-faults")
    with ExitStack() as stack:
        first = stack.enter_context(LocalValkey(folder / "first"))
        second = stack.enter_context(LocalValkey(folder / "second"))
        vip = stack.enter_context(Vip(first.port))
        yield stack.enter_context(_place(kafka, nursery, model, vip, first, second, folder, PATIENCE_S))


@contextmanager
def _place(
    broker: LocalKafka,
    nursery: Nursery,
    model: str,
    vip: Vip,
    first: LocalValkey,
    second: LocalValkey,
    folder: Path,
    give_up_s: float,
    **sections: Any,
) -> Iterator[Place]:
    settings = member_settings(
        broker.bootstrap, vip.url, model, unique("redis"), folder, PARTITIONS,
        redis={"timeout_s": 0.3, "give_up_s": give_up_s, "ttl_s": TTL_S}, **sections,
    )  # fmt: skip
    make_topics(settings)
    member = Member(settings, folder / f"{settings.kafka.group}.log", nursery)
    service = Neighbour(settings)
    member.start()
    try:
        member.wait_ready()
        yield Place(member, service, vip, first, second, current_model(model, folder / "fetched"))
    finally:
        member.terminate()
        service.close()


# -- what passes


def killed(place: Place) -> None:
    """It comes back empty: these users are written again by their next events alone."""
    place.first.kill()
    time.sleep(MOMENT_S)
    place.first.restart()


def paused(place: Place) -> None:
    place.first.pause()
    time.sleep(MOMENT_S)
    place.first.resume()


def slow(place: Place) -> None:
    """Each answer takes longer than its user can wait between two of them, and less than the time-out."""
    place.vip.delay_s = 0.1
    time.sleep(MOMENT_S)
    place.vip.delay_s = 0.0


def cut_off(place: Place) -> None:
    for _ in range(5):
        place.vip.cut()
        time.sleep(MOMENT_S / 5)


def read_only(place: Place) -> None:
    with _client(place.first) as client:
        client.replicaof("127.0.0.1", 1)
        time.sleep(MOMENT_S)
        client.replicaof("NO", "ONE")


def full(place: Place) -> None:
    with _client(place.first) as client:
        client.config_set("maxmemory", 1)
        time.sleep(MOMENT_S)
        client.config_set("maxmemory", 0)


def cannot_save(place: Place) -> None:
    with snapshots.failing(place.first):
        time.sleep(MOMENT_S)


@pytest.mark.parametrize("fault", [killed, paused, slow, cut_off, read_only, full, cannot_save])
def test_events_wait_until_redis_takes_writes_again(fault: Callable[[Place], None], place: Place) -> None:
    users = _users(place)
    _click(place, users, 1)
    striking = threading.Thread(target=fault, args=(place,))
    striking.start()
    for number in range(2, 7):
        _send_clicks(place, users, number)
        time.sleep(MOMENT_S / 5)
    striking.join()
    _await_version(place, users, 6)
    place.service.until_committed()
    assert place.member.exit_code() is None
    assert {interest.windows["1h"].clicks for interest in place.service.reader.get_many(users).values()} == {6}


# -- what does not pass in time


def test_a_redis_that_stays_away_stops_the_worker_and_nothing_is_lost(
    kafka: LocalKafka, nursery: Nursery, model: str, tmp_path: Path
) -> None:
    """While Redis is away the worker takes in no more than the settings say."""
    most, batch = 3_000, 1_000
    bounds = {"max_unacked_events": most, "max_events": batch, "max_backlog_events": batch}
    small: dict[str, Any] = {"cycle": bounds, "kafka": {"fetch_max_bytes": 16_384}}
    with ExitStack() as stack:
        server = stack.enter_context(LocalValkey(tmp_path / "first"))
        vip = stack.enter_context(Vip(server.port))
        place = stack.enter_context(_place(kafka, nursery, model, vip, server, server, tmp_path, 6.0, **small))
        users = _users(place)
        _click(place, users, 1)
        place.service.until_committed()
        server.pause()
        rounds = 200
        for number in range(2, rounds + 1):
            _send_clicks(place, users, number)
        held = _most_held(place.member)
        sent = (rounds - 1) * len(users)
        assert most <= held["applied"] - len(users) <= most + batch < sent
        assert held["backlog"] < 4 * batch < sent - most
        assert held["lag"] >= most  # nothing is flushed, and it is told all the same
        assert place.member.wait_exit(60) == EXIT_STOPPED
        told = [line for line in place.member.log_text().splitlines() if line.startswith("worker stopped: ")]
        assert len(told) == 1
        assert "did not accept writes for 6 s" in told[0]
        assert "Traceback" not in place.member.log_text()
        server.resume()
        place.member.start()
        place.service.until_committed()
        _await_version(place, users, rounds)


def _most_held(member: Member) -> dict[str, float]:
    """What a worker whose Redis is away has taken in by the time it takes in no more."""
    seen = -1.0
    while True:
        scrape = member.wait("metrics", lambda _: True, 5)
        applied = scrape.total("interest_events_total", outcome="applied")
        if applied == seen:
            waiting = {name: scrape.total(f"interest_{name}_events") for name in ("backlog", "lag")}
            return {"applied": applied, **waiting}
        seen = applied
        time.sleep(1.0)


# -- what Redis has lost


def test_an_empty_redis_is_noticed_and_refilled(place: Place) -> None:
    """Every field is as the worker had written it, but the time of writing, and the last bits of what TensorFlow makes:
    the worker reads out a few users at a time, and through TensorFlow Lite."""
    users = _users(place)
    _click(place, users, 1)
    _rate_follow_and_erase(place, users)
    place.service.until_committed()
    before = _held(place.first, users)
    losses = _losses(place, "empty")
    place.first.kill()
    place.first.restart()
    _click(place, _users(place), 1)
    wait_for("notice", lambda: _losses(place, "empty") > losses or None)
    assert "interest rebuild-redis" in place.member.log_text()
    assert place.service.reader.model() is not None

    looked = place.rebuild(dry_run=True)
    assert not _held(place.first, users)
    done = place.rebuild()
    assert done.written == looked.written >= len(users) - 1
    after = _held(place.first, users)
    del before[f"interest {users[0]}"]  # what is left of an erased user keeps late writers out, of whom there are none
    assert after.keys() == before.keys()
    assert sum(key.startswith("rec ") for key in after) == len(users) - 1
    for key, value in before.items():
        _assert_same(after[key], value)
    with _client(place.first) as client:
        lifetimes = [client.ttl(f"interest:{{{user}}}") for user in users[1:]]
    assert TTL_S - 600 < min(lifetimes) <= max(lifetimes) <= TTL_S
    assert _command(place)["written"] == 0


def test_a_replica_that_was_behind_takes_over_and_is_brought_up_to_date(place: Place) -> None:
    """What the old primary had and the replica had not is what `rebuild-redis` writes, and no more."""
    kept, behind, erased = (_users(place) for _ in range(3))
    _click(place, [*kept, *behind, *erased], 1)
    with _client(place.second) as client:
        client.replicaof("127.0.0.1", place.first.port)
        wait_for("replica", lambda: _same_keys(place.first, place.second) or None)
        client.replicaof("NO", "ONE")
    _click(place, behind, 2)
    for user in erased:
        place.service.send("erasure", user)
    place.service.until_committed()
    losses = _losses(place, "replaced")
    place.first.pause()
    place.vip.move(place.second.port)
    new = _users(place)
    _click(place, new, 1)
    wait_for("notice", lambda: _losses(place, "replaced") > losses or None)
    assert {interest.version for interest in place.service.reader.get_many(behind).values()} == {1}

    place.service.until_committed()
    done = place.rebuild()
    assert (done.written, done.unknown) == (len(behind) + len(erased), 0)
    for users, version in ((kept, 1), (behind, 2), (new, 1)):
        found = place.service.reader.get_many(users)
        assert [found[user].version for user in users] == [version] * len(users)
    assert not place.service.reader.get_many(erased)
    place.first.resume()
    place.vip.move(place.first.port)
    _click(place, new, 2)


def test_what_redis_lost_before_it_was_logged_comes_back_too(
    kafka: LocalKafka, nursery: Nursery, model: str, place: Place, tmp_path: Path
) -> None:
    """The worker flushes so seldom that the changelog is behind when it is read first."""
    seldom = {"flush": {"interval_s": 3.0}}
    with _place(kafka, nursery, model, place.vip, place.first, place.second, tmp_path, PATIENCE_S, **seldom) as lazy:
        users = _users(lazy)
        _click(lazy, users, 1)
        lazy.service.until_committed()
        _click(lazy, users, 2)
        with _client(lazy.first) as client:
            client.flushall()
        lazy.rebuild(settle_s=6.0)
        _await_version(lazy, users, 2)


def test_redis_is_refilled_while_workers_write(place: Place) -> None:
    users = _users(place)
    _click(place, users, 1)
    with _client(place.first) as client:
        client.flushall()
    rounds = 20
    sending = threading.Thread(target=lambda: [_send_clicks(place, users, n) for n in range(2, rounds + 1)])
    sending.start()
    place.rebuild()
    sending.join()
    _await_version(place, users, rounds)
    place.service.until_committed()
    assert place.rebuild(dry_run=True).written == 0


def test_expired_users_stay_away_and_others_live_as_long_as_they_would_have(place: Place) -> None:
    users = _users(place)
    _click(place, users, 1)
    place.service.until_committed()
    time.sleep(2.0)
    with _client(place.first) as client:
        client.flushall()
        done = place.rebuild(ttl_s=1)
        assert done.expired == done.users > len(users)
        assert not client.exists(*(f"interest:{{{user}}}" for user in users))
    place.rebuild()
    assert len(place.service.reader.get_many(users)) == len(users)


def test_a_rebuild_says_what_is_wrong(place: Place) -> None:
    with pytest.raises(RebuildError, match=r"127\.0\.0\.1:1 did not accept writes for 0.5 s .* run it again"):
        place.rebuild(url=SecretStr("redis://127.0.0.1:1/0"), give_up_s=0.5)


# -- what is done and seen


def _users(place: Place) -> list[str]:
    return [user for number in range(PARTITIONS) for user in place.service.users_in(number, USERS_EACH)]


def _send_clicks(place: Place, users: Sequence[str], number: int) -> None:
    for user in users:
        place.service.send("click", user, item_id=f"i{number % ITEMS}")
    place.service.flush()


def _click(place: Place, users: Sequence[str], number: int) -> None:
    """Everybody's `number`-th event, which shows in Redis."""
    _send_clicks(place, users, number)
    _await_version(place, users, number)


def _await_version(place: Place, users: Sequence[str], version: int) -> None:
    def all_there() -> bool | None:
        found = place.service.reader.get_many(users)
        return (len(found) == len(users) and {one.version for one in found.values()} == {version}) or None

    wait_for(f"version {version}", all_there, 60)


def _rate_follow_and_erase(place: Place, users: Sequence[str]) -> None:
    for number, user in enumerate(users):
        place.service.send("rating", user, item_id=f"i{number % ITEMS}", rating=1 + number % 5)
        place.service.send("follow", user, target_id=f"c{number % 7}")
    place.service.send("erasure", users[0])
    place.service.flush()


def _held(server: LocalValkey, users: Sequence[str]) -> dict[str, Any]:
    """Both keys of each user, whole."""
    held: dict[str, Any] = {}
    with _client(server) as client:
        for user in users:
            held[f"interest {user}"] = client.hgetall(f"interest:{{{user}}}")
            held[f"rec {user}"] = client.get(f"rec:{{{user}}}")
    return {key: value for key, value in held.items() if value}


def _assert_same(now: Any, before: Any) -> None:
    if not isinstance(before, dict):
        assert now == before
        return
    assert now.keys() == before.keys()
    exact = before.keys() - {b"updated_at", b"topics", *VECTORS}
    assert {name: now[name] for name in exact} == {name: before[name] for name in exact}
    if b"topics" in before:
        for name in VECTORS:
            np.testing.assert_allclose(np.frombuffer(now[name], "<f4"), np.frombuffer(before[name], "<f4"), atol=1e-5)
        assert json.loads(now[b"topics"]) == pytest.approx(json.loads(before[b"topics"]), abs=2e-4)


def _command(place: Place) -> dict[str, Any]:
    """What `interest rebuild-redis` itself reports."""
    argv = [sys.executable, "-m", "stream_app", "rebuild-redis", "--json"]
    env = environment(place.member.settings, os.environ)
    ended = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def _everybody(server: LocalValkey) -> set[bytes]:
    with _client(server) as client:
        return set(client.keys("interest:{*"))


def _same_keys(one: LocalValkey, other: LocalValkey) -> bool:
    return _everybody(one) == _everybody(other)


def _losses(place: Place, found: str) -> float:
    scrape = place.member.scrape()
    return scrape.total("interest_redis_losses_total", found=found) if scrape else 0.0


def _client(server: LocalValkey) -> redis.Redis:
    return redis.Redis.from_url(server.url)
