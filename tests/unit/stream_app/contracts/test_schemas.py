"""The published schemas say what the decoders do; jsonschema, which shares nothing with those, is the judge."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from model_store.state.hashing import partition_of
from model_store.state.layout import Kind
from stream_app.contracts import knowledge, recommendations
from stream_app.contracts.asyncapi import as_yaml
from stream_app.contracts.cloud_events import Envelope
from stream_app.contracts.dead_letter import dead_letter
from stream_app.contracts.items import judge_item
from stream_app.contracts.reasons import Reason
from stream_app.contracts.schemas import FLOWS, Contract, Doc, contracts, schema_of
from stream_app.contracts.validity import Limits, Rejected, judge

NOW_MS = 1_790_000_000_000
LIMITS = Limits(partitions=4)
CONTRACTS = {one.name: one for one in contracts(LIMITS)}
VALIDATORS = {name: Draft202012Validator(one.schema) for name, one in CONTRACTS.items()}
EVENTS = {f"{kind.name.lower()}s": kind for kind in Kind}
INPUTS = [name for name, flow in FLOWS.items() if flow == "in"]


@dataclass(frozen=True)
class Consumed:
    key: bytes | None
    value: bytes | None
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    topic: str = "t"
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


def takes(name: str, sent: Consumed) -> Reason | None:
    """What the project says of a record: None if it takes it."""
    verdict = judge_item(sent) if name == "items" else judge(EVENTS[name], sent, LIMITS, NOW_MS)
    return verdict.reason if isinstance(verdict, Rejected) else None


def sent_well(name: str, document: Any, text: str | None = None) -> Consumed:
    """Keyed and partitioned as it should be."""
    owner = document.get("item_id" if name == "items" else "user_id") if isinstance(document, dict) else ""
    key = str(owner).encode()
    return Consumed(key, (json.dumps(document) if text is None else text).encode(), partition_of(key, 4))


def example(name: str) -> dict[str, Any]:
    return dict(CONTRACTS[name].schema["examples"][0])


@pytest.mark.parametrize("name", FLOWS)
def test_a_schema_is_one_and_takes_its_example(name: str) -> None:
    Draft202012Validator.check_schema(CONTRACTS[name].schema)
    VALIDATORS[name].validate(example(name))
    for field_ in CONTRACTS[name].schema["properties"].values():
        assert field_["description"].endswith(".")


@pytest.mark.parametrize("name", INPUTS)
def test_an_example_is_taken(name: str) -> None:
    assert takes(name, sent_well(name, example(name))) is None


TEXTS = st.sampled_from(["", "a", "x" * 256, "x" * 257, "a\n", "\x7f", "\u2028", " \u3000", "é\U0001f511", "\x85"])
JUNK = st.sampled_from([None, True, 1, -1, 0.5, "7", [], {}, ["a"]])
NUMBERS = st.sampled_from([0, 0.0, 1e-9, 4.5, 5, 5.000001, 86_400_000, 86_400_001, -1, 1e308, 10**400, None, "4", True])
TIMES = st.sampled_from([0, 1, NOW_MS, -1, 2**63, 10**30, -(10**30), 0.5, None, "1", True])
YEARS = st.sampled_from([0, -62_135_596_800_000, -62_135_596_800_001, 253_402_300_799_999, 253_402_300_800_000, None])
TAGS = st.sampled_from([None, [], ["a"] * 100, ["a"] * 101, ["x" * 200], ["x" * 201], [1], "a", {}])
WORDS = st.sampled_from(["user", "creator", "topic", "page", "follow", "unfollow", "mute", "", None])
DRAWN: dict[str, st.SearchStrategy[Any]] = {
    "ts": TIMES,
    "dwell_ms": NUMBERS,
    "rating": NUMBERS,
    "scale_max": NUMBERS,
    "target_type": WORDS,
    "action": WORDS,
    "published_at": YEARS | TIMES,
    "tags": TAGS,
    "title": TEXTS | st.sampled_from(["x" * 1_000, "x" * 1_001, "\U0001f511" * 1_000]),
    "deleted": st.sampled_from([True, False, None, 1, "true"]),
}


@st.composite
def documents(draw: st.DrawFn, name: str) -> Any:
    """Of a contract, or nearly, and never wrong in what a schema cannot say."""
    if draw(st.integers(0, 40)) == 0:
        return draw(JUNK)
    document = example(name)
    fields = sorted(CONTRACTS[name].schema["properties"])
    for changed in draw(st.lists(st.sampled_from(fields), max_size=3)):
        document[changed] = draw(DRAWN.get(changed, TEXTS) | JUNK if draw(st.booleans()) else DRAWN.get(changed, TEXTS))
    for gone in draw(st.lists(st.sampled_from(fields), max_size=1)):
        document.pop(gone, None)
    if draw(st.booleans()):
        document["of_mine"] = draw(JUNK)
    return document


@pytest.mark.parametrize("name", INPUTS)
@settings(max_examples=600)
@given(data=st.data())
def test_what_the_schema_takes_is_taken_and_the_reverse(name: str, data: st.DataObject) -> None:
    document = data.draw(documents(name))
    if name == "ratings" and isinstance(document, dict) and "scale_max" in document:
        rating, scale = document.get("rating"), document["scale_max"]
        assume(not (_is_number(rating) and _is_number(scale) and rating > scale))  # the unsaid "scale"
    text = data.draw(st.sampled_from([json.dumps(document), json.dumps(document, ensure_ascii=False, indent=1)]))
    refused = takes(name, sent_well(name, document, text))
    assert VALIDATORS[name].is_valid(document) == (refused is None), f"{refused}: {text[:300]}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as(name: str, **changes: Any) -> Consumed:
    return sent_well(name, example(name) | changes)


def _as_text(name: str, old: str, new: str) -> Consumed:
    return sent_well(name, example(name), json.dumps(example(name)).replace(old, new))


def _moved(name: str) -> Consumed:
    right = _as(name)
    return Consumed(right.key, right.value, (right.partition + 1) % 4)


def _under_another_key(name: str) -> Consumed:
    right = _as(name)
    return Consumed(b"other", right.value, partition_of(b"other", 4))


UNSAID: dict[str, tuple[Callable[[str], Consumed], Reason]] = {
    "key": (_under_another_key, Reason.KEY_MISMATCH),
    "partition": (_moved, Reason.WRONG_PARTITION),
    "bytes": (lambda name: _as(name, **{"item_id" if name == "items" else "event_id": "é" * 129}), Reason.BAD_ID),
    "whole": (
        lambda name: _as(name, **{"published_at" if name == "items" else "ts": 1_790_000_000_000.0}),
        Reason.WRONG_TYPE,
    ),
    "future": (lambda name: _as(name, ts=NOW_MS + 300_001), Reason.TS_IN_FUTURE),
    "size": (lambda name: _as(name, of_mine="x" * 65_536), Reason.TOO_LARGE),
    "text": (lambda name: _as_text(name, "{", '{"of_mine": NaN, '), Reason.NOT_JSON),
    "scale": (lambda name: _as(name, rating=11, scale_max=10), Reason.OUT_OF_RANGE),
}


@pytest.mark.parametrize(("name", "unsaid"), [(name, one) for name in FLOWS for one in CONTRACTS[name].unsaid])
def test_what_a_schema_cannot_say_is_what_it_says_it_cannot(name: str, unsaid: str) -> None:
    make, reason = UNSAID[unsaid]
    record = make(name)
    assert VALIDATORS[name].is_valid(json.loads(record.value or b""))
    assert takes(name, record) is reason
    assert CONTRACTS[name].unsaid[unsaid] in CONTRACTS[name].schema["description"]


def test_limits_are_those_of_the_settings() -> None:
    tight = {one.name: one for one in contracts(Limits(4, max_dwell_ms=10, max_value_bytes=100, max_future_ms=1_000))}
    assert not Draft202012Validator(tight["clicks"].schema).is_valid(example("clicks"))
    assert "at most 100 bytes" in tight["clicks"].schema["description"]
    assert "at most 1 s ahead" in tight["clicks"].schema["description"]


SCORES = st.floats(allow_nan=False, allow_infinity=False)
REASONS = st.builds(
    recommendations.Reason,
    st.sampled_from(["behaviour", "social", "content"]),
    st.none() | st.text(),
    st.none() | st.text(),
)
RECOMMENDATIONS = st.builds(
    recommendations.Recommendation,
    st.text(),
    st.text(),
    st.integers(0, 2**60),
    st.builds(
        recommendations.Trigger, st.sampled_from(["click", "follow", "rating"]), st.text(), st.integers(0, 2**60)
    ),
    st.text(),
    st.lists(st.builds(recommendations.Item, st.text(), SCORES, REASONS), max_size=3),
)
KNOWLEDGE = st.builds(
    knowledge.Knowledge,
    item_id=st.text(),
    made_at=st.integers(0, 2**60),
    topics=st.dictionaries(st.text(), st.floats(0, 1), max_size=3),
    vector=st.sampled_from(["", "ADwAvA=="]),
    deleted=st.booleans(),
    related=st.lists(st.text(), max_size=2).map(tuple),
)


@given(RECOMMENDATIONS)
def test_every_recommendation_is_of_its_schema(made: recommendations.Recommendation) -> None:
    VALIDATORS["recommendations"].validate(json.loads(recommendations.encode(made)))


@given(KNOWLEDGE)
def test_all_knowledge_is_of_its_schema(made: knowledge.Knowledge) -> None:
    VALIDATORS["knowledge"].validate(json.loads(knowledge.encode(made)))


@pytest.mark.parametrize("value", [b"{", b"x" * 1_000_000])
def test_every_dead_letter_has_headers_of_its_schema(value: bytes) -> None:
    rejected = judge(Kind.CLICK, Consumed(b"u", value), LIMITS, NOW_MS)
    assert isinstance(rejected, Rejected)
    headers = {name: (text or b"").decode() for name, text in dead_letter(rejected)[2]}
    VALIDATORS["dead-letters"].validate(headers)
    assert headers.keys() <= CONTRACTS["dead-letters"].schema["properties"].keys()
    assert rejected.reason in CONTRACTS["dead-letters"].schema["properties"]["reason"]["examples"]


@pytest.mark.parametrize(
    ("name", "decode", "wrong"),
    [
        ("recommendations", recommendations.decode, {"items": [{"item_id": "i"}]}),
        ("recommendations", recommendations.decode, {"trigger": {"kind": "erasure", "event_id": "e", "ts": 1}}),
        ("knowledge", knowledge.decode, {"topics": {"War": "much"}}),
        ("knowledge", knowledge.decode, {"made_at": None}),
    ],
)
def test_what_our_own_readers_refuse_the_schema_refuses(
    name: str, decode: Callable[[bytes], object], wrong: dict[str, Any]
) -> None:
    good, bad = example(name), example(name) | wrong
    assert decode(json.dumps(good).encode())
    assert not VALIDATORS[name].is_valid(bad)
    with pytest.raises(ValueError, match=r".+"):
        decode(json.dumps(bad).encode())


def test_the_envelope_takes_its_example_and_no_other_version() -> None:
    judge_ = Draft202012Validator(schema_of(Envelope, {}))
    (good,) = schema_of(Envelope, {})["examples"]
    assert judge_.is_valid(good)
    assert not judge_.is_valid({**good, "specversion": "0.3"})
    assert not judge_.is_valid({name: value for name, value in good.items() if name != "source"})


def test_a_field_without_a_word_is_not_published() -> None:
    class Silent(msgspec.Struct):
        """Nothing is said of its field."""

        number: int

    with pytest.raises(ValueError, match="Silent does not say what number is"):
        Doc.of(Silent)


PLAIN = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | SCORES | st.text()
TREES = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_.\-]{0,8}", fullmatch=True).filter(
        lambda name: name not in ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
    ),
    st.recursive(
        PLAIN,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "$ref", "b-c"]), inner, max_size=3)
        ),
    ),
    min_size=1,
    max_size=4,
)


@given(TREES)
def test_the_document_is_yaml_that_says_the_same(tree: dict[str, Any]) -> None:
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(as_yaml(tree)) == tree


def test_contracts_say_what_they_are() -> None:
    assert CONTRACTS.keys() == FLOWS.keys()
    one: Contract = CONTRACTS["clicks"]
    assert one.schema["$id"] == "urn:interest-updater:clicks:v1"
    assert one.title == "Click"
