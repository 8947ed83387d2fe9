"""The short form of `make fuzz`, and what it has found."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store import manifest
from model_store.registry import ModelRegistry
from model_store.state import codec
from model_store.state.layout import Kind
from stream_app import event_files, sources
from stream_app.client import LayoutError
from stream_app.client.decode import interest
from stream_app.commands.errors import explain
from stream_app.contracts import recommendations
from stream_app.contracts.reasons import Reason
from stream_app.contracts.validity import Rejected, judge
from stream_app.settings import load
from tests.fuzz import documents, states
from tests.fuzz.events import LIMITS, Consumed
from tests.fuzz.target import MAX_MESSAGE, Target
from tests.fuzz.targets import TARGETS
from tests.fuzz.truth import NOW_MS

TEXTS = ("recommendations", "manifest", "event-file")


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_batch_of_each_target_finds_nothing(target: Target) -> None:
    with target.check() as check:
        check(target.cases(7, 0))


def test_targets_run_in_a_process_of_their_own_and_are_counted(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    argv = [sys.executable, "-m", "tests.fuzz", "--seconds", "4", "--seed", "8", "--json", str(figures)]
    argv += ["--target", "decode", "--target", "codec"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    tallies = json.loads(figures.read_text())
    assert [one["target"] for one in tallies] == ["decode", "codec"]
    assert all(one["inputs"] for one in tallies)


def test_coverage_guides(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    figures = tmp_path / "figures.json"
    argv = [sys.executable, "-m", "tests.fuzz", "--guided", "--seconds", "3", "--target", "redis-hash"]
    done = subprocess.run([*argv, "--json", str(figures)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [one["inputs"] > 0 for one in json.loads(figures.read_text())] == [True]


def test_a_check_that_fails_is_reported_with_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with the reason changed the naive truth objects."""
    monkeypatch.setattr("tests.fuzz.truth.MAX_DWELL_MS", 1)
    target = TARGETS["decode"]
    fields = {"event_id": "e", "user_id": "u1", "item_id": "i", "ts": 1, "dwell_ms": 2}
    record = [0, states.partition_of(b"u1", 4), 0, b"u1", json.dumps(fields).encode(), []]
    with target.check() as check, pytest.raises(AssertionError, match=r"accepted, but it is \['out_of_range'\]"):
        check([record])


@pytest.mark.parametrize("name", ["recommendations", "manifest", "pointer"])
def test_a_number_of_any_length_may_stand_where_nobody_reads_it(name: str) -> None:
    """Python's json module reads no more than 4,300 digits."""
    document = {
        "recommendations": documents.RECOMMENDATION,
        "manifest": documents.MANIFEST,
        "pointer": documents.POINTER,
    }[name]
    longer = json.dumps(document).encode().replace(b"{", b'{"mine":' + b"9" * 4_301 + b",", 1)
    with TARGETS[name].check() as check:
        assert check([longer]) == 0


@pytest.mark.parametrize("name", TEXTS)
@settings(max_examples=100, deadline=None)
@given(
    raw=st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ).map(lambda value: msgspec.json.encode(repr(value))),
    )
)
def test_any_bytes_are_read_or_refused(name: str, raw: bytes) -> None:
    with TARGETS[name].check() as check:
        check([raw])


def _follow(**changes: Any) -> Consumed:
    fields = {"event_id": "e", "user_id": "u1", "target_id": "t", "target_type": "user", "action": "follow", "ts": 1}
    return Consumed(0, 0, 0, b"u1", json.dumps(fields | changes).encode(), [])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (_follow(target_type="x" * 60_000), Reason.UNKNOWN_VALUE),
        (_follow(ts=-(10**4_000)), Reason.KEY_MISMATCH),
    ],
)
def test_message_does_not_repeat_a_long_value(record: Consumed, reason: Reason) -> None:
    verdict = judge(Kind.FOLLOW, record, LIMITS, NOW_MS)
    assert isinstance(verdict, Rejected)
    assert 0 < len(verdict.message) <= MAX_MESSAGE


def test_bit_of_a_word_that_a_state_lacks_is_damage() -> None:
    value = bytearray(states._by_hand(np.zeros(states.WORDS, np.uint64)))
    assert not codec.decode([bytes(value)])["version"].any()
    value[8 * states.HEAD - 1] |= 0x80
    with pytest.raises(codec.CodecError):
        codec.decode([bytes(value)])


@pytest.mark.parametrize("field", list(documents.Field)[1:])
def test_hash_without_a_field_is_a_layout_error_that_names_it(field: str) -> None:
    row = [None if name == field else value for name, value in documents._HASH.items()]
    with pytest.raises(LayoutError, match=rf"interest:\{{u1\}}.*without {field}"):
        interest("u1", b"interest:{u1}", row)


def test_vectors_of_several_lengths_are_a_layout_error() -> None:
    row: list[bytes | None] = list(documents._HASH.values())
    row[0] = bytes(8)
    with pytest.raises(LayoutError, match="several lengths"):
        interest("u1", b"interest:{u1}", row)


@pytest.mark.parametrize("raw", [b'{"event_id":"\xff"}', b'{"x":' + b"[" * 5_000])
def test_recommendation_that_is_none_raises_what_it_says(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        recommendations.decode(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"format":1,"version":"v","files":{"\xff":1}}',
        b'{"x":' + b"[" * 5_000,
        b'{"format":1,"version":"v","files":{"a\\u0000b":{"sha256":"","size":1}}}',
        b'{"files":{"a":{"' + b"x" * 60_000 + b'":1}}}',
        b'{"format":1,"version":"' + b"x" * 60_000 + b'","files":{}}',
    ],
)
def test_damaged_manifest_is_a_model_error(raw: bytes) -> None:
    with pytest.raises(manifest.ModelError) as caught:
        manifest.decode(raw, "store/v")
    assert len(str(caught.value)) <= MAX_MESSAGE


@pytest.mark.parametrize("raw", [b'{"version":"\xff"}', b'{"version":"../up"}', b'{"version":"a","history":["/etc"]}'])
def test_pointer_out_of_the_store_is_a_model_error(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "current.json").write_bytes(raw)
    with pytest.raises(manifest.ModelError, match="damaged"):
        ModelRegistry(str(tmp_path)).current()


@pytest.mark.parametrize("rating", ["NaN", "Infinity", "[" * 5_000, "01"])
def test_line_that_is_no_json_is_not_sent_as_something_else(rating: str) -> None:
    """Python's reader takes NaN, which would go out as null and withdraw the rating."""
    line = f'{{"kind":"rating","event_id":"1","user_id":"a","item_id":"x","ts":5,"rating":{rating}}}'
    with pytest.raises(sources.SourceError, match="line 3"):
        event_files.record_of(line.encode(), "line 3")


@pytest.mark.parametrize("text", [b"\xff", b"[", b"[kafka]\npartitions = 99999999999999999999x"])
def test_settings_file_that_is_no_toml_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    (tmp_path / "it.toml").write_bytes(text)
    monkeypatch.setenv("INTEREST_CONFIG", str(tmp_path / "it.toml"))
    with pytest.raises(ValueError, match="no TOML") as caught:
        load()
    assert explain(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RECOMMEND__MIN_INTERVAL_S", "inf"),
        ("FLUSH__TIMEOUT_S", "inf"),
        ("KAFKA__TOPICS__CLICKS", "interest.items"),
        ("REDIS__TTL_S", "9" * 17),
    ],
)
def test_setting_that_would_break_later_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"INTEREST_{name}", value)
    with pytest.raises(ValueError, match=r"finite|a name of its own|less than"):
        load()
