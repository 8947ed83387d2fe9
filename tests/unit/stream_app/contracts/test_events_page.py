"""`deploy/docs/events.md` says what the code does."""

import re
from pathlib import Path

import pytest

from model_store.state.layout import Kind
from stream_app.checking.hints import CODES
from stream_app.contracts.items import CONTENTS as ITEM_CONTENTS
from stream_app.contracts.items import MAX_TAG, MAX_TAGS, MAX_TITLE
from stream_app.contracts.reasons import Reason
from stream_app.contracts.schemas import FLOWS, contracts
from stream_app.contracts.validity import CONTENTS, MAX_ID_BYTES, Limits
from stream_app.settings import Accept, Topics

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "deploy" / "docs" / "events.md").read_text()


def table(head: str) -> dict[str, str]:
    """First column -> the rest, of the table with this head."""
    rows = PAGE.split(f"| {head} |")[1].split("\n\n")[0].splitlines()[2:]
    return {row.split("|")[1].strip(" `"): "|".join(row.split("|")[2:]).strip(" |") for row in rows}


def test_every_reason_is_there_with_its_mend() -> None:
    assert table("reason") == {reason.value: reason.meaning for reason in Reason}


def test_every_warning_is_there() -> None:
    assert table("warning") == CODES


@pytest.mark.parametrize("name", [name for name, flow in FLOWS.items() if flow == "in"])
def test_every_field_is_there_as_required_or_optional(name: str) -> None:
    schema = next(one.schema for one in contracts(Limits(1)) if one.name == name)
    _kind, required, optional = (set(re.findall(r"[a-z_]+", cell)) for cell in columns(getattr(Topics(), name)))
    wanted = set(schema["required"]) | ({"title"} if name == "items" else set())
    assert required & schema["properties"].keys() == wanted
    assert optional & schema["properties"].keys() == schema["properties"].keys() - wanted


def columns(topic: str) -> list[str]:
    """Kind, required and optional fields, without what stands in brackets."""
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{topic}` |"))
    return [re.sub(r"\([^)]*\)", "", cell) for cell in row.split("|")[2:5]]


def test_limits_are_those_of_the_code() -> None:
    accept = Accept()
    for number in (MAX_ID_BYTES, accept.max_dwell_ms, accept.max_value_bytes, MAX_TITLE, MAX_TAGS, MAX_TAG):
        assert f"{number:,}" in PAGE
    assert f"at most {accept.max_future_s:.0f} s ahead" in PAGE
    assert f"for {accept.erasure_memory_s // 86_400} days" in PAGE


def test_types_of_our_envelopes_are_there() -> None:
    types = {contents.type for contents in CONTENTS.values()} | {ITEM_CONTENTS.type}
    assert set(re.findall(r"`(interest\.[a-z]+\.v1)`", PAGE)) == types
    assert len(types) == len(Kind) + 1


def test_links_lead_somewhere() -> None:
    for page in ("events.md", "redis-layout.md"):
        text = (ROOT / "deploy" / "docs" / page).read_text()
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            assert (ROOT / "deploy" / "docs" / link).resolve().exists(), link
