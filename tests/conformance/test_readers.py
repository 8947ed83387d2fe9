"""Readers in every language read the same: `deploy/clients/conformance.json` against real servers."""

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis

from stream_app.contracts import generations
from stream_app.contracts.generations import AT_FIRST, SERVING_KEY
from stream_app.local import LocalValkey
from tests.conformance.drivers import PYTHON, Answers, ask_program, ask_python
from tests.conformance.worlds import FILE, document, load, same, written


@pytest.fixture(scope="module")
def raw() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


@pytest.fixture(scope="module")
def urls(raw: dict[str, Any], redis_server: LocalValkey) -> list[str]:
    """Every world in a database of its own."""
    return load(raw, redis_server.url)


def differences(raw: dict[str, Any], answers: Answers) -> list[str]:
    """Readings that another answer was given to, each with both."""
    assert [len(each) for each in answers] == [len(world["readings"]) for world in raw["worlds"]]
    return [
        f"{world['name']}: {one['call']} {one['of']!r} gives {answer}"
        for world, each in zip(raw["worlds"], answers, strict=True)
        for one, answer in zip(world["readings"], each, strict=True)
        if not same(answer, {name: one[name] for name in ("gives", "raises") if name in one})
    ]


def test_the_file_is_what_the_sinks_write(redis_server: LocalValkey) -> None:
    url = redis_server.url.rsplit("/", 1)[0] + "/15"
    assert written(document(url)) == FILE.read_text(), "write it anew: python -m tests.conformance"


@pytest.mark.parametrize("kind", PYTHON)
def test_python_readers_conform(raw: dict[str, Any], urls: list[str], kind: str) -> None:
    assert differences(raw, ask_python(kind, urls, raw)) == []


def test_a_reader_that_keeps_answers_conforms(raw: dict[str, Any], redis_8: Path, tmp_path: Path) -> None:
    with LocalValkey(tmp_path / "redis_8", binary=redis_8) as server:
        assert differences(raw, ask_python("sync", load(raw, server.url), raw, cache=100)) == []


def test_the_node_reader_conforms(raw: dict[str, Any], urls: list[str], node_package: Path) -> None:
    assert differences(raw, ask_program(["node", str(node_package / "test" / "conformance.js")], urls)) == []


def test_the_go_reader_conforms(raw: dict[str, Any], urls: list[str], go_conformance: Path) -> None:
    assert differences(without_items(raw), ask_program([str(go_conformance)], urls, without_items(raw))) == []


def test_the_java_reader_conforms(raw: dict[str, Any], urls: list[str], java_class_path: str) -> None:
    argv = ["java", "-cp", java_class_path, "Conformance"]
    assert differences(without_items(raw), ask_program(argv, urls, without_items(raw))) == []


def without_items(raw: dict[str, Any]) -> dict[str, Any]:
    """The examples in Go and Java read users only."""
    worlds = [
        world | {"readings": [one for one in world["readings"] if one["call"] != "items"]} for world in raw["worlds"]
    ]
    return {**raw, "worlds": worlds}


def test_the_node_reader_goes_over_to_the_generation_that_serves(
    raw: dict[str, Any], urls: list[str], node_package: Path
) -> None:
    """In the world in which both are there, and from the first one to the second."""
    url = urls[2]
    with redis.Redis.from_url(url) as client:
        argv = ["node", str(node_package / "test" / "follow.js"), url]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as following:
            assert following.stdout is not None
            assert following.stdout.readline() == "1\n"
            pointer = client.get(SERVING_KEY)
            client.set(SERVING_KEY, generations.encode(AT_FIRST.then(2, 1)))
            assert following.communicate(timeout=60)[0] == "2\n"
        client.set(SERVING_KEY, pointer)


def test_the_types_of_the_node_package_hold_and_are_those_of_its_code(node_package: Path, tmp_path: Path) -> None:
    argv = ["node_modules/.bin/tsc", "-p", ".", "--noEmit", "false", "--declaration", "--emitDeclarationOnly"]
    done = subprocess.run(
        [*argv, "--outDir", str(tmp_path)], cwd=node_package, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    written = {path.name: path.read_text() for path in tmp_path.glob("*.d.ts")}
    assert written == {path.name: path.read_text() for path in (node_package / "types").iterdir()}, "npm run types"


def test_another_answer_is_noticed(raw: dict[str, Any], urls: list[str]) -> None:
    """A bit of a vector, the order of topics, a counter, who is there, and an error that is none."""
    answers = ask_python("sync", urls, raw)
    wrong = copy.deepcopy(answers)
    first = wrong[0][0]["gives"]
    first["vector"][2] = 0.0
    wrong[0][1]["gives"]["topics"].reverse()
    wrong[0][2]["gives"]["windows"]["24h"]["clicks"] += 1
    wrong[0][5] = {"gives": first}
    wrong[4][0] = {"gives": None}
    wrong[4][1] = {"raises": "redis"}
    assert len(differences(raw, wrong)) == 6
    assert "erased" in differences(raw, wrong)[3]
