"""The packed blob says what the columns say, read back by struct and json."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model_store.state.layout import DIM
from model_store.state.windows import WindowCounts
from stream_app.contracts.redis_layout import FACETS, TOP_TOPICS
from stream_app.sinks.interest_blob import ERASED, PLAIN, RECOMMENDATION, pack
from tests.views import TOPICS, expected_windows, random_views

HEAD = struct.Struct("<BQQQII")
VECTORS = len(FACETS) * DIM


def unpack(blob: bytes) -> list[dict[str, Any]]:
    users, at = [], 0
    while at < len(blob):
        flag, version, event_ts, events, topics_bytes, windows_bytes = HEAD.unpack_from(blob, at)
        at += HEAD.size
        vectors = np.frombuffer(blob, "<f4", VECTORS, at)
        at += vectors.nbytes
        topics, windows = blob[at : at + topics_bytes], blob[at + topics_bytes : at + topics_bytes + windows_bytes]
        at += topics_bytes + windows_bytes
        head = {"flag": flag, "version": version, "event_ts": event_ts, "events": events, "vectors": vectors}
        users.append(head | {"topics": json.loads(topics), "windows": json.loads(windows)})
    assert at == len(blob)
    return users


def test_blob_says_what_the_columns_say() -> None:
    erased = np.arange(7) == 2
    views = random_views(
        [f"u{i}" for i in range(7)], version=2**53 - 1, erased=erased, recommendations={2: b"r", 4: b"r"}
    )
    for first, last in ((0, 7), (2, 5)):
        users = unpack(pack(views, first, last))
        assert len(users) == last - first
        for i, user in enumerate(users, start=first):
            assert user["flag"] == {2: ERASED, 4: RECOMMENDATION}.get(i, PLAIN)
            assert user["version"] == views.version[i]
            assert user["event_ts"] == views.event_ts_ms[i]
            assert user["events"] == views.events[i]
            np.testing.assert_array_equal(user["vectors"], views.outputs[i, :VECTORS])
            assert_windows(user["windows"], expected_windows(views.windows, i))


def assert_windows(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, counters in found.items():
        mean, expected_mean = counters.pop("rating_mean"), expected[name].pop("rating_mean")
        assert counters == expected[name]
        assert mean == (None if expected_mean is None else pytest.approx(expected_mean, abs=0.0005001))


WEIGHTS = st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 1e-30, 1e30, 0.25]))


@settings(deadline=None)
@given(arrays(np.float32, len(TOPICS), elements=WEIGHTS))
def test_topics_are_the_heaviest_and_sum_to_one(weights: Any) -> None:
    outputs = np.zeros((1, VECTORS + len(TOPICS)), np.float32)
    outputs[0, VECTORS:] = weights
    [user] = unpack(pack(random_views(["u"], outputs=outputs), 0, 1))
    topics: dict[str, float] = user["topics"]
    heaviest = sorted((w for w in weights.astype(np.float64).tolist() if w > 0), reverse=True)[:TOP_TOPICS]
    if not heaviest:
        assert topics == {}
        return
    assert round(sum(topics.values()), 9) == 1
    shown = [float(weights[TOPICS.index(name)]) for name in topics]
    assert shown == sorted(shown, reverse=True)
    assert all(weight in heaviest for weight in shown)
    for name, share in topics.items():
        assert share == pytest.approx(float(weights[TOPICS.index(name)]) / sum(heaviest), abs=0.00011)


@pytest.mark.parametrize("strange", [np.nan, np.inf])
def test_weights_that_are_no_numbers_give_no_topics_and_valid_json(strange: float) -> None:
    outputs = np.full((1, VECTORS + len(TOPICS)), strange, np.float32)
    [user] = unpack(pack(random_views(["u"], outputs=outputs), 0, 1))
    assert user["topics"] == {}


def test_model_without_topics() -> None:
    views = random_views(["u"], topics=(), outputs=np.zeros((1, VECTORS), np.float32))
    assert unpack(pack(views, 0, 1))[0]["topics"] == {}


@pytest.mark.parametrize("number", [0, 9, 10, 2**32 - 1, 2**63 - 1, -1])
def test_counters_of_any_size(number: int) -> None:
    counts = np.full((1, 4), number, np.int64)
    windows = WindowCounts(counts, counts, np.zeros_like(counts), counts, counts)
    [user] = unpack(pack(random_views(["u"], windows=windows), 0, 1))
    assert user["windows"]["7d"] == {
        "clicks": number,
        "dwell_ms": number,
        "ratings": 0,
        "rating_mean": None,
        "follows": number,
    }


def test_read_only_and_strided_outputs_are_taken() -> None:
    views = random_views([f"u{i}" for i in range(4)])
    expected = pack(views, 0, 4)
    frozen = views.outputs.copy()
    frozen.flags.writeable = False
    strided = np.asfortranarray(views.outputs)
    for outputs in (frozen, strided):
        assert pack(random_views([f"u{i}" for i in range(4)], outputs=outputs), 0, 4) == expected


def test_wrong_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        random_views(["u"], outputs=np.zeros((1, 3), np.float32))
