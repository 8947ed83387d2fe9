"""The item index against a naive search, user by user."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from model_store.catalog.index import ItemIndex, Picks, main_topic
from model_store.catalog.transitions import UNIT, Transitions
from model_store.encoder.columns import BLEND, FACETS, INTEREST, PRIORS, VECTORS
from model_store.state.arena import Arena
from model_store.state.content import Projection, Told
from model_store.state.hashing import hash_id, hash_ids
from model_store.state.layout import DIM, FACET_DIM, REC_ITEMS
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable
from model_store.training.interactions import Interactions
from model_store.training.states import states_of

TOPICS = 5
WEIGHT = 2.0


@dataclass(frozen=True)
class World:
    """A few users with histories, and an index that knows most of the items."""

    index: ItemIndex
    records: npt.NDArray[np.void]
    outputs: npt.NDArray[np.float32]
    history: list[list[int]]


def make_world(users: int, items: int, clicks: int, seed: int = 0, interests: int = 1) -> World:
    rng = np.random.default_rng(seed)
    ids = tuple(f"item-{number}" for number in range(items + 3))  # the last three are not in the index
    index = ItemIndex.of(
        ids[:items], tuple(name.title() for name in ids[:items]), _normal(rng, items, DIM), _normal(rng, items),
        (rng.random((items, TOPICS)) < 0.4).astype(np.float32),
    )  # fmt: skip
    user = np.repeat(np.arange(users), clicks).astype(np.int32)
    item = rng.integers(0, len(ids), users * clicks).astype(np.int32)
    data = Interactions(
        "made", "none", tuple(f"u{number}" for number in range(users)), ids, user, item,
        1_700_000_000_000 + np.arange(users * clicks) * 60_000, np.full(len(user), np.nan, np.float32), 1.0,
        "synthetic", ids, (), np.zeros((len(ids), 0), np.float32),
    )  # fmt: skip
    nothing = np.zeros((len(ids), FACET_DIM), np.float32)
    writes = WriteTable(hash_ids(list(ids)).hash, _normal(rng, len(ids), DIM), nothing)
    arena: Arena = states_of(data, writes, Decays())
    history = [item[user == number].tolist() for number in range(users)]
    known = item < items
    transitions = Transitions.count(user[known], item[known], items).weighted(WEIGHT)
    index = replace(index, transitions=transitions, priors=_normal(rng, items, PRIORS))
    width = VECTORS + TOPICS + BLEND + (interests - 1) * INTEREST
    return World(index, arena.records, _normal(rng, users, width), history)


def _normal(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.float32]:
    return rng.normal(size=shape).astype(np.float32)


def recommend(world: World, k: int, skip: bool = False) -> Picks:
    users = len(world.outputs)
    return world.index.recommend(world.records, np.arange(users), world.outputs, k, np.full(users, skip))


def naive_scores(world: World) -> npt.NDArray[np.float64]:
    """float64 [users, items], one summand after the other."""
    outputs, index, blend = world.outputs.astype(np.float64), world.index, VECTORS + TOPICS
    total = np.exp(outputs[:, :DIM] @ index.vectors.T)
    for start in range(blend + BLEND, outputs.shape[1], INTEREST):
        vector, log_weight = outputs[:, start : start + DIM], outputs[:, start + DIM]
        total += np.exp(log_weight)[:, None] * np.exp(vector @ index.vectors.T)
    scores: npt.NDArray[np.float64] = np.log(total) + index.bias
    scores += outputs[:, blend : blend + PRIORS] @ index.priors.T
    assert index.transitions is not None
    for user, history in enumerate(world.history):
        last = [item if item < len(index) else -1 for item in history[:-4:-1]]
        shares = index.transitions.shares(np.array([last], np.int32))[0]
        scores[user] += (WEIGHT + outputs[user, blend + PRIORS]) * np.log1p(shares / UNIT)
    return scores


@pytest.mark.parametrize("interests", [1, 2, 4])
@pytest.mark.parametrize(("users", "items", "clicks", "k"), [(40, 200, 30, 10), (5, 12, 4, 10), (300, 1000, 60, 3)])
def test_picks_are_the_best_unseen_items(users: int, items: int, clicks: int, k: int, interests: int) -> None:
    world = make_world(users, items, clicks, interests=interests)
    picks, scores = recommend(world, k), naive_scores(world)
    for user in range(users):
        seen = world.index.seen(world.records, np.array([user]))[0]
        best = [item for item in np.argsort(-scores[user]).tolist() if not seen[item]][:k]
        assert picks.item[user].tolist() == best + [-1] * (k - len(best))
        np.testing.assert_allclose(picks.score[user, : len(best)], scores[user, best], rtol=1e-4, atol=1e-4)
        assert (picks.score[user, len(best) :] == -np.inf).all()


def test_nothing_seen_is_ever_picked() -> None:
    world = make_world(users=60, items=150, clicks=90)
    picks = recommend(world, k=20)
    for user, history in enumerate(world.history):
        assert not set(picks.item[user].tolist()) & set(history)


def test_where_everything_was_seen_there_is_nothing() -> None:
    world = make_world(users=3, items=4, clicks=100)
    picks = recommend(world, k=5)
    assert (picks.item == -1).all()
    assert (picks.topic == -1).all()


def test_what_was_recommended_last_is_left_out_on_request() -> None:
    world = make_world(users=20, items=300, clicks=10)
    first = recommend(world, REC_ITEMS)
    world.records["rec_item"][:20] = (world.index.hashes[first.item] & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    again, other = recommend(world, REC_ITEMS), recommend(world, REC_ITEMS, skip=True)
    np.testing.assert_array_equal(again.item, first.item)
    for user in range(20):
        assert not set(other.item[user].tolist()) & set(first.item[user].tolist())
    longer = recommend(world, 2 * REC_ITEMS)
    np.testing.assert_array_equal(other.item, longer.item[:, REC_ITEMS:])


def test_the_facet_is_the_one_that_speaks_loudest_for_the_item() -> None:
    world = make_world(users=30, items=100, clicks=5)
    picks = recommend(world, 8)
    facets = world.outputs[:, DIM : 4 * DIM].reshape(30, len(FACETS), DIM)
    for user, slot in np.ndindex(30, 8):
        dots = facets[user].astype(np.float64) @ world.index.vectors[picks.item[user, slot]]
        assert picks.facet[user, slot] == dots.argmax()


def test_a_facet_that_was_not_trained_is_no_reason() -> None:
    world = make_world(users=30, items=100, clicks=5)
    index = world.index
    limited = ItemIndex(
        index.item_ids, index.titles, index.hashes, index.vectors, index.bias, index.topic, ("content", "behaviour")
    )
    picks = limited.recommend(world.records, np.arange(30), world.outputs, 8, np.zeros(30, np.bool_))
    assert set(np.unique(picks.facet)) == {FACETS.index("behaviour"), FACETS.index("content")}


@pytest.mark.parametrize("interests", [1, 3])
def test_chosen_items_score_as_all_do(interests: int) -> None:
    world = make_world(users=25, items=120, clicks=8, interests=interests)
    users, chosen = np.arange(25), recommend(world, 9).item
    chosen[3, 4:] = -1
    found = world.index.scores_of(chosen, world.records, users, world.outputs)
    every = world.index.scores(world.records, users, world.outputs)
    expected = np.where(chosen >= 0, np.take_along_axis(every, np.maximum(chosen, 0).astype(np.int64), 1), -np.inf)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_topics_of_picks_are_those_of_the_items() -> None:
    world = make_world(users=10, items=60, clicks=5)
    picks = recommend(world, 5)
    np.testing.assert_array_equal(picks.topic, world.index.topic[picks.item])


def test_more_users_than_a_chunk_holds_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(users=50, items=90, clicks=5)
    whole = recommend(world, 7)
    monkeypatch.setattr("model_store.catalog.index._CHUNK_SCORES", 90 * 8)
    parts = recommend(world, 7)
    for name in ("item", "facet", "topic"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_rows_choose_users() -> None:
    world = make_world(users=9, items=90, clicks=5)
    rows = np.array([7, 2, 7], np.int64)
    picks = world.index.recommend(world.records, rows, world.outputs[rows], 5, np.zeros(3, np.bool_))
    np.testing.assert_array_equal(picks.item, recommend(world, 5).item[rows])


def test_no_users_and_no_items() -> None:
    world = make_world(users=2, items=5, clicks=1)
    none = np.zeros(0, np.int64)
    assert world.index.recommend(world.records, none, world.outputs[:0], 3, none.astype(np.bool_)).item.shape == (0, 3)
    empty = ItemIndex.of((), (), np.zeros((0, DIM), np.float32), np.zeros(0, np.float32), np.zeros((0, 2), np.float32))
    picks = empty.recommend(world.records, np.arange(2), world.outputs, 3, np.zeros(2, np.bool_))
    assert (picks.item == -1).all()


def test_an_index_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    index = with_told(make_world(users=1, items=37, clicks=1), 3)[0].index
    index.save(tmp_path)
    loaded = ItemIndex.load(tmp_path)
    assert (loaded.item_ids, loaded.titles, loaded.reasons) == (index.item_ids, index.titles, index.reasons)
    for name in ("hashes", "vectors", "bias", "topic", "priors", "shares"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(index, name))
    np.testing.assert_array_equal(loaded.projection.vectors, index.projection.vectors)
    np.testing.assert_array_equal(loaded.projection.bias, index.projection.bias)
    assert loaded.hashes[3] == hash_id("item-3")
    assert index.transitions is not None
    assert loaded.transitions is not None
    assert loaded.transitions.weight == WEIGHT
    for name in ("bounds", "after", "share"):
        np.testing.assert_array_equal(getattr(loaded.transitions, name), getattr(index.transitions, name))


def test_columns_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="disagree"):
        ItemIndex.of(("a",), (), np.zeros((1, DIM), np.float32), np.zeros(1, np.float32), np.zeros((1, 0), np.float32))


def test_the_main_topic_is_the_rarest() -> None:
    topics = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1]], np.float32)
    assert main_topic(topics).tolist() == [1, 0, 2, -1, 1]
    assert main_topic(np.zeros((2, 0), np.float32)).tolist() == [-1, -1]


def with_told(world: World, count: int) -> tuple[World, Told]:
    rng = np.random.default_rng(9)
    projection = Projection(_normal(rng, FACET_DIM, DIM), _normal(rng, FACET_DIM))
    index = replace(world.index, projection=projection)
    names = [f"told-{number}" for number in range(count)]
    shares = np.tile(np.eye(TOPICS, dtype=np.float32)[1], (count, 1))
    told = Told(names, [name.title() for name in names], _normal(rng, count, FACET_DIM), shares, shares[:, :0])
    return replace(world, index=index.joined(told)), told


def test_a_told_item_scores_what_its_content_says() -> None:
    before = make_world(7, 40, 12)
    world, told = with_told(before, 3)
    found = world.index.scores(world.records, np.arange(7), world.outputs)
    known = before.index.scores(before.records, np.arange(7), before.outputs)
    np.testing.assert_allclose(found[:, :40], known, rtol=1e-5)
    projection, lowest = world.index.projection, before.index.bias.min()
    wanted = world.outputs[:, :DIM] @ (told.content @ projection.vectors).T + lowest + told.content @ projection.bias
    np.testing.assert_allclose(found[:, 40:], wanted, rtol=1e-4, atol=1e-3)
    assert world.index.titles[-1] == "Told-2"
    assert world.index.topic[-1] == 1
    picked = recommend(world, 10).item
    assert (picked >= 40).any()
    assert world.index.rows_of(hash_ids(told.ids).hash).tolist() == [40, 41, 42]


def test_where_items_are_searched_for_told_ones_are_found_too() -> None:
    before = make_world(7, 4_000, 12)
    searched = replace(before, index=before.index.searched(before.outputs))
    (all_scored, told), (found, _) = with_told(before, 30), with_told(searched, 30)
    wanted, got = recommend(all_scored, 10).item, recommend(found, 10).item
    assert (wanted >= 4_000).sum() > 3
    for user in range(7):
        assert set(wanted[user][wanted[user] >= 4_000]) <= set(got[user])
    assert told.ids[0] == found.index.item_ids[4_000]


@pytest.mark.parametrize("large", [False, True])
def test_what_was_deleted_is_never_picked(large: bool) -> None:
    world, _ = with_told(make_world(7, 4_000 if large else 40, 12), 3)
    if large:
        world = replace(world, index=world.index.searched(world.outputs))
    gone = np.unique(recommend(world, 10).item)
    left = replace(world, index=world.index.without(gone))
    again = recommend(left, 10)
    assert not np.isin(again.item, gone).any()
    assert (again.item[:, 0] >= 0).all()
    assert not np.isin(recommend(left, 10, skip=True).item, gone).any()


def with_kin(world: World) -> World:
    """Each item is alike to the next one, as if that were four times as likely after it as usual."""
    items = len(world.index)
    share = np.full(items, 3 * UNIT, np.float32)
    kin = Transitions(np.arange(items + 1), ((np.arange(items) + 1) % items).astype(np.int32), share, 1.0)
    return replace(world, index=replace(world.index, kin=kin))


def test_what_is_like_the_last_items_gains_by_how_much_likelier_it_is() -> None:
    world = make_world(7, 40, 12)
    before = world.index.scores(world.records, np.arange(7), world.outputs)
    alike = with_kin(world)
    found = alike.index.scores(alike.records, np.arange(7), alike.outputs)
    for user, history in enumerate(world.history):
        gains = np.zeros(40)
        for lag, item in zip((1.0, 0.5, 0.25), history[:-4:-1], strict=True):
            if item < 40:
                gains[(item + 1) % 40] += 3 * lag
        np.testing.assert_allclose(found[user] - before[user], np.log1p(gains), atol=1e-4)
    every = np.tile(np.arange(40, dtype=np.int32), (7, 1))
    chosen = alike.index.scores_of(every, alike.records, np.arange(7), alike.outputs)
    np.testing.assert_allclose(chosen, found, atol=1e-4)


def test_kin_are_candidates_where_items_are_searched_for(tmp_path: Path) -> None:
    world = with_kin(make_world(7, 4_000, 12))
    boosted = replace(world.index.kin, share=np.full(4_000, 1e30, np.float32)) if world.index.kin else None
    world = replace(world, index=replace(world.index, kin=boosted))
    world.index.save(tmp_path)
    searched = replace(world, index=ItemIndex.load(tmp_path).searched(world.outputs))
    for user, picked in enumerate(recommend(searched, 5).item):
        last = world.history[user][-1]
        after = (last + 1) % 4_000
        assert last >= 4_000 or after in world.history[user] or after in picked[:3]


def test_some_of_the_items_are_what_they_were() -> None:
    world, _ = with_told(make_world(7, 40, 12), 3)
    kept = np.arange(43) % 2 == 0
    some = world.index.take(kept)
    assert some.item_ids == world.index.item_ids[::2]
    without = replace(world.index, transitions=None)
    wanted = without.scores(world.records, np.arange(7), world.outputs)[:, ::2]
    # A product of matrices of another shape adds in another order.
    np.testing.assert_allclose(some.scores(world.records, np.arange(7), world.outputs), wanted, rtol=1e-5, atol=1e-5)
