"""`deploy/compose.yaml` comes up: its services as processes of this machine, beside a real Kafka and a real Redis 8."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import redis
import yaml

from stream_app.client import InterestReader
from stream_app.local import LeashedProcess, LocalKafka, LocalServerError, LocalValkey
from stream_app.local.server import free_port
from tests.composed import DEPLOY, Here, services
from tests.deployed import PAGES
from tests.failure.found import read_topic
from tests.failure.service import wait_for

EVENTS = 1_500


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `secrets.sh` makes."""
    folder = tmp_path_factory.mktemp("deploy")
    for name in ("secrets.sh", "redis-8-users.acl"):
        shutil.copy(DEPLOY / name, folder)
    subprocess.run(["sh", str(folder / "secrets.sh")], check=True, capture_output=True)
    return folder / ".secrets"


class ComposeRedis(LocalValkey):
    """Redis as the file starts it: with the users that `secrets.sh` made, and no other."""

    def __init__(self, folder: Path, binary: Path, users: Path) -> None:
        super().__init__(folder, binary=binary)
        self._users = users
        self._password = (users.parent / "INTEREST_REDIS__PASSWORD").read_text()

    def _argv(self) -> Sequence[str]:
        return [*super()._argv(), "--aclfile", str(self._users)]

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, username="interest", password=self._password) as client:
                return bool(client.info("server")["process_id"] == self.pid)
        except (redis.RedisError, LocalServerError):
            return False


@pytest.fixture(scope="module")
def here(kafka: LocalKafka, redis_8: Path, secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    folder = tmp_path_factory.mktemp("compose")
    with ComposeRedis(folder / "redis", redis_8, secrets / "redis.acl") as server:
        one = Here(folder, secrets, {"kafka:9092": kafka.bootstrap, "redis:6379": server.address})
        try:
            yield one
        finally:
            one.stop()


@pytest.mark.timeout(600)
def test_it_comes_up_and_an_event_reaches_who_reads(here: Here, kafka: LocalKafka) -> None:
    every = services("demo")
    here.up(every, {"first-model": ["--epochs", "1"], "replay": ["--events", str(EVENTS), "--rate", "0"]})
    user = (read_topic(kafka.bootstrap, "interest.clicks")[-1].key() or b"").decode()
    reader = InterestReader(
        f"redis://{here.hosts['redis:6379']}/0",
        username="interest-reader",
        password=(here.secrets / "reader_password").read_text(),
    )
    interest = wait_for("the event in Redis", lambda: reader.get(user))
    assert interest.events > 0
    assert json.loads(page(here, f"web:9180/users/{user}/explanation"))["version"] >= interest.version
    assert set(targets(here, every["prometheus"])) == {
        ("worker", "up"),
        ("trainer", "up"),
        ("catalog", "up"),
        ("web", "up"),
    }
    for place in (f"{name}:{one}" for name, pages in PAGES.items() for one in pages):
        assert page(here, place)
    ended = here.stop()
    assert ended == dict.fromkeys(ended, 0)


def page(here: Here, place: str) -> bytes:
    """What `service:port/path` answers to who has the token. Raises HTTPError for all but 200."""
    name, inside, path = re.fullmatch(r"(\w+):(\d+)/(.*)", place).groups()  # type: ignore[union-attr]
    token = (here.secrets / "INTEREST_WEB__TOKEN").read_text()
    url = f"http://127.0.0.1:{here.port(name, inside)}/{path}"
    with urlopen(Request(url, headers={"Authorization": f"Bearer {token}"}), timeout=10) as answer:
        return bytes(answer.read())


def targets(here: Here, service: Any) -> list[tuple[str, str]]:
    """What a Prometheus with the configuration of `deploy/prometheus` sees: services, and whether they are up."""
    if shutil.which("prometheus") is None or not (DEPLOY / "prometheus" / "prometheus.yml").is_file():
        pytest.skip("no prometheus here")
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    names: dict[str, str] = {}
    for job in config["scrape_configs"]:
        places = [place for one in job.pop("static_configs", []) for place in one["targets"]]
        places += [f"{name}:{one['port']}" for one in job.pop("dns_sd_configs", []) for name in one["names"]]
        found = [f"127.0.0.1:{here.port(*place.split(':'))}" for place in places]
        names |= dict(zip(found, (place.split(":")[0] for place in places), strict=True))
        job["static_configs"] = [{"targets": found}]
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(here.secrets / "INTEREST_WEB__TOKEN")
    config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config["rule_files"] = [str(DEPLOY / "prometheus" / one) for one in config["rule_files"]]
    file, port = here.folder / "prometheus.yml", free_port()
    file.write_text(yaml.safe_dump(config))
    argv = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={here.folder}/prometheus"]
    here.processes["prometheus"] = LeashedProcess(
        [*argv, f"--web.listen-address=127.0.0.1:{port}"], here.folder / "prometheus.log"
    )

    def seen() -> list[tuple[str, str]] | None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/api/v1/targets", timeout=5) as answer:
                active = json.loads(answer.read())["data"]["activeTargets"]
        except OSError:
            return None
        found = [(names[one["labels"]["instance"]], one["health"]) for one in active]
        return found if found and all(health != "unknown" for _, health in found) else None

    return wait_for("what Prometheus sees", seen)
