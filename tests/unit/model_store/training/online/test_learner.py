"""The learner on a stream whose rule is known, and changes: after item i comes i + step."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from model_store.catalog.index import ItemIndex
from model_store.encoder.network import ReadoutNetwork
from model_store.model import ModelParts
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.content import ContentSpace, Projection, Told
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM, FACET_DIM, Kind
from model_store.state.memory import DAY_MS, HOUR_MS, Decays
from model_store.state.writes import WriteTable
from model_store.training.online.examples import Clicks, observe, user_hashes
from model_store.training.online.learner import OnlineLearner, OnlineRecipe

ITEMS, USERS = 30, 40
NO_VECTORS = np.zeros((1, 0), np.float32)
IDS = [f"i{item}" for item in range(ITEMS)]
# Nobody is more popular than others here, and little time passes.
RECIPE = OnlineRecipe(rate=5e-3, passes=3, replays=1, dropout=0.0, popularity_weights=(0, 0, 0, 0), vectors_kept=1.0)


def fresh_parts(interests: int = 1, *, context: bool = False) -> ModelParts:
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 0.1, (ITEMS, DIM)).astype(np.float32)
    content = np.zeros((ITEMS, FACET_DIM), np.float32)
    content[np.arange(ITEMS), np.arange(ITEMS) % 2] = 1
    writes = WriteTable(hash_ids(IDS).hash, vectors, content)
    index = ItemIndex.of(tuple(IDS), tuple(IDS), vectors, np.zeros(ITEMS, np.float32), content[:, :2])
    network = ReadoutNetwork(2, seed=1, interests=interests, context=context)
    decays = Decays(context_half_life_ms=30 * DAY_MS if context else 0.0)
    return ModelParts(3, ("even", "odd"), decays, writes, network, index, {"data": "made"})


class Stream:
    """Users who walk through the items, `step` at a time."""

    def __init__(self, parts: ModelParts) -> None:
        self.arena, self._parts, self._sent = Arena(USERS), parts, 0
        self._at = np.arange(USERS) % ITEMS

    def clicks(self, rounds: int, step: int, ids: list[str] = IDS) -> list[Clicks]:
        out = []
        for _ in range(rounds):
            self._at = (self._at + step) % len(ids)
            number = self._sent + np.arange(USERS)
            self._sent += USERS
            batch = EventBatch(
                keys=[b"u%d" % user for user in range(USERS)],
                kind=np.full(USERS, Kind.CLICK, np.int8),
                offset=number,
                ts_ms=1_700_000_000_000 + number * 1_000,
                event=(number + 1).astype(np.uint64),
                item=hash_ids([ids[at] for at in self._at]).hash,
                value=np.zeros(USERS, np.float32),
                region=np.zeros(USERS, np.uint8),
                event_ids=[""] * USERS,
            )
            out.append(observe(self.arena, batch, self._parts.writes, self._parts.decays))
        return out


def right(learner: OnlineLearner, clicks: Clicks) -> float:
    """Share of clicks whose item the learner scores best, by what the served version would compute."""
    index = learner.index()
    recent = index.rows_of(clicks.ring[:, :3]).astype(np.int32)
    best = index.score(learner.outputs(clicks.features), recent).argmax(axis=1)
    return float((best == index.rows_of(clicks.item)).mean())


@pytest.mark.parametrize("interests", [1, 2])
def test_it_learns_a_rule_and_then_another(interests: int) -> None:
    parts = fresh_parts(interests)
    learner, stream = OnlineLearner(parts, RECIPE), Stream(parts)
    for step in (1, 7):
        for clicks in stream.clicks(14, step):
            learner.learn(clicks)
            learner._rounds.clear()  # a user of this walk soon knows every item; the last round is what counts
        (test,) = stream.clicks(1, step)
        assert right(learner, test) > 0.9


@pytest.mark.parametrize("context", [True, False])
def test_what_the_hour_says_is_learnt_where_it_is_kept(context: bool) -> None:
    """New users each day click any item, and then one of the first half of the items in the morning, of the other in
    the evening: no state but the context's tells one from the other."""
    parts, dice, half, right_halves = fresh_parts(context=context), np.random.default_rng(6), ITEMS // 2, []
    learner, arena, count = OnlineLearner(parts, RECIPE), Arena(), 80

    def clicked(day: int, second: int, evening: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> Clicks:
        number = (2 * day + second) * count + np.arange(count)
        batch = EventBatch(
            keys=[b"u%d-%d" % (day, user) for user in range(count)],
            kind=np.full(count, Kind.CLICK, np.int8),
            offset=number,
            ts_ms=((1_000 + day) * DAY_MS + (8 + 12 * evening) * HOUR_MS + second).astype(np.int64),
            event=(number + 1).astype(np.uint64),
            item=hash_ids([IDS[item] for item in items]).hash,
            value=np.zeros(count, np.float32),
            region=np.zeros(count, np.uint8),
            event_ids=[""] * count,
        )
        return observe(arena, batch, parts.writes, parts.decays)

    for day in range(14):
        evening = dice.integers(0, 2, count)
        clicked(day, 0, evening, dice.integers(0, ITEMS, count))
        clicks = clicked(day, 1, evening, evening * half + dice.integers(0, half, count))
        scores = learner.index().score(learner.outputs(clicks.features), np.full((count, 3), -1, np.int32))
        right_halves.append((scores.argmax(axis=1) // half == evening).mean())
        learner.learn(clicks)
    of_late = float(np.mean(right_halves[-5:]))
    assert of_late > 0.8 if context else of_late < 0.65


def test_what_it_says_is_what_its_version_says(tmp_path: object) -> None:
    parts = fresh_parts()
    learner, stream = OnlineLearner(parts, RECIPE), Stream(parts)
    for clicks in stream.clicks(5, 1):
        learner.learn(clicks)
    made = learner.parts({"rounds": 5})
    assert (made.generation, made.topics, made.made) == (3, ("even", "odd"), {"data": "made", "rounds": 5})
    assert made.writes is parts.writes
    assert made.index.priors.any()
    assert made.index.transitions is not None
    assert len(made.index.transitions.after)
    (test,) = stream.clicks(1, 1)
    outputs = np.asarray(made.network.outputs(test.features))
    np.testing.assert_allclose(learner.outputs(test.features), outputs, atol=1e-5)
    vectors, bias = learner.vectors_and_bias()
    np.testing.assert_array_equal(made.index.vectors, vectors)
    np.testing.assert_array_equal(made.index.bias, bias)


def test_new_items_get_room_and_earn_vectors() -> None:
    parts = fresh_parts()
    learner, stream = OnlineLearner(parts, RECIPE), Stream(parts)
    for clicks in stream.clicks(3, 1):
        learner.learn(clicks)
    before, bias = (column.copy() for column in learner.vectors_and_bias())
    many = [*IDS, *(f"new-{number}" for number in range(400))]  # more than there is room for
    learner.meet(many[20:])
    vectors, _ = learner.vectors_and_bias()
    assert learner.item_ids == many
    assert learner.titles[ITEMS] == "new-0"
    np.testing.assert_array_equal(vectors[:ITEMS], before)
    assert not vectors[ITEMS:].any()
    np.testing.assert_allclose(learner.vectors_and_bias()[1][ITEMS:], bias.min())
    walk = many[ITEMS : ITEMS + 10]
    for clicks in stream.clicks(12, 1, walk):
        learner.learn(clicks)
    (test,) = stream.clicks(1, 1, walk)
    assert right(learner, test) > 0.9
    lengths = np.linalg.norm(learner.vectors_and_bias()[0][ITEMS:], axis=1)
    assert lengths[: len(walk)].min() > 5 * lengths[len(walk) :].max()  # of those that nobody clicked


def test_growing_changes_nothing_of_what_is_learnt() -> None:
    def learnt(new: int) -> npt.NDArray[np.float32]:
        parts = fresh_parts()
        learner, stream = OnlineLearner(parts, replace(RECIPE, passes=1, replays=0)), Stream(parts)
        for number, clicks in enumerate(stream.clicks(6, 1)):
            if number == 3:
                learner.meet([f"never-clicked-{item}" for item in range(new)])
            learner.learn(clicks)
        return learner.vectors_and_bias()[0][:ITEMS]

    # Both meet new items in the middle; one has room for them, the other must make it, optimizer and all.
    np.testing.assert_allclose(learnt(200), learnt(200), atol=1e-6)
    small, large = learnt(255), learnt(257)
    np.testing.assert_allclose(small, large, atol=2e-3)


def test_a_click_that_is_no_news_is_counted_and_not_learnt() -> None:
    parts = fresh_parts()
    learner, stream = OnlineLearner(parts, RECIPE), Stream(parts)
    for clicks in stream.clicks(ITEMS, 1):
        learner.count(clicks)
    vectors = learner.vectors_and_bias()[0].copy()
    (again,) = stream.clicks(1, 1)  # everybody has clicked everything by now
    popularity = learner.popularity.counts.sum()
    assert np.isnan(learner.learn(again))
    np.testing.assert_array_equal(learner.vectors_and_bias()[0], vectors)
    assert learner.popularity.counts.sum() > popularity


def test_who_is_erased_leaves_the_replay_buffer() -> None:
    parts = fresh_parts()
    learner, stream = OnlineLearner(parts, RECIPE), Stream(parts)
    for clicks in stream.clicks(4, 1):
        learner.learn(clicks)
    gone = user_hashes([b"u3", b"u7"])
    pairs = {(user, item) for one in learner._rounds for user, item in _pairs(one.user, one.pair_at)}
    learner.forget(gone)
    left = {(user, item) for one in learner._rounds for user, item in _pairs(one.user, one.pair_at)}
    assert all(not np.isin(one.user, gone).any() and len(one) == USERS - 2 for one in learner._rounds)
    assert left == {(user, item) for user, item in pairs if user not in set(gone.tolist())}
    learner.forget(user_hashes([b"u%d" % user for user in range(USERS)]))
    assert not learner._rounds


def _pairs(user: npt.NDArray[np.uint64], at: npt.NDArray[np.int32]) -> list[tuple[int, int]]:
    return [(int(user[row]), int(item)) for row, item in at.tolist()]


def test_it_goes_on_from_its_state_as_if_nothing_had_happened() -> None:
    def walk(stop_at: int | None) -> OnlineLearner:
        parts = fresh_parts()
        learner, stream = OnlineLearner(parts, RECIPE), Stream(parts)
        for number, clicks in enumerate(stream.clicks(9, 1)):
            if number == 4:
                learner.meet([f"new-{item}" for item in range(300)])
            learner.learn(clicks)
            if number == stop_at:
                state, learner = learner.state(), OnlineLearner(fresh_parts(), RECIPE)
                learner.restore(state)
        return learner

    through, resumed = walk(None), walk(5)
    assert resumed.item_ids == through.item_ids
    for name, array in through.state().items():
        np.testing.assert_allclose(resumed.state()[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


def told_parts() -> ModelParts:
    """Items whose vectors are what their content says, and a bit."""
    rng = np.random.default_rng(5)
    content = rng.normal(size=(ITEMS, FACET_DIM)).astype(np.float32)
    vectors = (content @ rng.normal(0, 0.2, (FACET_DIM, DIM)) + rng.normal(0, 0.02, (ITEMS, DIM))).astype(np.float32)
    projection = Projection.fit(content, vectors, np.zeros(ITEMS, np.float32))
    parts = fresh_parts()
    space = ContentSpace("e", np.zeros(FACET_DIM, np.float32), np.eye(FACET_DIM, dtype=np.float32))
    writes = replace(parts.writes, content=content, space=space, projection=projection)
    return replace(parts, writes=writes, index=replace(parts.index, vectors=vectors, projection=projection))


def test_an_item_that_is_told_of_begins_like_those_of_its_content() -> None:
    parts = told_parts()
    learner = OnlineLearner(parts, replace(RECIPE, vectors_kept=1.0))
    shares = np.array([[0.0, 1.0]], np.float32)
    learner.tell(Told(["new"], ["New"], parts.writes.content[:1], shares, shares[:, :0]))
    vectors, _ = learner.vectors_and_bias()
    np.testing.assert_allclose(vectors[:ITEMS], parts.index.vectors, atol=1e-5)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (units @ units[ITEMS]).argsort()[-2:].tolist() == [0, ITEMS]
    assert units[0] @ units[ITEMS] > 0.95
    index = learner.index()
    assert (index.item_ids[-1], index.titles[-1], index.topic[-1]) == ("new", "New", 1)
    assert index.shares[-1].tolist() == [0, 1]
    np.testing.assert_array_equal(index.projection.vectors, parts.index.projection.vectors)


def test_what_is_said_later_of_a_known_item_is_taken_in_and_silence_takes_nothing_away() -> None:
    learner = OnlineLearner(told_parts(), RECIPE)
    learner.meet(["new"])
    assert not learner.content[ITEMS].any()
    content, shares = np.ones((1, FACET_DIM), np.float32), np.array([[1.0, 0.0]], np.float32)
    learner.tell(Told(["new"], ["New"], content, shares, shares[:, :0]))
    learner.tell(Told.nothing(["new"], 2))
    assert learner.item_ids[ITEMS:] == ["new"]
    index = learner.index()
    assert (index.titles[-1], index.topic[-1], index.shares[-1].tolist()) == ("New", 0, [1, 0])
    assert learner.content[ITEMS].tolist() == [1] * FACET_DIM
    assert index.vectors[ITEMS].any()


def test_the_projection_is_learnt_and_goes_on_from_a_version_and_from_a_snapshot() -> None:
    parts = told_parts()
    learner, stream = OnlineLearner(parts, RECIPE), Stream(parts)
    before = learner.index().projection.vectors.copy()
    for clicks in stream.clicks(4, 1):
        learner.learn(clicks)
    made = learner.parts({})
    assert np.abs(made.index.projection.vectors - before).max() > 1e-3
    from_version, from_snapshot = OnlineLearner(made, RECIPE), OnlineLearner(parts, RECIPE)
    from_snapshot.restore(learner.state())
    for other in (from_version, from_snapshot):
        np.testing.assert_allclose(other.vectors_and_bias()[0], made.index.vectors, atol=1e-5)
        np.testing.assert_array_equal(other.index().projection.vectors, made.index.projection.vectors)
        other.tell(
            Told(["new"], ["New"], np.ones((1, FACET_DIM), np.float32), np.zeros((1, 2), np.float32), NO_VECTORS)
        )
    np.testing.assert_allclose(
        from_version.vectors_and_bias()[0][-1], from_snapshot.vectors_and_bias()[0][-1], atol=1e-5
    )


def test_a_withdrawn_item_that_is_clicked_late_is_not_offered_until_it_is_told_of_again() -> None:
    learner = OnlineLearner(told_parts(), RECIPE)
    learner.withdraw(["gone", IDS[0]])
    learner.meet(["gone"])
    hidden = {item for item, bias in zip(learner.item_ids, learner.index().bias, strict=True) if bias < -1e6}
    assert hidden == {"gone", IDS[0]}
    learner.tell(
        Told(["gone"], ["Gone"], np.ones((1, FACET_DIM), np.float32), np.zeros((1, 2), np.float32), NO_VECTORS)
    )
    assert learner.index().bias[ITEMS] > -1e6
    assert learner.index().bias[0] < -1e6


def test_what_is_told_changes_no_index_that_was_handed_out() -> None:
    parts = told_parts()
    learner = OnlineLearner(parts, RECIPE)
    before, topic = learner.index(), parts.index.topic.copy()
    shares = before.shares.copy()
    other = np.array([[0.0, 1.0]], np.float32)
    learner.tell(Told([IDS[0]], ["Other"], np.ones((1, FACET_DIM), np.float32), other, NO_VECTORS))
    assert learner.index().topic[0] == 1
    np.testing.assert_array_equal(before.topic, topic)
    np.testing.assert_array_equal(parts.index.topic, topic)
    np.testing.assert_array_equal(before.shares, shares)
