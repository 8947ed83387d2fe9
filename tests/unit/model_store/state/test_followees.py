"""What followees stand for, against means over lists in plain Python."""

import numpy as np
import pytest

from model_store.encoder.columns import FOLLOWED
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.features import features
from model_store.state.followees import Directions, followed, followee, normalised, social
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM, FOLLOWEES, Kind
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable

NOBODY = Directions(0)
RNG = np.random.default_rng(1)
TABLE = WriteTable(np.array([1], np.uint64), np.ones((1, DIM), np.float32), np.zeros((1, 24), np.float32))


def _hashes(*names: str) -> np.ndarray:
    return hash_ids([followee(*name.split(":")) for name in names]).hash


def _followers(*actions: tuple[str, str, bool]) -> Arena:
    """States after users (in order of their names) have followed and unfollowed."""
    arena = Arena()
    arena.rows_of(sorted({user.encode() for user, _, _ in actions}))
    count = len(actions)
    batch = EventBatch(
        keys=[user.encode() for user, _, _ in actions],
        kind=np.full(count, Kind.FOLLOW, np.int8),
        offset=np.arange(count, dtype=np.int64),
        ts_ms=1_760_000_000_000 + 1000 * np.arange(count, dtype=np.int64),
        event=np.arange(1, count + 1, dtype=np.uint64),
        item=_hashes(*(target for _, target, _ in actions)),
        value=np.array([on for _, _, on in actions], np.float32),
        region=np.zeros(count, np.uint8),
        event_ids=[""] * count,
    )
    advance(arena, arena.rows_of(batch.keys), batch, TABLE, Decays())
    return arena


def _vectors(count: int) -> np.ndarray:
    return RNG.normal(0, 3, (count, DIM)).astype(np.float32)


def _direction(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt(np.mean(vector.astype(np.float64) ** 2))


def test_a_user_is_the_mean_direction_of_those_whom_they_follow() -> None:
    arena = _followers(
        ("a", "user:x", True), ("a", "topic:x", True), ("a", "user:y", True), ("a", "user:y", False),
        ("b", "creator:z", True), ("b", "user:nobody", True), ("c", "user:x", True), ("c", "user:x", False),
    )  # fmt: skip
    vectors = _vectors(4)
    read = Directions.of(_hashes("user:x", "topic:x", "user:y", "creator:z"), vectors)
    found = social(arena.records, np.arange(3), NOBODY, read)
    np.testing.assert_allclose(found[0, :DIM], (_direction(vectors[0]) + _direction(vectors[1])) / 2, atol=1e-5)
    np.testing.assert_allclose(found[1, :DIM], _direction(vectors[3]), atol=1e-5)
    assert not found[2].any()  # who has unfollowed is as one who never followed, to the last bit
    np.testing.assert_allclose(np.expm1(found[:, DIM]), [2, 1, 0], rtol=1e-6)
    rows = features(arena.records, np.arange(3), found)
    np.testing.assert_array_equal(rows[:, FOLLOWED][:, 0], found[:, DIM])
    np.testing.assert_array_equal(rows[:, 5 * DIM + 24 : 6 * DIM + 24], found[:, :DIM])
    assert not features(arena.records, np.arange(3))[:, 5 * DIM + 24 : 6 * DIM + 24].any()


def test_a_target_that_says_nothing_counts_for_nothing() -> None:
    arena = _followers(("a", "user:x", True), ("a", "user:gone", True))
    vectors = _vectors(2)
    vectors[1] = 0
    found = social(arena.records, np.array([0]), NOBODY, Directions.of(_hashes("user:x", "user:gone"), vectors))
    np.testing.assert_allclose(found[0, :DIM], _direction(vectors[0]), atol=1e-5)
    assert found[0, DIM] == pytest.approx(np.log(2))


def test_what_is_fixed_holds_whatever_was_read() -> None:
    arena = _followers(("a", "topic:x", True))
    fixed, read = _vectors(2)
    of = _hashes("topic:x")
    found = social(arena.records, np.array([0]), Directions.of(of, fixed[None]), Directions.of(of, read[None]))
    np.testing.assert_allclose(found[0, :DIM], _direction(fixed), atol=1e-5)


def test_only_the_last_followees_count() -> None:
    names = [f"user:{number}" for number in range(FOLLOWEES + 3)]
    arena = _followers(*(("a", name, True) for name in names))
    np.testing.assert_array_equal(followed(arena.records, np.array([0])), np.sort(_hashes(*names[3:])))


def test_what_was_read_long_ago_is_due_again() -> None:
    of, read = _hashes("user:1", "user:2", "user:3"), Directions(8)
    read.put(of[:1], _vectors(1), at_ms=1_000)
    read.put(of[1:2], _vectors(1), at_ms=2_000)
    assert read.read_before(of, 1_000).tolist() == [of[2]]
    assert read.read_before(of, 1_001).tolist() == [of[0], of[2]]
    read.put(of[:1], _vectors(1), at_ms=3_000)
    assert read.read_before(of, 2_001).tolist() == [of[1], of[2]]
    assert len(read) == 2


def test_the_older_half_goes_when_there_is_no_room() -> None:
    """Against a plain dict: what is found is what was put in last, and the newest are always there."""
    room, truth, read = 16, dict[int, np.ndarray](), Directions(16)
    for step in range(60):
        of = RNG.choice(np.arange(1, 40, dtype=np.uint64), RNG.integers(1, 6), replace=False)
        vectors = _vectors(len(of))
        read.put(of, vectors, at_ms=step)
        truth |= {int(target): vector for target, vector in zip(of, vectors, strict=True)}
        assert len(read) <= room
        assert (read.rows(of) >= 0).all()
        hashes, _, directions = read.arrays
        for target in range(1, 40):
            row = int(read.rows(np.array([target], np.uint64))[0])
            if row >= 0:
                assert hashes[row] == target
                np.testing.assert_allclose(directions[row], _direction(truth[target]), atol=1e-4)


def test_who_is_dropped_is_as_unknown_until_read_again() -> None:
    of, read = _hashes("user:1", "user:2"), Directions.of(_hashes("user:1"), _vectors(1))
    arena = _followers(("a", "user:1", True))
    read.drop(of)
    assert not social(arena.records, np.array([0]), NOBODY, read).any()
    assert len(read) == 1


def test_nothing_is_of_no_length() -> None:
    assert not normalised(np.zeros((2, DIM), np.float32)).any()
    np.testing.assert_allclose(np.mean(normalised(_vectors(5)) ** 2, axis=1), 1, rtol=1e-5)
