"""The image: what it is made from, as whom it runs, and what it brings."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.deployed import DEPLOY, image_environment, image_user, settings_from

ROOT = DEPLOY.parent
DOCKERFILE = DEPLOY / "docker" / "Dockerfile"


def hadolint(file: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name("hadolint")
    return subprocess.run([str(tool), str(file)], capture_output=True, text=True, check=False)


def test_the_linter_finds_nothing() -> None:
    done = hadolint(DOCKERFILE)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_linter_would_find_something(tmp_path: Path) -> None:
    broken = tmp_path / "Dockerfile"
    broken.write_text(DOCKERFILE.read_text().replace("USER 10001:10001", "USER root").replace("STOPSIGNAL", "STOP"))
    assert hadolint(broken).returncode != 0


def test_every_base_is_pinned_by_version_and_digest() -> None:
    text = DOCKERFILE.read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert set(bases) == {"${PYTHON}"}
    assert re.search(r"^ARG PYTHON=python:3\.11\.\d+-slim-\w+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)


def test_it_runs_as_nobody_in_particular_with_settings_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    uid, gid = map(int, image_user().split(":"))
    assert min(uid, gid) >= 10_000  # no user of the host
    settings = settings_from(image_environment(), (), monkeypatch)
    assert settings.metrics.host == "0.0.0.0"
    assert settings.log.json_lines


def test_all_that_is_copied_and_no_more_is_sent_to_the_builder() -> None:
    build = DOCKERFILE.read_text().split(" AS final\n")[0]
    copied = {word for line in re.findall(r"^COPY (?!--from)(.+)$", build, re.MULTILINE) for word in line.split()[:-1]}
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {one.split("/")[0] for one in sent} == copied
    assert all((ROOT / one).exists() for one in sent)


def locked(*extras: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(DEPLOY / "docker" / "locked.py"), *extras]
    return subprocess.run(script, capture_output=True, text=True, check=False)


def names(lock: str) -> set[str]:
    return {re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}


def test_without_extras_the_pins_are_those_of_the_lock() -> None:
    assert locked().stdout == (DEPLOY / "requirements.lock").read_text()


def test_an_extra_brings_all_that_it_needs_and_not_the_tests_tools() -> None:
    chosen = locked("llm", "text").stdout
    for package in ("openai", "onnxruntime", "tokenizers"):
        needed = [Requirement(one) for one in requires(package) or []]
        mine = {one.name.lower() for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})}
        assert {re.sub(r"[-_.]+", "-", name) for name in mine} <= names(chosen), package
    assert names(chosen) & {"pytest", "faiss-cpu", "playwright"} == set()
    assert names((DEPLOY / "requirements.lock").read_text()) <= names(chosen)
    assert len(re.findall("==", chosen)) <= chosen.count("--hash=sha256:")


def test_an_extra_that_there_is_not_ends_the_build() -> None:
    done = locked("llm,tetx")
    assert done.returncode == 2
    assert "tetx: no such extra" in done.stderr


@pytest.fixture
def page() -> Iterator[tuple[str, list[int]]]:
    """`port/` of a server, and what it answers next."""
    statuses: list[int] = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses[-1])
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, *_: object) -> None:
            """Quietly."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{server.server_port}/", statuses
        server.shutdown()


def healthy(place: str) -> tuple[int, str]:
    script = [sys.executable, str(DEPLOY / "docker" / "healthy.py"), place]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(("status", "exit_status"), [(200, 0), (503, 1), (404, 1)])
def test_the_healthcheck_believes_200_alone(page: tuple[str, list[int]], status: int, exit_status: int) -> None:
    place, statuses = page
    statuses.append(status)
    assert healthy(f"{place}readyz") == (exit_status, "/readyz\n")


def test_the_healthcheck_of_nobody_fails() -> None:
    assert healthy("1/healthz")[0] == 1
