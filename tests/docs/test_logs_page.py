"""What is logged is on the page about it, and the reverse; the text of a message is its name, so it does not vary."""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.docs.pages import ROOT

LEVELS = ("debug", "info", "warning", "error", "critical", "exception")
PAGE = ROOT / "deploy" / "docs" / "logs.md"
OF_THE_LAST_LINE = "worker stopped"


class Message(NamedTuple):
    """A place in the code where something is logged; `event` is None where it is made up as it goes."""

    where: str
    level: str
    event: str | None
    fields: tuple[str, ...]


def messages(source: str, where: str) -> Iterator[Message]:
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
            continue
        logger = node.func.value
        name = logger.id if isinstance(logger, ast.Name) else getattr(logger, "attr", "")
        if name in ("log", "_log", "logger"):
            told = node.args[0] if node.args else None
            event = told.value if isinstance(told, ast.Constant) and isinstance(told.value, str) else None
            fields = tuple(keyword.arg or "**" for keyword in node.keywords)
            yield Message(f"{where}:{node.lineno}", node.func.attr, event, fields)


def all_messages() -> list[Message]:
    files = sorted(ROOT.glob("stream_app/**/*.py"))
    return [one for path in files for one in messages(path.read_text(), str(path.relative_to(ROOT)))]


def test_the_text_of_a_message_is_its_name() -> None:
    assert [one.where for one in all_messages() if one.event is None] == []
    (varying,) = messages('log.warning(f"{what} is away")', "x.py")
    assert varying.event is None


def test_what_needs_a_person_is_on_the_page_and_nothing_else_is() -> None:
    told = {one.event for one in all_messages() if one.level in ("warning", "error", "critical", "exception")}
    table = PAGE.read_text().partition("| `event` |")[2].partition("\n## ")[0]
    rows = set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))
    assert len(told) > 10
    assert rows == told | {OF_THE_LAST_LINE}


def test_no_field_is_called_what_a_user_or_an_item_is_called() -> None:
    forbidden = {"user", "user_id", "users_seen", "key", "item", "item_id", "title", "value", "event_id", "text"}
    assert [one for one in all_messages() if forbidden & set(one.fields)] == []
