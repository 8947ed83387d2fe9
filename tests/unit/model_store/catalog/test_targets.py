"""What topics and creators stand for, against means in plain Python."""

from dataclasses import replace

import numpy as np

from model_store.catalog.index import ItemIndex
from model_store.catalog.targets import directions_of
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM

RNG = np.random.default_rng(3)
ITEMS = 30
VECTORS = RNG.normal(size=(ITEMS, DIM)).astype(np.float32)
TOPICS = ("a", "b", "empty")
SHARES = np.concatenate([RNG.integers(0, 3, (ITEMS, 2)), np.zeros((ITEMS, 1))], axis=1).astype(np.float32)
NAMES = tuple(f"i{number}" for number in range(ITEMS))
INDEX = ItemIndex.of(NAMES, NAMES, VECTORS, np.zeros(ITEMS, np.float32), SHARES)
CREATORS = tuple(("", "acme", "zeta", "")[number % 4] for number in range(ITEMS))


def _of(directions: object, name: str) -> np.ndarray | None:
    hashes, _, vectors = directions.arrays  # type: ignore[attr-defined]
    at = np.flatnonzero(hashes == hash_ids([name]).hash)
    return vectors[at[0]] if len(at) else None


def _expected(weights: list[float]) -> np.ndarray:
    mean = sum(weight * row.astype(float) for weight, row in zip(weights, VECTORS, strict=True)) / sum(weights)
    away = mean - VECTORS.astype(float).mean(axis=0)
    return away / np.sqrt((away**2).mean())


def test_topics_and_creators_are_where_their_items_lie() -> None:
    found = directions_of(INDEX, TOPICS, CREATORS)
    shares = INDEX.shares
    for column, topic in enumerate(TOPICS[:2]):
        np.testing.assert_allclose(_of(found, f"topic:{topic}"), _expected(shares[:, column].tolist()), atol=1e-4)
    for creator in ("acme", "zeta"):
        of = [float(one == creator) for one in CREATORS]
        np.testing.assert_allclose(_of(found, f"creator:{creator}"), _expected(of), atol=1e-4)
    assert len(found) == len(TOPICS) + 2


def test_a_topic_without_items_says_nothing() -> None:
    found = _of(directions_of(INDEX, TOPICS), "topic:empty")
    assert found is not None
    assert not found.any()


def test_nothing_is_known_without_topics_items_or_creators() -> None:
    plain = replace(INDEX, shares=np.zeros((ITEMS, 0), np.float32))
    assert not len(directions_of(plain, ()))
    assert not len(directions_of(plain, (), ("",) * ITEMS))
    nobody = ItemIndex.of((), (), np.zeros((0, DIM), np.float32), np.zeros(0, np.float32), np.zeros((0, 3), np.float32))
    assert not len(directions_of(nobody, TOPICS))
