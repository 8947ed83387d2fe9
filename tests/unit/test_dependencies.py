"""What is installed: pinned by hash, each with its reason, and how an audit of it ends."""

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = {
    "requirements.lock": (),
    "requirements-dev.lock": ("dev", "peers", "guided", "plots", "large", "text", "multilingual", "llm", "traces"),
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()  # type: ignore[index]


def _pins(lock: str) -> list[str]:
    """Each requirement of a lock file with its options, on one line."""
    text = (ROOT / "deploy" / lock).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_version_and_hashes(lock: str) -> None:
    loose = [
        pin
        for pin in _pins(lock)
        if not re.fullmatch(r"[\w.-]+==[^\s;]+( ;[^#]*?)?(\s+--hash=sha256:[0-9a-f]{64})+", pin)
    ]
    assert loose == []


@pytest.mark.parametrize(("lock", "extras"), LOCKS.items())
def test_every_dependency_is_pinned(lock: str, extras: tuple[str, ...]) -> None:
    wanted = [*PROJECT["dependencies"], *(one for extra in extras for one in EXTRAS[extra])]
    assert {_name(one) for one in wanted} - {_name(pin) for pin in _pins(lock)} == set()


def test_every_extra_is_in_a_lock() -> None:
    assert set(EXTRAS) == set(LOCKS["requirements-dev.lock"])


def test_every_dependency_has_its_reason_beside_it() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    wanted = [*PROJECT["dependencies"], *(one for extra in EXTRAS.values() for one in extra)]
    bare = [one for one in wanted if not any(re.fullmatch(rf'\s+"{re.escape(one)}",\s+# \S.+', line) for line in lines)]
    assert bare == []


def _audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "deploy" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLEAN = {"name": "idna", "version": "3.11", "vulns": []}
FLAWED = {"name": "idna", "version": "3.4", "vulns": [{"id": "PYSEC-2024-60", "fix_versions": ["3.7"]}]}
UNKNOWN = {"name": "idna", "skip_reason": "Dependency not found on PyPI and could not be audited: idna (3.4)"}


@pytest.mark.parametrize(
    ("dependencies", "status", "says"),
    [
        ([CLEAN, UNKNOWN], 0, "1 packages without known vulnerabilities, 1 not in the database"),
        ([CLEAN, FLAWED], 1, "idna 3.4 has PYSEC-2024-60, mended in 3.7"),
        ([UNKNOWN, UNKNOWN], 0, "not done"),
    ],
)
def test_a_finding_fails_the_audit_and_a_missing_database_does_not(
    dependencies: list[Any], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _audit().verdict({"dependencies": dependencies, "fixes": []}) == status
    assert says in capsys.readouterr().out


@pytest.mark.parametrize(
    ("errors", "status", "says"),
    [
        ("ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed", 0, "cannot be reached"),
        ("error: unexpected argument", 1, "the tool failed"),
        ("", 1, "the tool failed"),
    ],
)
def test_an_audit_without_a_report_passes_only_for_want_of_a_connection(
    errors: str, status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _audit().unfinished(errors) == status
    assert says in capsys.readouterr().out
