"""Rows that hardly moved stay as they were published, and never drift away."""

import numpy as np
import numpy.typing as npt
import pytest

from model_store.catalog.index import ItemIndex
from model_store.encoder.columns import PRIORS
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM
from model_store.training.online.settled import settled

ITEMS, LEAST = 200, 0.05


def index_of(vectors: npt.NDArray[np.float32], seed: int = 0) -> ItemIndex:
    rng, ids = np.random.default_rng(seed), tuple(f"i{item}" for item in range(len(vectors)))
    bias, priors = rng.normal(size=len(ids)), rng.normal(size=(len(ids), PRIORS))
    topic = np.zeros(len(ids), np.int16)
    return ItemIndex(
        ids, ids, hash_ids(ids).hash, vectors, bias.astype(np.float32), topic, priors=priors.astype(np.float32)
    )


def size_of(rows: npt.NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(rows.astype(np.float64) ** 2)))


def test_what_moved_is_new_and_the_rest_is_the_same_to_the_bit() -> None:
    vectors = np.random.default_rng(1).normal(size=(ITEMS, DIM)).astype(np.float32)
    published, moved = index_of(vectors), vectors.copy()
    moved[:50] += 0.9 * LEAST
    moved[50:80] += 1.1 * LEAST
    grown = np.concatenate([moved, np.full((3, DIM), 1e-9, np.float32)])
    found = settled(index_of(grown), published, LEAST)
    np.testing.assert_array_equal(found.vectors[:50], vectors[:50])
    np.testing.assert_array_equal(found.vectors[50:], grown[50:])
    assert found.item_ids == index_of(grown).item_ids


def test_it_never_drifts_away_in_small_steps() -> None:
    rng = np.random.default_rng(2)
    learnt = rng.normal(size=(ITEMS, DIM)).astype(np.float32)
    published, republished = index_of(learnt), 0
    for _ in range(30):
        learnt = learnt + rng.normal(0, 0.01, learnt.shape).astype(np.float32)
        found = settled(index_of(learnt), published, LEAST)
        for row, own in zip(found.vectors, learnt, strict=True):
            assert size_of(row - own) <= LEAST * size_of(learnt) * 1.001
        republished += int((found.vectors != published.vectors).any(axis=1).sum())
        published = found
    assert 0 < republished < ITEMS * 30 / 5
    np.testing.assert_array_equal(published.bias, index_of(learnt).bias)


def test_items_in_another_order_are_refused() -> None:
    vectors = np.ones((ITEMS, DIM), np.float32)
    with pytest.raises(ValueError, match="not the first ones"):
        settled(index_of(vectors[1:]), index_of(vectors), LEAST)
