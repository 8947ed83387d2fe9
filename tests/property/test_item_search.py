"""The compiled item search against sorting, for any catalogue, history and list length."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.catalog.index import ItemIndex
from model_store.encoder.columns import BLEND, VECTORS
from model_store.state.layout import DIM, REC_ITEMS, RING, USER


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    items=st.integers(1, 150),
    k=st.integers(1, 20),
    seen=st.integers(0, RING),
    last=st.integers(0, REC_ITEMS),
    skip=st.booleans(),
    levels=st.sampled_from([2, 1000]),
)
def test_picks_are_a_sorted_list_without_what_is_left_out(
    seed: int, items: int, k: int, seen: int, last: int, skip: bool, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    names = tuple(f"i{number}" for number in range(items))
    # Whole numbers: scores are exact, and with two levels nearly all of them are ties.
    vectors = np.zeros((items, DIM), np.float32)
    vectors[:, 0] = rng.integers(-levels, levels, items)
    bias = rng.integers(-levels, levels, items).astype(np.float32)
    index = ItemIndex.of(names, names, vectors, bias, np.zeros((items, 0), np.float32))
    records = np.zeros(1, USER)
    clicked, offered = rng.integers(0, items, seen), rng.permutation(items)[:last]
    records["ring"][0, :seen] = index.hashes[clicked]
    records["rec_item"][0, : len(offered)] = (index.hashes[offered] & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    outputs = np.zeros((1, VECTORS + BLEND), np.float32)
    outputs[0, 0] = 1.0

    picks = index.recommend(records, np.zeros(1, np.int64), outputs, k, np.array([skip]))

    left_out = set(clicked.tolist()) | (set(offered.tolist()) if skip else set())
    scores = (vectors[:, 0] + bias).tolist()
    best = sorted((item for item in range(items) if item not in left_out), key=lambda item: (-scores[item], item))[:k]
    assert picks.item[0].tolist() == best + [-1] * (k - len(best))
    assert picks.score[0, : len(best)].tolist() == [scores[item] for item in best]
