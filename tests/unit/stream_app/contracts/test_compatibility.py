"""What breaks producers or readers, by cases and against documents."""

import copy
import json
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from stream_app.contracts.compatibility import breaking_changes, version_of
from stream_app.contracts.schemas import FLOWS, contracts
from stream_app.contracts.validity import Limits

Flow = Literal["in", "out"]
SCHEMAS = {one.name: one.schema for one in contracts(Limits(1))}
BASE: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string", "maxLength": 10, "not": {"type": "string", "pattern": "x"}},
        "kind": {"enum": ["a", "b"]},
        "size": {"type": "integer", "minimum": 0},
        "note": {"type": ["string", "null"], "description": "Old."},
        "list": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "number"}},
    },
}


def changed(path: str, **changes: Any) -> dict[str, Any]:
    """The base with keywords at a place set, and taken away where the value is None."""
    schema = copy.deepcopy(BASE)
    there = schema
    for step in filter(None, path.split(".")):
        there = there["properties"][step] if step in there.get("properties", {}) else there[step]
    for name, value in changes.items():
        there.pop(name, None)
        if value is not None:
            there[name] = value
    return schema


def with_field(required: bool) -> dict[str, Any]:
    schema = copy.deepcopy(BASE)
    schema["properties"]["new"] = {"type": "string"}
    if required:
        schema["required"].append("new")
    return schema


def without(name: str) -> dict[str, Any]:
    schema = copy.deepcopy(BASE)
    del schema["properties"][name]
    return schema


CASES: list[tuple[str, dict[str, Any], set[Flow]]] = [
    ("nothing", copy.deepcopy(BASE), set()),
    ("optional field", with_field(False), set()),
    ("required field", with_field(True), {"in"}),
    ("field gone", without("note"), {"in", "out"}),
    ("deep field gone", changed("list.items", properties={}), {"in", "out"}),
    ("required now", changed("", required=["id", "size"]), {"in"}),
    ("required no longer", changed("", required=[]), {"out"}),
    ("another type", changed("size", type="string"), {"in", "out"}),
    ("wider type", changed("size", type="number"), {"out"}),
    ("null as well", changed("size", type=["integer", "null"]), {"out"}),
    ("null no longer", changed("note", type="string"), {"in"}),
    ("any type", changed("size", type=None), {"out"}),
    ("word more", changed("kind", enum=["a", "b", "c"]), {"out"}),
    ("word less", changed("kind", enum=["a"]), {"in"}),
    ("any word", changed("kind", enum=None), {"out"}),
    ("words for a text", changed("id", enum=["a"]), {"in"}),
    ("shorter", changed("id", maxLength=9), {"in"}),
    ("longer", changed("id", maxLength=11), {"out"}),
    ("as long as you like", changed("id", maxLength=None), {"out"}),
    ("not so short", changed("id", minLength=1), {"in"}),
    ("greater", changed("size", minimum=1), {"in"}),
    ("below", changed("size", minimum=-1), {"out"}),
    ("another pattern", changed("id", **{"not": {"type": "string", "pattern": "y"}}), {"in", "out"}),
    ("deep type", changed("list.items.n", type="number"), {"out"}),
    ("map of others", changed("map", additionalProperties={"type": "integer"}), {"in"}),
    ("words about it", changed("note", description="New.", examples=["x"], default=None), set()),
]  # fmt: skip


@pytest.mark.parametrize(("new", "breaks"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_a_change_breaks_whom_it_breaks(new: dict[str, Any], breaks: set[Flow]) -> None:
    flows: tuple[Flow, Flow] = ("in", "out")
    assert {flow for flow in flows if breaking_changes(BASE, new, flow)} == breaks


def test_the_place_is_named() -> None:
    assert breaking_changes(BASE, changed("list.items.n", type="number"), "out") == [
        ".list[].n: number is no type for it until now, which readers may rely on"
    ]
    assert breaking_changes(BASE, with_field(True), "in") == [
        ".new: the field is required, which producers may not heed"
    ]


CHANGES = st.sampled_from([case[1] for case in CASES])
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["", "a", "x" * 3, "y", "a" * 10, "a" * 11, 5]),
        "kind": st.sampled_from(["a", "b", "c"]),
        "size": st.sampled_from([-1, 0, 1, 0.5, None, "1"]),
        "note": st.sampled_from([None, "n", 3]),
        "list": st.sampled_from([[], [{"n": 1}], [{"n": 1.5}]]),
        "map": st.sampled_from([{}, {"a": 1}, {"a": 1.5}]),
        "new": st.sampled_from(["n"]),
    },
)


@settings(max_examples=500)
@given(CHANGES, CHANGES, DOCUMENTS)
def test_what_is_said_to_break_nobody_breaks_no_document(
    old: dict[str, Any], new: dict[str, Any], document: dict[str, Any]
) -> None:
    before, after = Draft202012Validator(old).is_valid(document), Draft202012Validator(new).is_valid(document)
    known = document.keys() <= old["properties"].keys()  # a field that was anybody's own may get a meaning
    if known and not breaking_changes(old, new, "in"):
        assert after or not before
    if document.keys() <= new["properties"].keys() and not breaking_changes(old, new, "out"):
        assert before or not after


@pytest.mark.parametrize("name", FLOWS)
def test_a_contract_is_compatible_with_itself_and_has_a_version(name: str) -> None:
    assert breaking_changes(SCHEMAS[name], json.loads(json.dumps(SCHEMAS[name])), FLOWS[name]) == []
    assert version_of(SCHEMAS[name]) == 1
