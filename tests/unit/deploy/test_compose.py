"""`deploy/compose.yaml`: real settings, real commands, real pages, and no more rights than needed."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.composed import COMPOSE, DEPLOY, HEALTHY, config, is_one_shot, is_ours, services
from tests.deployed import PAGES, grace_s, image_user, parse, secret_names, settings_from

FILE = DEPLOY / "compose.yaml"
EVERY = services("demo")
OURS = {name: service for name, service in EVERY.items() if is_ours(service)}


def seconds(text: str) -> float:
    minutes, rest = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", text).groups()  # type: ignore[union-attr]
    return 60.0 * int(minutes or 0) + int(rest or 0)


def test_compose_would_refuse_an_unknown_key(tmp_path: Path) -> None:
    broken = tmp_path / "compose.yaml"
    broken.write_text(FILE.read_text().replace("stop_grace_period", "stop_grace_perio", 1))
    done = subprocess.run([str(COMPOSE), "-f", str(broken), "config", "-q"], capture_output=True, check=False)
    assert done.returncode != 0


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_given_settings_that_there_are_and_a_command_that_there_is(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = OURS[name]
    targets = [Path(one["target"]).name for one in service.get("secrets") or []]
    assert set(targets) <= secret_names()
    assert bool(targets) == ("INTEREST_SECRETS" in service["environment"])
    settings = settings_from(service["environment"], targets, monkeypatch)
    assert parse(service["command"])
    if not is_one_shot(service):
        assert seconds(service["stop_grace_period"]) >= (grace_s(settings) if name == "worker" else 15)


@pytest.mark.parametrize("name", [name for name, one in OURS.items() if not is_one_shot(one)])
def test_a_healthcheck_asks_for_a_page_that_there_is(name: str) -> None:
    how, program, place = OURS[name]["healthcheck"]["test"]
    assert (how, program) == ("CMD", "healthy")
    assert place in PAGES[name]


@pytest.mark.parametrize("name", OURS)
def test_what_is_written_lies_where_it_may_be(name: str) -> None:
    """The root is read-only: a folder that is written to is a volume or in memory."""
    service = OURS[name]
    writable = [one.split(":")[0] for one in service["tmpfs"]]
    writable += [one["target"] for one in service.get("volumes") or [] if not one.get("read_only")]
    kept = [service["environment"]["INTEREST_DATA_DIR"], "/tmp/cache"]
    if name in ("first-model", "trainer"):
        kept.append(service["environment"]["INTEREST_MODELS__URL"])
    for folder in kept:
        assert any(Path(folder).is_relative_to(one) for one in writable), folder


@pytest.mark.parametrize("name", EVERY)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = EVERY[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert {one["host_ip"] for one in service.get("ports") or []} <= {"127.0.0.1"}
    assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    if name != "kafka":  # its start writes its configuration into the image
        assert service["read_only"]
    if is_ours(service):
        assert service["user"] == image_user()


def test_who_waits_for_health_waits_for_somebody_who_tells_it() -> None:
    for name, service in EVERY.items():
        for other, asked in (service.get("depends_on") or {}).items():
            assert is_one_shot(EVERY[other]) == (asked["condition"] != HEALTHY), (name, other)


def test_the_demo_alone_is_not_started_unasked() -> None:
    assert set(EVERY) - set(services()) == {"replay"}


def test_every_variable_has_its_example_which_is_its_default(tmp_path: Path) -> None:
    used = set(re.findall(r"\$\{(\w+)", FILE.read_text()))
    given = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    assert given.keys() == used
    assert services("demo", env_file=DEPLOY / "env.example") == EVERY


def test_the_script_makes_every_secret_once_and_users_that_have_them(tmp_path: Path) -> None:
    for name in ("secrets.sh", "redis-8-users.acl"):
        (tmp_path / name).write_text((DEPLOY / name).read_text())

    def made() -> dict[str, str]:
        subprocess.run(["sh", str(tmp_path / "secrets.sh")], check=True, capture_output=True)
        return {one.name: one.read_text() for one in (tmp_path / ".secrets").iterdir()}

    first = made()
    assert set(first) == {Path(one["file"]).name for one in config()["secrets"].values()}
    assert made() == first
    assert (tmp_path / ".secrets").stat().st_mode & 0o777 == 0o700
    assert {one.stat().st_mode & 0o777 for one in (tmp_path / ".secrets").iterdir()} == {0o444}
    assert "CHANGE-ME" not in first["redis.acl"]
    passwords = [value for name, value in first.items() if name != "redis.acl"]
    assert len(set(passwords)) == len(passwords)
    assert all(len(one) == 64 for one in passwords)


@pytest.mark.parametrize("mounted", ["prometheus", "grafana"])
def test_what_is_mounted_is_there(mounted: str) -> None:
    sources = [Path(one["source"]) for one in EVERY[mounted]["volumes"] if one["type"] == "bind"]
    assert sources
    assert [one for one in sources if not one.exists()] == []


def test_prometheus_asks_services_at_the_ports_that_they_serve() -> None:
    file = DEPLOY / "prometheus" / "prometheus.yml"
    asked, secrets = set(), set()
    for job in yaml.safe_load(file.read_text())["scrape_configs"]:
        asked |= {place for one in job.get("static_configs", []) for place in one["targets"]}
        asked |= {f"{name}:{one['port']}" for one in job.get("dns_sd_configs", []) for name in one["names"]}
        secrets |= {job["authorization"]["credentials_file"]} if "authorization" in job else set()
    served = {f"{name}:{page.split('/')[0]}" for name, pages in PAGES.items() for page in pages}
    assert asked == served
    assert secrets <= {one["target"] for one in EVERY["prometheus"]["secrets"]}
