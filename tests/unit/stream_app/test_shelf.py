"""What the catalogue has told, as one generation reads it, against a dictionary."""

import base64
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from model_store.model import InterestModel, load_model
from model_store.registry import ModelRegistry
from model_store.state.content import ContentSpace, Projection
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM, FACET_DIM
from stream_app.contracts.knowledge import Knowledge, deleted, encode, packed
from stream_app.shelf import Shelf
from tests.bench.model import VERSION, catalogue_model

Float32 = npt.NDArray[np.float32]
WIDTH = 40
TOPICS = ("Drama", "Comedy", "War")
RNG = np.random.default_rng(0)
SPACE = ContentSpace.fit("e", RNG.normal(size=(200, WIDTH)).astype(np.float32))


def vector() -> Float32:
    return RNG.normal(size=WIDTH).astype(np.float16).astype(np.float32)


def take(shelf: Shelf, *knowledge: Knowledge) -> None:
    for one in knowledge:
        assert shelf.take(one.item_id.encode(), encode(one)) == one.item_id


def test_content_is_where_the_encoder_puts_the_text_and_topics_are_the_models() -> None:
    shelf, first, second = Shelf(SPACE, TOPICS), vector(), vector()
    take(
        shelf,
        Knowledge(
            "a", 1, title="A", encoder="e", vector=packed(first), topics={"War": 0.5, "Opera": 0.25, "Drama": 0.25}
        ),
        Knowledge("b", 1, title="B", encoder="e", vector=packed(second), topics={"Opera": 1.0}),
        Knowledge("c", 1, title="C", encoder="e"),
    )
    told = shelf.told()
    assert (told.ids, told.titles, len(shelf)) == (["a", "b", "c"], ["A", "B", "C"], 3)
    np.testing.assert_allclose(told.content[:2], (np.stack([first, second]) - SPACE.mean) @ SPACE.axes, atol=1e-6)
    assert not told.content[2].any()
    np.testing.assert_allclose(told.shares, [[1 / 3, 0, 2 / 3], [0, 0, 0], [0, 0, 0]])


def test_without_an_encoder_content_is_the_share_of_each_topic() -> None:
    shelf = Shelf(ContentSpace.by_topics(), TOPICS)
    take(shelf, Knowledge("a", 1, encoder="other", vector=packed(vector()), topics={"War": 0.5, "Drama": 0.5}))
    assert shelf.told().content[0, :3].tolist() == [0.5, 0, 0.5]
    assert shelf.foreign == 0


def test_vectors_of_another_encoder_say_nothing_and_are_counted() -> None:
    shelf = Shelf(SPACE, TOPICS)
    take(shelf, Knowledge("a", 1, encoder="other", vector=packed(vector()), topics={"War": 1.0}))
    assert shelf.foreign == 1
    told = shelf.told()
    assert not told.content.any()
    assert told.shares.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    "value",
    [b"no JSON", encode(Knowledge("a", 2, encoder="e", vector="?")),
     encode(Knowledge("a", 2, encoder="e", vector=packed(np.ones(3, np.float32))))],
)  # fmt: skip
def test_of_an_item_that_cannot_be_read_stays_what_was_known(value: bytes) -> None:
    shelf = Shelf(SPACE, TOPICS)
    take(shelf, Knowledge("a", 1, title="A", encoder="e", vector=packed(vector())))
    before = shelf.told()
    assert shelf.take(b"a", value) is None
    assert shelf.unreadable == 1
    after = shelf.told()
    assert after.titles == ["A"]
    np.testing.assert_array_equal(after.content, before.content)


def test_deleted_items_are_told_of_no_more_until_they_come_back() -> None:
    shelf = Shelf(SPACE, TOPICS)
    take(shelf, Knowledge("a", 1, title="A"), Knowledge("b", 1, title="B"), deleted("a", 2), deleted("never seen", 2))
    assert shelf.told().ids == ["b"]
    assert len(shelf) == 1
    assert shelf.told_of(["b", "a", "unknown"]).ids == ["b"]
    assert sorted(shelf.deleted_of({"a", "b", "never seen"})) == ["a", "never seen"]
    assert shelf.take(b"b", None) == "b"  # a tombstone, of whoever writes them
    assert len(shelf) == 0
    take(shelf, Knowledge("a", 3, title="A again"))
    assert (shelf.told().titles, shelf.deleted_of(["a"])) == (["A again"], [])


def test_many_items_and_edits_are_those_of_a_dictionary() -> None:
    shelf, truth = Shelf(SPACE, TOPICS), {}
    for number in range(4_000):
        item = f"i{RNG.integers(0, 2_500)}"
        if RNG.random() < 0.1:
            take(shelf, deleted(item, number))
            truth.pop(item, None)
        else:
            truth[item] = Knowledge(item, number, title=f"{number}", encoder="e", vector=packed(vector()))
            take(shelf, truth[item])
    told = shelf.told()
    assert len(shelf) == len(told.ids) == len(truth)
    assert dict(zip(told.ids, told.titles, strict=True)) == {item: one.title for item, one in truth.items()}
    place = len(told.ids) // 2
    wanted = np.frombuffer(base64.b64decode(truth[told.ids[place]].vector), "<f2").astype(np.float32)
    np.testing.assert_allclose(told.content[place], (wanted - SPACE.mean) @ SPACE.axes, atol=1e-6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InterestModel:
    folder = tmp_path_factory.mktemp("shelf")
    found = load_model(ModelRegistry(catalogue_model(folder / "models", 30)).fetch(VERSION, folder / "fetched"))
    projection = Projection(RNG.normal(size=(FACET_DIM, DIM)).astype(np.float32), np.zeros(FACET_DIM, np.float32))
    return replace(found, writes=replace(found.writes, space=SPACE, projection=projection))


def test_an_edited_item_writes_what_it_wrote_and_scores_by_what_it_says_now(model: InterestModel) -> None:
    first, second = vector(), vector()
    before, after = (Shelf(SPACE, model.topics) for _ in range(2))
    take(before, Knowledge("new", 1, encoder="e", vector=packed(first)))
    take(after, Knowledge("new", 2, encoder="e", vector=packed(second), origin=packed(first)))
    old, new = before.put_into(model), after.put_into(model)
    np.testing.assert_array_equal(old.writes.vectors, new.writes.vectors)
    np.testing.assert_array_equal(old.writes.content, new.writes.content)
    assert not np.allclose(before.told().content, after.told().content)
    # A table that has the item already is left as it is.
    assert after.put_into_writes(old.writes) is old.writes


def test_what_the_model_knows_stays_and_what_is_deleted_is_hidden(model: InterestModel) -> None:
    shelf = Shelf(SPACE, model.topics)
    known = model.index.item_ids[3]
    assert shelf.put_into(model).index is model.index
    take(shelf, Knowledge(known, 1, title="other", encoder="e", vector=packed(vector())), Knowledge("new", 1))
    found = shelf.put_into(model)
    assert found.index.item_ids == (*model.index.item_ids, "new")
    np.testing.assert_array_equal(found.index.vectors[:30], model.index.vectors)
    np.testing.assert_array_equal(found.writes.vectors_of(model.writes.item_hashes), model.writes.vectors)
    take(shelf, deleted(known, 2), deleted("new", 2))
    gone = shelf.put_into(model)
    assert np.flatnonzero(np.isinf(gone.index.bias)).tolist() == [3]
    assert gone.writes.rows(hash_ids(["new"]).hash).tolist() == [len(model.writes)]


def said(offset: int, log: str = "topic-0", title: str = "") -> Knowledge:
    return Knowledge("a", 1, title=title or f"{offset}", log=log, offset=offset)


def test_of_two_words_on_an_item_the_later_one_counts_in_whatever_order_they_are_told() -> None:
    log, random = "topic-0", np.random.default_rng(3)
    words = [said(offset) if random.random() < 0.6 else deleted("a", 1, None, log, offset) for offset in range(8)]
    for _ in range(200):
        shelf, heard = Shelf(SPACE, TOPICS), []
        for number in random.permutation(len(words))[: random.integers(1, len(words) + 1)].tolist():
            heard.append(number)
            last = words[max(heard)]
            told = shelf.take(b"a", encode(words[number]))
            assert told == ("a" if number == max(heard) else None)
            assert shelf.told().titles == ([] if last.deleted else [last.title])
            assert shelf.deleted_of(["a"]) == (["a"] if last.deleted else [])


def test_the_same_word_and_one_from_another_log_or_from_nowhere_are_taken() -> None:
    shelf = Shelf(SPACE, TOPICS)
    for one in (
        said(5),
        said(5, title="again"),
        said(1, "other-0"),
        said(0, "", "nowhere"),
        said(2),
        said(3, "other-0"),
    ):
        take(shelf, one)
        assert shelf.told().titles == [one.title]


def test_a_deletion_that_was_not_met_before_says_what_states_have_summed(model: InterestModel) -> None:
    first, second = vector(), vector()
    described = Knowledge("new", 1, encoder="e", vector=packed(second), origin=packed(first), topics={"War": 1.0})
    lived, met = Shelf(SPACE, model.topics), Shelf(SPACE, model.topics)
    take(lived, described)
    take(met, deleted("new", 2, described))
    assert (len(met), met.told().ids) == (0, [])
    np.testing.assert_array_equal(
        lived.put_into_writes(model.writes).vectors, met.put_into_writes(model.writes).vectors
    )
    assert len(met.put_into_writes(model.writes)) == len(model.writes) + 1
    # Of one that never had another text its only one is kept; where that is no vector the deletion counts all the same.
    assert deleted("a", 2, Knowledge("a", 1, encoder="e", vector="v")).origin == "v"
    take(met, deleted("broken", 2, Knowledge("broken", 1, encoder="e", vector=packed(np.ones(3, np.float32)))))
    assert met.deleted_of(["broken"]) == ["broken"]
