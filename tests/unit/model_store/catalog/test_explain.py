"""Reasons of picks against a naive deletion: the history is replayed without each click in turn."""

import numpy as np
import numpy.typing as npt
import pytest

from model_store.catalog.explain import CLICKS, Explainer
from model_store.catalog.index import ItemIndex, Picks
from model_store.catalog.transitions import Transitions
from model_store.encoder.columns import BLEND, FEATURES, PRIORS, VECTORS
from model_store.state.features import features
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM, FACET_DIM
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable
from model_store.training.interactions import Interactions
from model_store.training.states import states_of

ITEMS = 60
UNKNOWN = 3  # the last items are in no index
USERS = 30
K = 5
WIDTH = VECTORS + BLEND
IDS = tuple(f"item-{number}" for number in range(ITEMS + UNKNOWN))
Float32 = npt.NDArray[np.float32]


def _normal(seed: int, *shape: int) -> Float32:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


INTO, OUT = _normal(1, FEATURES, 32) / np.float32(20), _normal(2, 32, WIDTH)


def read_out(rows: Float32) -> Float32:
    """Any function that is not linear."""
    return np.tanh(rows @ INTO) @ OUT


def _explainer() -> Explainer:
    index = ItemIndex.of(
        IDS[:ITEMS], IDS[:ITEMS], _normal(3, ITEMS, DIM), _normal(4, ITEMS), np.zeros((ITEMS, 0), np.float32)
    )
    chain = np.random.default_rng(5).integers(0, ITEMS, 4000).astype(np.int32)
    transitions = Transitions.count(np.zeros(4000, np.int32), chain, ITEMS).weighted(0.7)
    index = ItemIndex(
        index.item_ids, index.titles, index.hashes, index.vectors, index.bias, index.topic,
        transitions=transitions, priors=_normal(6, ITEMS, PRIORS),
    )  # fmt: skip
    content = np.abs(_normal(8, len(IDS), FACET_DIM))
    return Explainer(index, WriteTable(hash_ids(list(IDS)).hash, _normal(7, len(IDS), DIM), content), Decays())


EXPLAINER = _explainer()


def histories(lengths: list[int], items: int = len(IDS), seed: int = 9) -> Interactions:
    """Users with so many clicks each, a minute apart."""
    user = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    item = np.random.default_rng(seed).integers(0, items, len(user)).astype(np.int32)
    ts_ms = 1_760_000_000_000 + np.arange(len(user)) * 60_000
    return Interactions(
        "made", "none", tuple(f"u{number}" for number in range(len(lengths))), IDS, user, item, ts_ms,
        np.full(len(user), np.nan, np.float32), 1.0, "synthetic", IDS, (), np.zeros((len(IDS), 0), np.float32),
    )  # fmt: skip


def states(data: Interactions) -> npt.NDArray[np.void]:
    return states_of(data, EXPLAINER.writes, EXPLAINER.decays).records[: len(data.users)]


def picked(records: npt.NDArray[np.void]) -> Picks:
    rows = np.arange(len(records))
    return EXPLAINER.index.recommend(records, rows, read_out(features(records, rows)), K, np.zeros(len(rows), np.bool_))


def scores(records: npt.NDArray[np.void], picks: Picks) -> Float32:
    rows = np.arange(len(records))
    every = EXPLAINER.index.scores(records, rows, read_out(features(records, rows)))
    return np.take_along_axis(every, picks.item.astype(np.int64), axis=1)


def because(records: npt.NDArray[np.void], picks: Picks) -> npt.NDArray[np.int32]:
    return EXPLAINER.because(records, np.arange(len(records)), picks, read_out)


@pytest.mark.parametrize("clicks", [2, CLICKS, 30, 70])
def test_the_reason_is_the_click_without_which_the_score_is_lowest(clicks: int) -> None:
    data = histories([clicks] * USERS)
    records = states(data)
    picks, age = picked(records), data.from_last()
    tried = min(clicks, CLICKS)
    without = np.stack([scores(states(data.take(age != gone)), picks) for gone in range(tried)])
    clicked = np.stack([data.last(gone) for gone in range(tried)])
    named = because(records, picks)
    for user, slot in np.ndindex(named.shape):
        falls = picks.score[user, slot] - without[:, user, slot]
        order = np.argsort(falls)
        if tried > 1 and falls[order[-1]] - falls[order[-2]] < 1e-2:
            continue  # times are bracketed, so a near tie may go either way
        item = int(clicked[order[-1], user])
        assert named[user, slot] == (item if falls[order[-1]] > 0 and item < ITEMS else -1)


def test_users_without_clicks_have_no_reason() -> None:
    records = states(histories([0, 1, 0]))
    named = because(records, picked(records))
    assert (named[[0, 2]] == -1).all()


def test_one_click_is_the_reason_of_what_it_raised() -> None:
    data = histories([1] * USERS, items=ITEMS)
    records = states(data)
    picks, nothing = picked(records), states(histories([0] * USERS))
    raised = picks.score > scores(nothing, picks)
    expected = np.where(raised, data.last()[:, None], -1)
    np.testing.assert_array_equal(because(records, picks), expected)


def test_an_item_that_was_clicked_again_and_again_is_named_once_or_not() -> None:
    records = states(histories([8] * USERS, items=1))
    assert set(np.unique(because(records, picked(records)))) <= {-1, 0}


def test_an_item_that_the_index_does_not_have_is_never_named() -> None:
    data = histories([6] * USERS)
    unknown = Interactions.take(data, np.arange(len(data)))
    unknown.item[:] = ITEMS + unknown.item % UNKNOWN
    records = states(unknown)
    assert (because(records, picked(records)) == -1).all()


def test_picks_that_are_missing_have_no_reason() -> None:
    records = states(histories([400, 3]))
    picks = picked(records)
    picks.item[0], picks.score[0] = -1, -np.inf
    named = because(records, picks)
    assert (named[0] == -1).all()
    np.testing.assert_array_equal(named[1], because(records, picked(records))[1])


def test_rows_choose_users_and_states_stay() -> None:
    records = states(histories([5, 1, 9, 0, 3]))
    kept, picks, rows = records.tobytes(), picked(records), np.array([4, 2], np.int64)
    some = Picks(picks.item[rows], picks.score[rows], picks.facet[rows], picks.topic[rows])
    named = EXPLAINER.because(records, rows, some, read_out)
    np.testing.assert_array_equal(named, because(records, picks)[rows])
    assert records.tobytes() == kept


def test_nobody_to_explain_to() -> None:
    records = states(histories([2]))
    none = np.empty(0, np.int64)
    picks = picked(records[:0])
    assert EXPLAINER.because(records, none, picks, read_out).shape == (0, K)
