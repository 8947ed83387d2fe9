"""Every block of code on every page is one that could be run: nothing on them is passed over in silence.

What is run for real is in `test_story.py`. Here a shell line is held against the commands, options, make targets,
modules, settings and files that there are; Python is compiled, and what it imports is looked up; JSON, TOML, YAML and
JavaScript are parsed. A block that none of this fits needs `<!-- not checked: why -->` right before it.
"""

import ast
import importlib
import json
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from stream_app.settings import Settings
from tests.docs import shell
from tests.docs.pages import Block, blocks

BLOCKS = blocks()
ELSEWHERE: Mapping[str, str] = {
    "ts": "deploy/clients has the same, compiled and run there",
    "typescript": "deploy/clients has the same, compiled and run there",
    "go": "deploy/clients has the same, compiled and run there",
    "java": "deploy/clients has the same, compiled and run there",
    "text": "shows what is printed",
    "console": "shows what is printed",
    "mermaid": "a picture",
    "promql": "every query is run by the tests of the dashboards and rules",
    "dockerfile": "deploy/ has the file, which is linted there",
}
"""Languages -> why blocks of them are not looked into here."""


def check_shell(block: Block) -> None:
    for command in shell.commands(block.text):
        shell.check(command)


def check_python(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module} has no {name.name}"


def check_toml(block: Block) -> None:
    tree = tomllib.loads(block.text)
    if set(tree) <= set(Settings.model_fields):
        Settings(**tree)


def check_yaml(block: Block) -> None:
    list(yaml.safe_load_all(block.text))


def check_javascript(block: Block) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here")
    told = ["--check", "--input-type=module", "-"]
    done = subprocess.run([node, *told], input=block.text, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def check_picture(block: Block) -> None:
    """A block that does not say what it is may only be drawn."""
    assert any("\u2500" <= letter <= "\u25ff" for letter in block.text), "say the language, `text` for what is printed"


CHECKS: Mapping[str, Callable[[Block], None]] = {
    "sh": check_shell, "shell": check_shell, "bash": check_shell,
    "python": check_python, "py": check_python,
    "js": check_javascript, "javascript": check_javascript, "mjs": check_javascript,
    "json": lambda block: json.loads(block.text),
    "jsonl": lambda block: [json.loads(line) for line in block.text.splitlines()],
    "toml": check_toml,
    "yaml": check_yaml, "yml": check_yaml,
    "": check_picture,
}  # fmt: skip


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_each_block_is_one_that_could_be_run(block: Block) -> None:
    if block.unchecked is not None:
        assert len(block.unchecked) > 10, f"{block.where}: `not checked` needs a reason"
    elif block.language not in ELSEWHERE:
        assert block.language in CHECKS, f"{block.where}: nobody has decided what to do with {block.language!r}"
        CHECKS[block.language](block)


def test_blocks_of_all_sorts_are_found() -> None:
    """As a reader that finds none would pass all of the above."""
    found = {(block.page, block.language) for block in BLOCKS}
    assert {
        ("README.md", "sh"),
        ("README.md", "python"),
        ("deploy/docs/pages.md", "json"),
        ("deploy/docs/clients.md", "go"),
    } <= found
    assert ("deploy/docs/tutorial.md", "sh") in found


@pytest.mark.parametrize(
    "line",
    [
        "interest wroker",
        "interest worker --kafak HOST:9092",
        "interest models premote VERSION",
        "interest replay news --rate fast",
        "interest bench nothing",
        "INTEREST_KAFKA__BOOTSTRP=x interest worker",
        "export INTEREST_LOG_LEVEL=debug",
        "make demonstration",
        'make demo ARGS="--event 3"',
        "python -m tests.failure.chaoss",
        "cat deploy/nowhere.toml",
        "interest topics create && frobnicate",
        "printf x | frobnicate",
        "interest models",
    ],
)
def test_what_is_not_there_is_found(line: str) -> None:
    with pytest.raises(shell.UnknownError):
        check_shell(Block("a page", "", 1, "sh", f"    {line}   # and a comment\n"))


@pytest.mark.parametrize(
    "text",
    [
        "interest worker --generation N   # as many as it takes",
        "$ interest show u42 | head -3",
        "cat > mine.toml <<'EOF'\n[kafka]\nfrobnicate $x\nEOF\ninterest worker --config mine.toml 2> log",
        "interest train FOLDER \\\n    --epochs 3",
        'INTEREST_FLUSH__SUMS=int8 make demo ARGS="--events 20000"',
        "interest worker --help",
    ],
)
def test_what_is_there_is_let_pass(text: str) -> None:
    check_shell(Block("a page", "", 1, "sh", text))


def test_settings_in_a_page_are_settings() -> None:
    with pytest.raises(ValueError, match="bootstrp"):
        check_toml(Block("a page", "", 1, "toml", '[kafka]\nbootstrp = "x"\n'))


def test_a_block_that_is_not_checked_says_why(tmp_path: Path) -> None:
    from tests.docs import pages

    page = tmp_path / "page.md"
    page.write_text("# A\n\n<!-- not checked: takes an hour -->\n\n    frobnicate\n\ntext\n\n    frobnicate\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "ROOT", tmp_path)
        first, second = pages._read(page).blocks
    assert (first.unchecked, second.unchecked, second.line) == ("takes an hour", None, 9)
