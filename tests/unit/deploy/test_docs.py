"""The pages on deployment: their sums, links and commands."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from model_store.state.layout import USER
from stream_app.commands.bench import benchmarks
from tests.deployed import DEPLOY, parse

ROOT = DEPLOY.parent
PAGES = [DEPLOY / "docs" / "deploy.md", DEPLOY / "docs" / "sizing.md"]


def test_the_sums_are_what_the_formula_gives() -> None:
    text = (DEPLOY / "docs" / "sizing.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert printed.getvalue() in text
    assert f"{USER.itemsize:,} bytes" in text
    assert f"state, logged, in_redis, item, event, list_ = {USER.itemsize:_}," in code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    for path in re.findall(r"(?:deploy|stream_app|tests)/[\w./-]+\w", page.read_text()):
        assert (ROOT / path).exists() or path.startswith(("deploy/.secrets", "deploy/.env")), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_that_a_page_names_is_one(page: Path) -> None:
    known = benchmarks(ROOT / "tests" / "bench")
    for line in re.findall(r"`interest ([a-z][^`<]*)`", page.read_text()):
        assert parse(line.split())
        if line.startswith("bench "):
            assert line.split()[1] in known
