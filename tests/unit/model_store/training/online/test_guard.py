"""The guard on versions whose worth is known."""

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from model_store.catalog.index import ItemIndex
from model_store.encoder.columns import BLEND, FEATURES, VECTORS
from model_store.encoder.readout import Readout
from model_store.model import InterestModel
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM, RING
from model_store.state.memory import Decays
from model_store.state.writes import empty_table
from model_store.training.online.examples import Clicks
from model_store.training.online.guard import HeldOut, Verdict, judge

ITEMS, CLICKS, ENOUGH = 20, 200, 50
IDS = tuple(f"i{item}" for item in range(ITEMS))


@dataclass
class Same:
    """A readout that says the same of everybody: score of an item is its bias."""

    def large(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.zeros((len(features), VECTORS + BLEND), np.float32)


def version(bias: npt.NDArray[np.float32], items: int = ITEMS) -> InterestModel:
    vectors = np.zeros((items, DIM), np.float32)
    index = ItemIndex.of(IDS[:items], IDS[:items], vectors, bias[:items], np.zeros((items, 0), np.float32))
    return InterestModel("v", 1, (), Decays(), empty_table(), cast(Readout, Same()), index)


def clicks_on(item: npt.NDArray[np.int64]) -> Clicks:
    count = len(item)
    return Clicks(
        user=np.arange(1, count + 1).astype(np.uint64),
        features=np.zeros((count, FEATURES), np.float32),
        ring=np.zeros((count, RING), np.uint64),
        item=hash_ids(list(IDS)).hash[item],
        ts_ms=np.arange(count),
        place=np.arange(count),
    )


# Everybody clicks i3, i4 or i5; one version has them in front, the other behind the rest.
CLICKED = clicks_on(3 + np.arange(CLICKS) % 3)
GOOD = np.where(np.isin(np.arange(ITEMS), (3, 4, 5)), 1.0, 0.0).astype(np.float32) - np.arange(ITEMS) / 100
BAD = -GOOD


def test_the_better_one_is_promoted_and_the_worse_one_is_not() -> None:
    up, down = judge(version(GOOD), version(BAD), CLICKED, ENOUGH), judge(version(BAD), version(GOOD), CLICKED, ENOUGH)
    assert (up.promote, down.promote) == (True, False)
    assert up.candidate == down.served
    np.testing.assert_allclose(up.candidate, np.mean([1, 1 / 2, 1 / 3]), atol=0.01)  # ranks 1, 2, 3 in turn


def test_no_worse_is_good_enough() -> None:
    assert judge(version(GOOD), version(GOOD), CLICKED, ENOUGH).promote
    one_worse = GOOD.copy()
    one_worse[[5, 6]] = one_worse[[6, 5]]
    few = CLICKED.take(np.arange(3))
    assert judge(version(one_worse), version(GOOD), few, ENOUGH).promote  # too few to tell


def test_what_the_user_had_is_left_out() -> None:
    had = CLICKED.ring.copy()
    had[:, 0] = hash_ids(["i3"]).hash[0]
    others = replace(CLICKED, ring=had).take(np.flatnonzero(CLICKED.item != hash_ids(["i3"]).hash[0]))
    np.testing.assert_allclose(judge(version(GOOD), version(BAD), others, ENOUGH).candidate, np.mean([1, 1 / 2]), 0.01)


def test_an_item_that_a_version_does_not_know_counts_nothing_for_it() -> None:
    last = clicks_on(np.full(CLICKS, ITEMS - 1))
    assert judge(version(GOOD, ITEMS - 1), version(GOOD), last, ENOUGH).candidate == 0
    assert judge(version(GOOD), version(GOOD, ITEMS - 1), last, ENOUGH).served == 0


def test_what_is_not_finite_is_refused_even_without_clicks() -> None:
    nan = GOOD.copy()
    nan[7] = np.nan
    for clicks in (CLICKED, CLICKED.take(np.arange(0))):
        assert judge(version(nan), version(GOOD), clicks, ENOUGH) == Verdict(
            False, "it has NaN or infinity in its scores", len(clicks)
        )


def test_held_out_clicks_are_a_share_by_event_and_grow_old() -> None:
    held_out = HeldOut(0.25, seconds=60)
    clicks = clicks_on(np.arange(4_000) % ITEMS)
    events = hash_ids([f"event {number}" for number in range(4_000)]).hash
    left = held_out.split(clicks, events, now_s=0)
    kept = held_out.clicks()
    assert len(left) + len(kept) == 4_000
    assert 900 < len(kept) < 1_100
    again = HeldOut(0.25, 60)
    assert again.split(clicks, events, now_s=5).user.tolist() == left.user.tolist()
    held_out.forget(kept.user[:10])
    assert held_out.clicks().user.tolist() == kept.user[10:].tolist()
    held_out.split(clicks.take(np.arange(0)), events[:0], now_s=61)
    assert len(held_out.clicks()) == 0


def test_none_are_held_out_where_none_are_asked_for() -> None:
    held_out = HeldOut(0.0, 60)
    clicks = clicks_on(np.arange(ITEMS))
    assert len(held_out.split(clicks, np.arange(ITEMS).astype(np.uint64), 0)) == ITEMS
