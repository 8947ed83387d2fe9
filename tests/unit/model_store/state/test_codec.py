"""States as bytes: exact both ways, short, and clear about damage."""

import numpy as np
import pytest

from model_store.state import codec
from model_store.state.layout import USER

SUMS = ("rank", "time", "content", "context_hour", "context_weekday", "context_region")


def _random_states(count: int, filled: float, seed: int = 3) -> np.ndarray:
    """Records whose 8-byte words are random with probability `filled`, else zero."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 2**63, (count, USER.itemsize // 8), dtype=np.uint64)
    words[rng.random(words.shape) >= filled] = 0
    return words.view(USER).reshape(count)


def _encoded(records: np.ndarray, version: int = codec.EXACT) -> list[bytes]:
    values, ends = codec.encode(records, np.arange(len(records)), version)
    return [bytes(values[ends[i] : ends[i + 1]]) for i in range(len(records))]


@pytest.mark.parametrize("filled", [0.0, 0.1, 0.5, 1.0])
def test_decode_gives_back_what_was_encoded(filled: float) -> None:
    records = _random_states(20, filled)
    assert codec.decode(_encoded(records)).tobytes() == records.tobytes()


def test_only_the_chosen_rows_are_encoded_in_their_order() -> None:
    records = _random_states(5, 0.5)
    values, ends = codec.encode(records, np.array([4, 0]))
    chosen = [bytes(values[ends[i] : ends[i + 1]]) for i in range(2)]
    assert codec.decode(chosen).tobytes() == records[[4, 0]].tobytes()


def test_size_is_the_head_and_the_words_that_are_not_zero() -> None:
    record = np.zeros(1, USER)
    record["version"], record["events"], record["clicks"] = 1, 2, 3  # three words
    head = 8 * (1 + -(-(USER.itemsize // 8) // 64))
    assert [len(value) for value in _encoded(record)] == [head + 3 * 8]


def test_a_full_state_fits_the_promised_four_kibibytes() -> None:
    assert USER.itemsize <= 4096
    assert len(_encoded(_random_states(1, 1.0))[0]) <= 4096


def test_nothing_decodes_to_nothing() -> None:
    assert len(codec.decode([])) == 0


@pytest.mark.parametrize("cut", [0, 7, 8, 16])
def test_a_cut_record_is_named(cut: int) -> None:
    good, other = _encoded(_random_states(2, 0.5))
    with pytest.raises(codec.CodecError, match="state record 1 is damaged"):
        codec.decode([good, other[:cut]])


def test_a_record_with_words_too_many_is_named() -> None:
    good, other = _encoded(_random_states(2, 0.5))
    with pytest.raises(codec.CodecError, match="state record 0 is damaged"):
        codec.decode([good + bytes(8), other])


def test_a_codec_version_from_the_future_is_refused_with_advice() -> None:
    (good,) = _encoded(_random_states(1, 0.5))
    newer = (99).to_bytes(8, "little") + good[8:]
    with pytest.raises(codec.NewerCodec, match=r"state record 1 has codec version 99, .* upgrade") as refused:
        codec.decode([good, newer])
    assert refused.value.place == 1


def test_text_of_somebody_else_is_damage_and_no_version() -> None:
    with pytest.raises(codec.DamagedState, match="state record 0 is damaged"):
        codec.decode([b'{"event_id":"e1","user":"u1"} ..'])


def test_an_older_layout_is_read_field_by_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version 0 that lacked all but two fields, and had one that is gone."""
    old = np.dtype([("version", "<i8"), ("gone", "<i8"), ("events", "<i8")])
    monkeypatch.setitem(codec.LAYOUTS, 0, old)
    words = [0, 0b101, 7, 9]  # codec version 0; words 0 and 2 are not zero; their values
    value = b"".join(word.to_bytes(8, "little") for word in words)
    (new,) = _encoded(_random_states(1, 0.5))
    decoded = codec.decode([new, value])
    assert decoded[0].tobytes() == _random_states(1, 0.5)[0].tobytes()
    assert (decoded[1]["version"], decoded[1]["events"]) == (7, 9)
    assert not decoded[1]["rank"].any()


# A state as version 3 wrote it, by hand: every later codec must read just this out of it. Never change it.
VERSION_3 = bytes.fromhex(
    "0300000000000000f70c0000000000000000000000000000000000000000000000002000000000000000000000000000"
    "0000008084404c0000000000380000601000000060600000070000000000000005000000000000000b00000000000000"
    "030000000000000002000000000000007bc02cc89901000000dc20749701000078563412efbeadde0300000000000000"
    "0000003f00000000000000000000a0bf00000000000000400000c03f00000000000000000000803e0000e03f00000000"
    "000000000000a03f000000000000e03f56c22c00947c0200934f0000020000000078e768000000000100008000000000"
    "0200000000000000000000004d0000000000000000000100ffff00000000000000000000000000810000000003000000"
)


def test_sums_in_bytes_are_off_by_half_a_step_and_the_rest_is_exact() -> None:
    states = _lived_in(30)
    back = codec.decode(_encoded(states, codec.IN_BYTES))
    for name in USER.names or ():
        if name not in SUMS:
            assert back[name].tobytes() == states[name].tobytes(), name
    for name in SUMS:
        step = np.abs(states[name]).max(axis=-1, keepdims=True) / 127
        assert (np.abs(back[name] - states[name]) <= step * 0.501).all(), name
        assert np.abs(back[name] - states[name]).max() > 0


def test_what_went_through_bytes_once_goes_through_unchanged() -> None:
    once = codec.decode(_encoded(_lived_in(30), codec.IN_BYTES))
    assert codec.decode(_encoded(once, codec.IN_BYTES)).tobytes() == once.tobytes()
    assert codec.decode(_encoded(once)).tobytes() == once.tobytes()


def test_empty_and_broken_sums_go_through_bytes() -> None:
    states = np.zeros(2, USER)
    states["time"][1, 0, 3], states["rank"][1] = np.nan, 1.0
    empty, broken = codec.decode(_encoded(states, codec.IN_BYTES))
    assert empty.tobytes() == states[0].tobytes()
    assert np.isnan(broken["time"][0]).any()
    assert (broken["rank"] == 1).all()


def test_bytes_are_short_and_both_kinds_are_read_together() -> None:
    states = _lived_in(4)
    exact, short = _encoded(states), _encoded(states, codec.IN_BYTES)
    assert sum(map(len, short)) < 0.65 * sum(map(len, exact))
    mixed = codec.decode([exact[0], short[1], exact[2], short[3]])
    assert mixed[[0, 2]].tobytes() == states[[0, 2]].tobytes()
    assert mixed["version"].tolist() == states["version"].tolist()


def _lived_in(count: int) -> np.ndarray:
    """States with numbers where numbers are, and some ids and counters."""
    rng = np.random.default_rng(5)
    states = np.zeros(count, USER)
    for name in (*SUMS, "rank_weight", "time_weight", "context_weight"):
        states[name] = rng.normal(0, 3, states[name].shape)
    states["version"], states["ring"][:, :9] = np.arange(1, count + 1), rng.integers(1, 2**63, (count, 9))
    states["bucket_head"] = 2_933_334
    return states


def test_version_3_is_read_for_ever() -> None:
    (state,) = codec.decode([VERSION_3])
    assert (state["version"], state["events"], state["clicks"]) == (7, 5, 2)
    assert state["next_offset"].tolist() == [11, 0, 3, 2]
    assert (state["event_ts_ms"], state["erased_at_ms"]) == (1_760_000_000_123, 1_750_000_000_000)
    assert state["ring"][:3].tolist() == [0xDEADBEEF12345678, 3, 0]
    assert (state["rank"][1, 2], state["content"][-1], state["content_weight"]) == (0.5, -1.25, 2.0)
    assert (state["context_hour"][8], state["context_hour"][23], state["context_weekday"][6]) == (1.5, 0.25, 1.75)
    assert (state["context_region"][2], state["context_weight"], state["context_region_last"]) == (1.25, 1.75, 3)
    assert state["bucket_head"].tolist() == [2933334, 162964, 20371]
    assert (state["rated_ts_s"][0], state["rated_value"][0], state["followee_active"]) == (
        1_760_000_000,
        -1,
        0x80000001,
    )
    assert (state["seen_count"].tolist(), state["rec_item"][9], state["bucket_follows"][-1]) == ([2, 0], 77, 1)
    assert state["rec_sketch"][31] == -127
