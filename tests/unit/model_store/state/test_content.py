"""Coordinates and projection against least squares by hand; what told items write, and what is taken back of them."""

import numpy as np
import numpy.typing as npt
import pytest

from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.content import BY_TOPICS, ContentSpace, ItemContent, Projection, Told
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM, FACET_DIM, UNTOLD, Kind
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable, empty_table

Float32 = npt.NDArray[np.float32]
RNG = np.random.default_rng(0)
NOW_MS = 1_700_000_000_000


def planted(items: int, directions: int, width: int = 96) -> Float32:
    """Vectors that differ in so many directions, the first most."""
    axes = np.linalg.qr(RNG.normal(size=(width, directions)))[0]
    amounts = RNG.normal(size=(items, directions)) * np.linspace(3, 1, directions)
    return (amounts @ axes.T + RNG.normal(size=width)).astype(np.float32)


def test_distances_survive_where_there_are_few_directions() -> None:
    vectors = planted(200, FACET_DIM)
    of = ItemContent.encoded("e", vectors)
    far = np.linalg.norm(vectors[:50, None] - vectors[None, 50:100], axis=2)
    kept = np.linalg.norm(of.coordinates[:50, None] - of.coordinates[None, 50:100], axis=2)
    np.testing.assert_allclose(kept / far, (kept / far)[0, 0], rtol=1e-3)
    assert np.mean((of.coordinates**2).sum(axis=1)) == pytest.approx(1, rel=1e-3)


def test_directions_are_those_in_which_items_differ_most() -> None:
    vectors = planted(500, 40)
    of = ItemContent.encoded("e", vectors)
    variances = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    found = of.coordinates.var(axis=0)
    np.testing.assert_allclose(found / found.sum(), variances[:FACET_DIM] / variances[:FACET_DIM].sum(), rtol=1e-2)


def test_a_text_without_a_word_has_no_content_and_moves_no_axis() -> None:
    vectors = planted(100, 30)
    silent = np.concatenate([vectors, np.zeros((7, 96), np.float32)])
    of = ItemContent.encoded("e", silent)
    assert not of.coordinates[100:].any()
    assert of.coordinates[:100].any(axis=1).all()
    np.testing.assert_allclose(of.space.mean, vectors.mean(axis=0), atol=1e-5)


def test_a_catalogue_of_few_directions_leaves_the_others_empty() -> None:
    of = ItemContent.encoded("e", planted(50, 3))
    assert of.coordinates[:, :3].any(axis=0).all()
    assert not of.coordinates[:, 3:].any()
    assert not ItemContent.encoded("e", np.zeros((4, 96), np.float32)).coordinates.any()


def test_by_topics_content_is_the_share_of_each() -> None:
    shares = np.array([[0.5, 0.5, 0], [0, 0, 1], [0, 0, 0]], np.float32)
    of = ItemContent.by_topics(shares)
    assert of.space.encoder == BY_TOPICS
    assert of.coordinates[:, :3].tolist() == shares.tolist()
    assert not of.coordinates[:, 3:].any()
    with pytest.raises(ValueError, match="at most 24"):
        ItemContent.by_topics(np.zeros((1, 25), np.float32))


def test_the_projection_is_ridge_regression() -> None:
    content = RNG.normal(size=(300, FACET_DIM)).astype(np.float32)
    truth = RNG.normal(size=(FACET_DIM, DIM))
    vectors = (content @ truth + RNG.normal(0, 0.3, (300, DIM))).astype(np.float32)
    bias = (content[:, 0] * 2 + 5).astype(np.float32)
    content[-1], vectors[-1], bias[-1] = 0, 100, 100  # of which nothing is known
    found = Projection.fit(content, vectors, bias)
    # Ridge is least squares with the penalty's root as further rows.
    rows = np.concatenate([content[:-1], np.sqrt(2.0) * np.eye(FACET_DIM)])
    wanted = np.concatenate([vectors[:-1], np.zeros((FACET_DIM, DIM))])
    np.testing.assert_allclose(found.vectors, np.linalg.lstsq(rows, wanted, rcond=None)[0], atol=1e-3)
    np.testing.assert_allclose(found.vectors, truth, atol=0.15)
    np.testing.assert_allclose(found.bias[0], 2, atol=0.05)
    assert found.spread == pytest.approx(0.3, rel=0.1)


def test_content_that_nobody_knows_says_nothing() -> None:
    vectors = RNG.normal(0, 0.2, (50, DIM)).astype(np.float32)
    found = Projection.fit(np.zeros((50, FACET_DIM), np.float32), vectors, np.zeros(50, np.float32))
    assert not found.vectors.any()
    assert not found.bias.any()
    assert found.spread == pytest.approx(0.2, rel=0.05)


def table(items: int = 40) -> WriteTable:
    content = RNG.normal(size=(items, FACET_DIM)).astype(np.float32)
    vectors = (content @ RNG.normal(0, 0.2, (FACET_DIM, DIM)) + RNG.normal(0, 0.1, (items, DIM))).astype(np.float32)
    projection = Projection.fit(content, vectors, np.zeros(items, np.float32))
    hashes = hash_ids([f"i{item}" for item in range(items)]).hash
    return WriteTable(hashes, vectors, content, ItemContent.encoded("e", content).space, projection)


def test_a_told_item_writes_what_its_content_says_and_the_others_what_they_wrote() -> None:
    before = table()
    names = hash_ids(["new-1", "new-2", "new-3"]).hash
    content = np.stack([before.content[0], before.content[0], np.zeros(FACET_DIM, np.float32)])
    after = before.joined(names, content)
    known, others = before.item_hashes, hash_ids(["never heard of"]).hash
    np.testing.assert_array_equal(after.vectors_of(known), before.vectors_of(known))
    np.testing.assert_array_equal(after.vectors_of(others), before.vectors_of(others))
    like, twin, mute = after.vectors_of(names)

    def cosine(one: Float32, other: Float32) -> float:
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    assert cosine(like, before.vectors[0]) > 0.8 > cosine(mute, before.vectors[0])
    assert not np.array_equal(like, twin)
    assert np.linalg.norm(like) == pytest.approx(float(np.linalg.norm(before.vectors[0])), rel=0.3)
    again = before.joined(names[::-1], content[::-1]).vectors_of(names)
    np.testing.assert_array_equal(again, after.vectors_of(names))


def test_a_table_comes_back_from_its_arrays() -> None:
    one = table()
    other = WriteTable.of_arrays(one.arrays())
    assert one.is_same(other)
    assert other.space.encoder == "e"
    told = hash_ids(["new"]).hash, one.content[:1]
    np.testing.assert_array_equal(one.joined(*told).vectors, other.joined(*told).vectors)
    for name in one.arrays():
        changed = {**one.arrays(), name: np.array("other") if name == "encoder" else one.arrays()[name] + 1}
        assert not one.is_same(WriteTable.of_arrays(changed)), name


def test_a_table_of_a_release_without_encoders_is_read_and_told_items_write_hashes() -> None:
    old = {name: table().arrays()[name] for name in ("item_hashes", "vectors", "content")}
    one = WriteTable.of_arrays(old)
    assert one.space.encoder == BY_TOPICS
    told = hash_ids(["new"]).hash
    after = one.joined(told, np.zeros((1, FACET_DIM), np.float32))
    np.testing.assert_array_equal(after.vectors_of(told), one.vectors_of(told))


def rated(arena: Arena, writes: WriteTable, number: int, rating: float) -> None:
    batch = EventBatch(
        keys=[b"u"],
        kind=np.array([Kind.RATING], np.int8),
        offset=np.array([number]),
        ts_ms=np.array([NOW_MS + 1_000 * number]),
        event=np.array([number + 1], np.uint64),
        item=hash_ids(["new"]).hash,
        value=np.array([rating], np.float32),
        region=np.zeros(1, np.uint8),
        event_ids=[""],
    )
    advance(arena, arena.rows_of(batch.keys), batch, writes, Decays())


@pytest.mark.parametrize("last", [float("nan"), 0.9])
def test_what_was_written_before_the_catalogue_told_of_the_item_is_what_is_taken_back(last: float) -> None:
    untold = table()
    told = untold.joined(hash_ids(["new"]).hash, untold.content[:1])
    arena, fresh = Arena(), Arena()
    rated(arena, untold, 0, 1.0)
    assert arena.records["rated_value"][0][0] == 1000 + UNTOLD
    rated(arena, told, 1, last)
    rated(fresh, told, 1, last)
    for lane in ("time", "content", "time_weight", "content_weight"):
        np.testing.assert_allclose(arena.records[lane][0], fresh.records[lane][0], atol=1e-6)
    assert arena.records["rated_value"][0][0] == fresh.records["rated_value"][0][0]


def test_an_empty_table_has_room_for_told_items() -> None:
    told = empty_table().joined(hash_ids(["a"]).hash, np.ones((1, FACET_DIM), np.float32))
    assert len(told) == 1
    assert np.isfinite(told.vectors).all()


def test_coordinates_of_new_texts_lie_in_the_space_of_the_old() -> None:
    vectors = planted(100, 10)
    space = ContentSpace.fit("e", vectors[:80])
    np.testing.assert_allclose(
        space.coordinates(vectors[80:], vectors[80:, :0]), (vectors[80:] - space.mean) @ space.axes, atol=1e-6
    )


def test_what_is_said_twice_of_an_item_counts_once_and_the_first_time() -> None:
    told = Told(
        ["a", "b", "a"],
        ["A", "B", "other"],
        np.eye(3, FACET_DIM, dtype=np.float32),
        np.zeros((3, 2), np.float32),
        np.arange(6, dtype=np.float32).reshape(3, 2),
    )
    once = told.first_of_each()
    assert (once.ids, once.titles) == (["a", "b"], ["A", "B"])
    assert once.content[:, :2].tolist() == [[1, 0], [0, 1]]
    some = told.take(np.array([1]))
    assert (some.ids, some.vectors.tolist()) == (["b"], [[2, 3]])
