"""Targets `codec`, `advance`, `hashing`: what is compiled, and so would not raise but overwrite."""

from collections import defaultdict
from random import Random

import numpy as np
import numpy.typing as npt
from kafka.partitioner.default import murmur2

from model_store.state import codec, windows
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.features import features
from model_store.state.hashing import hash_id, hash_ids, partition_of
from model_store.state.layout import DIM, FACET_DIM, USER, Outcome
from model_store.state.memory import Decays
from model_store.state.offers import decide, note
from model_store.state.quantised import QUANTISED
from model_store.state.seen import is_seen
from model_store.state.writes import WriteTable
from tests.fuzz.mutate import mutated
from tests.fuzz.slow_hash import slow_hash
from tests.fuzz.target import Cases, Target, check_message, plain
from tests.property.oracle import Event, Oracle

WORDS = USER.itemsize // 8
HEAD = 1 + -(-WORDS // 64)
_ONES = np.uint64(2**64 - 1)


def _random(dice: Random) -> np.random.Generator:
    return np.random.default_rng(dice.getrandbits(64))


def _states(random: np.random.Generator, count: int) -> npt.NDArray[np.uint64]:
    """uint64 [count, WORDS]: words that are zero, small, all ones or anything."""
    words = random.integers(0, 2**64, (count, WORDS), np.uint64)
    words[random.random(words.shape) < 0.1] = _ONES
    small = random.random(words.shape) < 0.3
    words[small] &= np.uint64(0xFF)
    words[random.random(words.shape) < random.choice([0.0, 0.5, 0.97], (count, 1))] = 0
    return words


# -- codec


def make_codec(dice: Random, count: int) -> Cases:
    """Encoded states as they are, with a few bytes changed, with a wild head, cut, and plain garbage."""
    exact = [_by_hand(words) for words in _states(_random(dice), max(1, count // 10))]
    encoded = [dice.choice((value, _cut_to_bytes(value))) for value in exact]
    return [_damaged(dice, dice.choice(encoded)) for _ in range(count)]


def _by_hand(words: npt.NDArray[np.uint64], version: int = 3) -> bytes:
    present = words != 0
    bitmap = np.packbits(present, bitorder="little").tobytes().ljust(8 * -(-len(words) // 64), b"\0")
    return version.to_bytes(8, "little") + bitmap + words[present].astype("<u8").tobytes()


def _cut_to_bytes(value: bytes) -> bytes:
    """Some state of codec version 4: the words of one of version 3, as many as it takes."""
    words = np.frombuffer(_decoded_slowly(value) or b"", np.uint64)
    return _by_hand(words[: QUANTISED.itemsize // 8], 4)


def _damaged(dice: Random, value: bytes) -> bytes:
    chance = dice.random()
    if chance < 0.25:
        return value
    if chance < 0.4:
        return mutated(dice, value)
    if chance < 0.55:  # one bit of the head
        out = bytearray(value)
        out[int(dice.random() * 8 * HEAD)] ^= 1 << int(dice.random() * 8)
        return bytes(out)
    if chance < 0.7:  # another bitmap, the words as they are
        return value[:8] + dice.randbytes(8 * (HEAD - 1)) + value[8 * HEAD :]
    if chance < 0.8:  # whole words left out or put in
        at = 8 * int(dice.random() * (len(value) // 8 + 1))
        return value[:at] + dice.choice((b"", bytes(8), b"\xff" * 8, value[:8])) + value[at + dice.choice((0, 8, 16)) :]
    if chance < 0.9:
        return value[: int(dice.random() * len(value))]
    return (3).to_bytes(8, "little") * int(dice.random() * 2) + dice.randbytes(int(dice.random() * 640))


def check_codec(cases: Cases) -> int:
    """Damaged ones are refused, alone and with others; the rest decode to the naive truth and encode to themselves."""
    truths = [_decoded_slowly(value) for value in cases]
    good = [value for value, truth in zip(cases, truths, strict=True) if truth is not None]
    expected = [truth for truth in truths if truth is not None]
    if good:
        records = codec.decode(good)
        assert records.tobytes() == b"".join(expected)
        again, ends = codec.encode(records, np.arange(len(records)))
        for i, value in enumerate(good):
            assert bytes(again[ends[i] : ends[i + 1]]) == _by_hand(np.frombuffer(expected[i], np.uint64)), value.hex()
        _check_readers(records)
    bad = [value for value, truth in zip(cases, truths, strict=True) if truth is None]
    for value in bad:
        _check_refused([value])
    if bad:
        _check_refused([*good[:3], bad[0], *good[3:6]])
    return len(bad)


def _decoded_slowly(value: bytes) -> bytes | None:
    """The record, or None where the value is no state."""
    layout = {3: USER, 4: QUANTISED}.get(int.from_bytes(value[:8], "little"))
    count = layout.itemsize // 8 if layout else 0
    head = 1 + -(-count // 64)
    if layout is None or len(value) % 8 or len(value) < 8 * head:
        return None
    bits = np.unpackbits(np.frombuffer(value[8 : 8 * head], np.uint8), bitorder="little").astype(bool)
    rest = np.frombuffer(value[8 * head :], np.uint64)
    if bits[count:].any() or int(bits.sum()) != len(rest):
        return None
    words = np.zeros(count, np.uint64)
    words[bits[:count]] = rest
    return words.tobytes() if layout == USER else _restored_slowly(words.view(QUANTISED)[0])


def _restored_slowly(state: np.void) -> bytes:
    """The record that one of codec version 4 stands for, number by number."""
    out = np.zeros(1, USER)
    peaks = iter(state["peak"].tolist())
    for name in USER.names or ():
        if state[name].dtype != np.int8 or name == "rec_sketch":
            out[0][name] = state[name]
    for name in ("rank", "time", "content", "context_hour", "context_weekday", "context_region"):
        lanes = out[0][name].reshape(-1, state[name].shape[-1])
        for lane, steps in zip(lanes, state[name].reshape(lanes.shape), strict=True):
            peak = next(peaks)
            lane[:] = [_rounded(step * peak / 127) for step in steps.tolist()]
    return out.tobytes()


def _rounded(number: float) -> np.float32:
    with np.errstate(over="ignore"):
        return np.float32(number)


def _check_refused(values: list[bytes]) -> None:
    try:
        codec.decode(values)
    except codec.CodecError as error:
        check_message(str(error))
    else:
        raise AssertionError("a damaged state was decoded")


def _check_readers(records: npt.NDArray[np.void]) -> None:
    """Whatever a state holds, what reads it stays inside."""
    rows = np.arange(len(records))
    assert features(records, rows).shape[0] == len(records)
    for as_of in (0, 1_790_000_000_000, 2**62):
        windows.read(records, rows, np.full(len(records), as_of))
    is_seen(records, 0, np.uint64(7))
    vectors = np.ones((len(records), DIM), np.float32)
    decided = decide(records, rows, vectors, records["erased_at_ms"].copy(), 1_790_000_000_000, 60_000, 0.02)
    arena = Arena(len(records))
    arena.records[:] = records
    arena.keys = [b"%d" % i for i in rows.tolist()]
    note(arena, rows, vectors, np.full((len(records), 10), 3, np.uint64), decided, 1_790_000_000_000)


# -- advance

_TABLE_ITEMS = 64
_DAY = 86_400_000
_START = 1_760_000_000_000


def _table() -> WriteTable:
    random = np.random.default_rng(7)
    content = random.standard_normal((_TABLE_ITEMS, FACET_DIM)).astype(np.float32)
    content[::7] = 0
    vectors = random.standard_normal((_TABLE_ITEMS, DIM)).astype(np.float32)
    return WriteTable(np.arange(1, _TABLE_ITEMS + 1, dtype=np.uint64), vectors, content)


TABLE, DECAYS = _table(), Decays(context_half_life_ms=30 * _DAY)
_EDGES = [0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, -(2**63), _START, _START * 10]
_KIND_NAMES = ("click", "follow", "rating", "erasure")
USERS = 40


def make_events(dice: Random, count: int) -> Cases:
    """Events that `decode` lets pass: user, kind, offset, ts, event, item, value, region. Some come again."""
    offsets = [int(dice.random() * 5)] * 4
    out: Cases = []
    for _ in range(count):
        if out and dice.random() < 0.05:
            out.append(dice.choice(out))
            continue
        kind = dice.choices(range(4), (50, 15, 30, 2))[0]
        offsets[kind] += 1 + int(dice.random() * 3)
        ts = (
            dice.choice((0, 1, 999, 2**32 * 1000 - 1, _START))
            if dice.random() < 0.02
            else _START + int(dice.random() * 45 * _DAY)
        )
        ts = max(ts, int(kind == 3))  # an erasure at 0 counts as one at 1: empty is zero
        item = 1 + int(dice.random() * 12) if dice.random() < 0.97 else dice.choice((2**64 - 1, 2**63, 2**32))
        out.append(
            [
                int(dice.random() * USERS),
                kind,
                offsets[kind],
                ts,
                dice.getrandbits(64 if dice.random() < 0.9 else 3) or 1,
                item if kind != 3 else 0,
                _value(dice, kind),
                int(dice.random() * 9) if kind == 0 else 0,
            ]
        )
    return out


def _value(dice: Random, kind: int) -> float:
    if kind == 0:
        return dice.choice((0.0, float(int(dice.random() * 600_000)), 86_400_000.0, 0.4))
    if kind == 2:
        return dice.choice((float("nan"), 0.0, 1.0, int(dice.random() * 11) / 10))
    return float(dice.random() < 0.6) if kind == 1 else 0.0


def check_advance(cases: Cases) -> int:
    """Whole numbers equal the naive oracle's, user by user; floats stay finite; nobody else is touched."""
    arena = Arena(USERS + 1)
    batch = _batch(cases)
    rows = arena.rows_of([b"%d" % user for user in range(USERS)])[[case[0] for case in cases]]
    untouched = arena.records[USERS].tobytes()
    advanced = advance(arena, rows, batch, TABLE, DECAYS)
    oracles: dict[int, Oracle] = defaultdict(_oracle)
    for case, outcome in zip(cases, advanced.outcome.tolist(), strict=True):
        user, kind, offset, ts, event, item, value, region = case
        expected = oracles[user].apply(Event(_KIND_NAMES[kind], offset, event, ts, item, value, region))
        assert Outcome(outcome).name.lower() == expected, case
    assert arena.records[USERS].tobytes() == untouched
    assert sorted(advanced.touched.tolist()) == sorted(oracles)
    for user, oracle in oracles.items():
        _check_user(arena, user, oracle)
    return int(np.count_nonzero(advanced.outcome != Outcome.APPLIED))


def _oracle() -> Oracle:
    return Oracle(None, None, (0.7, 5.0, 50.0), (_DAY, 30 * _DAY), 30 * _DAY, 30 * _DAY)


def _check_user(arena: Arena, row: int, oracle: Oracle) -> None:
    record, rows = arena.records[row], np.array([row])
    assert (record["version"], record["events"]) == (oracle.version, oracle.events)
    assert (record["event_ts_ms"], record["erased_at_ms"]) == (oracle.event_ts, oracle.erased_at)
    assert np.isfinite(features(arena.records, rows)).all()
    for name, kept in oracle.context(int(record["bank_ts_ms"])).items():
        np.testing.assert_allclose(record["context_" + name], kept, rtol=1e-4, atol=1e-5, err_msg=name)
    assert record["context_region_last"] == oracle.last_region()
    assert np.count_nonzero(record["ring"]) == min(50, len(oracle.clicks))
    counts, truth = windows.read(arena.records, rows, np.array([oracle.event_ts])), oracle.windows()
    for place, name in enumerate(("1h", "24h", "7d", "30d")):
        for field in ("clicks", "dwell_ms", "ratings", "rating_sum", "follows"):
            assert getattr(counts, field)[0, place] == truth[name][field], (name, field)


def _batch(cases: Cases) -> EventBatch:
    columns = list(zip(*cases, strict=True))
    return EventBatch(
        keys=[b"%d" % user for user in columns[0]],
        kind=np.array(columns[1], np.int8),
        offset=np.array(columns[2], np.int64),
        ts_ms=np.array(columns[3], np.int64),
        event=np.array(columns[4], np.uint64),
        item=np.array(columns[5], np.uint64),
        value=np.array(columns[6], np.float32),
        region=np.array(columns[7], np.uint8),
        event_ids=[str(event) for event in columns[4]],
    )


def make_hostile(dice: Random, count: int) -> Cases:
    """Events far outside what is valid, and a seed for states that hold anything."""

    def edge(bits: int) -> int:
        return dice.choice(_EDGES) if dice.random() < 0.6 else dice.getrandbits(bits) - (1 << (bits - 1))

    values = (0.0, 1.0, -1.0, 0.5, 1e30, -1e30, float("inf"), float("-inf"), float("nan"), 4294967295.0, 1e-45)
    return [
        [
            int(dice.random() * USERS),
            int(dice.random() * 4),
            max(0, edge(64)) % 2**62,
            edge(64),
            dice.getrandbits(64),
            dice.choice((0, 1, 7, 2**64 - 1, 2**63, dice.getrandbits(64))),
            dice.choice(values),
            dice.choice((0, 1, 8, 9, 255)),
            dice.getrandbits(30),
        ]
        for _ in range(count)
    ]


def check_hostile(cases: Cases) -> int:
    """Whatever the columns and the states hold: outcomes are outcomes, versions count, neighbours stay."""
    arena = Arena(2 * USERS + 1)
    random = np.random.default_rng([case[8] for case in cases[:4]])
    arena.records[:] = _states(random, len(arena.records)).view(USER).reshape(-1)
    arena.records["version"] &= 2**40
    arena.records["next_offset"] &= 2**40
    arena.rows_of([b"%d" % user for user in range(2 * USERS + 1)])
    before = arena.records.copy()
    rows = 2 * np.array([case[0] for case in cases]) + 1  # every second row, so that an overrun shows
    advanced = advance(arena, rows, _batch([case[:8] for case in cases]), TABLE, DECAYS)
    assert set(advanced.outcome.tolist()) <= set(Outcome)
    others = np.setdiff1d(np.arange(len(arena.records)), rows)
    assert arena.records[others].tobytes() == before[others].tobytes()
    taken = np.bincount(rows[advanced.outcome != Outcome.REPLAYED], minlength=len(arena.records))
    assert (arena.records["version"] == before["version"] + taken).all()
    assert sorted(advanced.touched.tolist()) == sorted(set(rows.tolist()))
    used = sorted(set(rows.tolist()))
    _check_readers(arena.records[used].copy())
    return int(np.count_nonzero(advanced.outcome != Outcome.APPLIED))


# -- hashing

_PIECES = ["a", "user-", "é", "\U0001f511", "\x00", "\n", "\x7f", " ", "}", "x" * 31, "42", "\u0800", "\uffff", ":"]


def make_ids(dice: Random, count: int) -> Cases:
    """Ids of any characters, the separator among them."""
    return [
        "".join(dice.choices(_PIECES, k=int(dice.random() * 5)))
        if dice.random() < 0.8
        else "".join(chr(int(dice.random() * 0xD7FF)) for _ in range(int(dice.random() * 20)))
        for _ in range(count)
    ]


def check_hashing(cases: Cases) -> int:
    """Hash, length and cleanness of each equal those computed byte by byte; partitions equal kafka-python's."""
    column = hash_ids(cases)
    raws = [text.encode() for text in cases]
    assert column.hash.tolist() == [slow_hash(raw) for raw in raws]
    assert column.byte_length.tolist() == [len(raw) for raw in raws]
    clean = [not any(byte < 32 or byte == 127 for byte in raw) for raw in raws]
    assert column.clean.tolist() == clean
    assert hash_id(cases[0]) == slow_hash(raws[0])
    for raw in raws[:100]:
        assert partition_of(raw, 7) == (murmur2(raw) & 0x7FFFFFFF) % 7
    return clean.count(False)


TARGETS = [
    Target("codec", make_codec, plain(check_codec), share=3),
    Target("advance", make_events, plain(check_advance), share=2),
    Target("hostile-advance", make_hostile, plain(check_hostile), share=2),
    Target("hashing", make_ids, plain(check_hashing)),
]
