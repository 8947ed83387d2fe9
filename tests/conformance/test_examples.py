"""The examples of `deploy/clients` run, and what the pages show of them stands in them word for word."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import redis

from stream_app.local import LocalValkey
from stream_app.settings import Redis as RedisSettings
from tests.conformance.toolchains import CLIENTS, needed
from tests.conformance.worlds import USERS, plain

ROOT = CLIENTS.parents[1]
PAGE = ROOT / "deploy" / "docs" / "clients.md"
FENCE = re.compile(r"\(([^()\s]+)\):\n\n```(\w+)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def server(redis_8: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalValkey]:
    """A Redis that has all there is, filled by the sinks."""
    with LocalValkey(tmp_path_factory.mktemp("redis_8") / "server", binary=redis_8) as one:
        with redis.Redis.from_url(one.url) as client:
            plain().fill(RedisSettings.model_validate({"url": one.url}), client)
        yield one


def printed(argv: list[str], within_s: float = 60) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=within_s)
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("read.py", ["(64,) float32", "'Topic 5': 0.1625", "event_id='u42:0:1'", "1 (2, 64) [ True False]"]),
        ("read_async.py", ["'Topic 5': 0.1625", "0"]),
        ("rank.py", ["{'i7': ", " 1"]),
        ("score_users.py", ["[('u42', "]),
        ("cached.py", [f"{2**53 - 1}\n" * 3]),
    ],
)
def test_python_examples_run(server: LocalValkey, name: str, shown: list[str]) -> None:
    out = printed([sys.executable, str(CLIENTS / "python" / name), server.url])
    assert [text for text in shown if text not in out] == [], out


def test_the_node_example_runs(server: LocalValkey, node_package: Path) -> None:
    out = printed(["node", str(node_package / "examples" / "read.js"), server.url])
    assert "Float32Array(64)" in out
    assert "event_id: 'u42:0:1'" in out


def test_the_java_example_runs(server: LocalValkey, java_class_path: str) -> None:
    out = printed(["java", "-cp", java_class_path, "Read", server.url])
    assert out.startswith("64\n")
    assert "[u42]" in out


def test_the_go_example_runs(server: LocalValkey, go_read: Path) -> None:
    assert printed([str(go_read), server.address]).endswith("1 <nil>\n")


def test_redis_cli_shows_the_same(server: LocalValkey) -> None:
    needed("bash", "redis-cli", "od")
    script = CLIENTS / "redis-cli.sh"
    port = server.address.rpartition(":")[2]
    out = printed(["bash", "-c", f'redis-cli() {{ command redis-cli -p {port} "$@"; }}; . {script}'])
    lines = out.splitlines()
    assert lines[0] == ""  # no pointer
    assert '"Topic 5":0.1625' in lines[1]
    assert lines[3] == str(2**53 - 1)
    assert '"event_id":"u42:0:1"' in out
    assert "model-7\n64\n1\n" in out
    numbers = np.array(" ".join(lines[-16:]).split(), np.float32)
    expected = plain().readings[0]["gives"]["vector"]
    assert len(numbers) == len(expected)
    np.testing.assert_allclose(numbers, np.array(expected, np.float32), rtol=1e-5)


def shown_in(page: Path) -> list[tuple[Path, str]]:
    """File and text of each example; every fenced block must name the file that it is from in the line before it."""
    text = page.read_text()
    found = [(page.parent / path, code) for path, _, code in FENCE.findall(text)]
    assert len(found) == text.count("```") / 2
    return found


def lines_of(text: str) -> list[str]:
    """Without the indentation, and without empty lines at both ends."""
    return [line.strip() for line in text.strip().splitlines()]


def stands_in(code: str, text: str) -> bool:
    wanted, there = lines_of(code), lines_of(text)
    return any(there[at : at + len(wanted)] == wanted for at in range(len(there)))


def section(readme: str) -> str:
    """What the README tells of reading, up to the table of keys."""
    return readme.partition("## Read interests\n")[2].partition("| key | |")[0]


def test_what_the_page_shows_is_what_is_run() -> None:
    shown = shown_in(PAGE)
    assert len(shown) >= 12
    assert [str(file) for file, code in shown if not stands_in(code, file.read_text())] == []


def test_what_the_readme_shows_of_reading_is_what_is_run() -> None:
    blocks = re.findall(r"```\w+\n(.*?)```", section((ROOT / "README.md").read_text()), re.DOTALL)
    files = [file.read_text() for file in CLIENTS.rglob("*") if file.suffix in (".py", ".js", ".sh")]
    assert blocks
    assert [code for code in blocks if not any(stands_in(code, text) for text in files)] == []


@pytest.mark.parametrize("edit", [lambda code: code.replace("u42", "u43", 1), lambda code: code + "more()\n"])
def test_a_word_that_differs_is_found(edit: Callable[[str], str]) -> None:
    file, code = next((file, code) for file, code in shown_in(PAGE) if "u42" in code)
    assert stands_in(code, file.read_text())
    assert not stands_in(edit(code), file.read_text())


def test_users_of_the_examples_are_there() -> None:
    assert USERS[0] == "u42"


@pytest.mark.skipif(not os.environ.get("CLIENTS"), reason="compiles everything that the Go clients use: make clients")
@pytest.mark.timeout(1_500)
def test_go_has_nothing_to_say_against_the_go_clients() -> None:
    needed("go", "gofmt")
    assert printed(["gofmt", "-l", str(CLIENTS / "go")]) == ""
    # With nothing cached it fetches and compiles all that they import.
    assert printed(["go", "-C", str(CLIENTS / "go"), "vet", "./..."], within_s=1_200) == ""
