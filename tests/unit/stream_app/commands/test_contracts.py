"""The committed contracts: what the code says, valid by AsyncAPI's own schema, and breaking nobody."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from stream_app.cli import app
from stream_app.commands.contracts import ASYNCAPI, broken_between, file_of, texts
from stream_app.commands.errors import CommandError
from stream_app.contracts import schemas
from stream_app.contracts.schemas import FLOWS
from stream_app.settings import load

ROOT = Path(__file__).parents[4]
FOLDER = ROOT / "deploy" / "contracts"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["contracts", *arguments])


def test_the_committed_files_are_what_the_code_says() -> None:
    done = run(str(FOLDER), "--check")
    assert done.exit_code == 0, done.output


def test_check_names_files_that_differ_are_missing_or_are_too_many(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "here")
    here = tmp_path / "here"
    (here / "clicks.schema.json").write_text("{}")
    (here / "items.schema.json").unlink()
    (here / "likes.schema.json").write_text("{}")
    done = run(str(here), "--check")
    assert done.exit_code == 1
    said = [line.split("/")[-1].split()[0] for line in done.output.splitlines() if " is not what " in line]
    assert said == ["clicks.schema.json", "items.schema.json", "likes.schema.json"]


def test_names_and_limits_are_those_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEREST_KAFKA__TOPICS__CLICKS", "shop.clicks")
    monkeypatch.setenv("INTEREST_ACCEPT__MAX_DWELL_MS", "77")
    assert run(str(tmp_path)).exit_code == 0
    document = yaml.safe_load((tmp_path / ASYNCAPI).read_text())
    assert document["channels"]["clicks"]["address"] == "shop.clicks"
    assert document["components"]["schemas"]["clicks"]["properties"]["dwell_ms"]["maximum"] == 77


def test_what_breaks_producers_is_not_written_unless_the_version_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(str(tmp_path)).exit_code == 0
    before = (tmp_path / "clicks.schema.json").read_text()
    monkeypatch.setenv("INTEREST_ACCEPT__MAX_DWELL_MS", "77")
    done = run(str(tmp_path))
    assert isinstance(done.exception, CommandError)
    assert "clicks.schema.json .dwell_ms: maximum is 77, which producers may not heed" in str(done.exception)
    assert (tmp_path / "clicks.schema.json").read_text() == before
    monkeypatch.setattr(schemas, "VERSION", 2)
    assert run(str(tmp_path)).exit_code == 0
    assert json.loads((tmp_path / "clicks.schema.json").read_text())["$id"] == "urn:interest-updater:clicks:v2"


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_no_contract_of_the_past_is_broken_within_its_version() -> None:
    """Every commit that git has, so that what one has added none takes away."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no clone of the repository, so the past is not there")
    past = git("log", "--format=%H", "--", "deploy/contracts").split()
    if not past:
        pytest.skip("git has no commit of the contracts here")
    news = texts(load())
    for commit in past:
        there = set(git("ls-tree", "--name-only", commit, "deploy/contracts/").split())
        places = {file_of(name): f"deploy/contracts/{file_of(name)}" for name in FLOWS}
        olds = {name: git("show", f"{commit}:{place}") for name, place in places.items() if place in there}
        assert broken_between(olds, news) == [], f"{commit[:12]} had it otherwise: raise VERSION in schemas.py"


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """AsyncAPI's own schema of its documents."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, which brings AsyncAPI's own schema")
    here = tmp_path_factory.mktemp("asyncapi")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(FOLDER / "npm" / name, here)
    done = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund"], cwd=here, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        pytest.skip(f"npm brings nothing here: {done.stderr[-200:]}")
    schema: dict[str, Any] = json.loads((here / "node_modules/@asyncapi/specs/schemas/3.0.0.json").read_text())
    return schema


def test_the_document_is_one_of_asyncapi(official: dict[str, Any]) -> None:
    document = yaml.safe_load((FOLDER / ASYNCAPI).read_text())
    judge = jsonschema.Draft7Validator(official)
    assert [error.message for error in judge.iter_errors(document)] == []
    document["channels"]["clicks"]["bindings"]["kafka"]["topicConfiguration"]["retention.ms"] = "long"
    assert not judge.is_valid(document)


def test_every_reference_leads_somewhere() -> None:
    document = yaml.safe_load((FOLDER / ASYNCAPI).read_text())
    references = list(_references(document))
    assert references
    for reference in references:
        there = document
        for step in reference.removeprefix("#/").split("/"):
            there = there[step]


def _references(value: Any) -> Any:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for one in value.values():
            yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)
