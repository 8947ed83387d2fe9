"""Transitions against plain loops."""

import math
from itertools import pairwise

import numpy as np
import pytest

from model_store.catalog.transitions import Transitions, recent_rows
from model_store.state.arena import Arena
from model_store.state.layout import RING
from model_store.state.writes import WriteTable

ITEMS = 7
HISTORIES = ([0, 1, 2, 1, 2], [3, 1, 2], [5], [2, 0, 2, 0], [1, 2, 4])


@pytest.fixture
def transitions() -> Transitions:
    user = np.repeat(np.arange(len(HISTORIES), dtype=np.int32), [len(history) for history in HISTORIES])
    return Transitions.count(user, np.concatenate(HISTORIES).astype(np.int32), ITEMS)


def _share(before: int, after: int) -> float:
    pairs = [pair for history in HISTORIES for pair in pairwise(history)]
    return pairs.count((before, after)) / (sum(first == before for first, _ in pairs) + 5)


def test_shares_against_plain_loops(transitions: Transitions) -> None:
    recent = np.array([[2, 1, 0], [1, -1, -1], [6, 2, 3], [-1, -1, -1]], np.int32)
    found = transitions.shares(recent)
    for user, last in enumerate(recent.tolist()):
        for item in range(ITEMS):
            known = [(before, weight) for before, weight in zip(last, (1, 0.5, 0.25), strict=True) if before >= 0]
            expected = sum(weight * _share(before, item) for before, weight in known)
            assert found[user, item] == pytest.approx(expected, abs=1e-7)


def test_what_is_added_is_the_weighted_logarithm(transitions: Transitions) -> None:
    recent = np.array([[2, 1, 0], [1, 1, 1]], np.int32)
    shares, scores = transitions.shares(recent), np.full((2, ITEMS), 2.5, np.float32)
    transitions.weighted(0.4).add_to(scores, recent)
    expected = [[2.5 + 0.4 * math.log1p(share / 0.003) for share in row] for row in shares.tolist()]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_chosen_items_get_what_all_get(transitions: Transitions) -> None:
    recent = np.array([[2, 1, 0], [1, -1, 1], [6, 2, 3], [-1, -1, -1]], np.int32)
    more = np.array([0.1, -0.2, 0.0, 3.0], np.float32)
    items = np.array(
        [[0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0], [2, 2, -1, 4, 0, -1, 1], [1, 2, 3, 0, 0, 0, 6]], np.int32
    )
    every, chosen = np.zeros((4, ITEMS), np.float32), np.zeros((4, ITEMS), np.float32)
    transitions.weighted(0.4).add_to(every, recent, more)
    transitions.weighted(0.4).add_to_items(chosen, items, recent, more)
    expected = np.where(items >= 0, np.take_along_axis(every, np.maximum(items, 0), axis=1), 0)
    np.testing.assert_allclose(chosen, expected, rtol=1e-5, atol=1e-7)


def test_without_weight_or_pairs_nothing_is_added(transitions: Transitions) -> None:
    for nothing in (transitions, Transitions.none(ITEMS).weighted(1.0)):
        scores = np.zeros((1, ITEMS), np.float32)
        nothing.add_to(scores, np.array([[1, 2, 0]], np.int32))
        nothing.add_to_items(scores, np.arange(ITEMS, dtype=np.int32)[None], np.array([[1, 2, 0]], np.int32))
        assert not scores.any()


def test_the_last_clicks_are_found_in_the_ring() -> None:
    hashes = np.arange(1, RING + 3, dtype=np.uint64)
    table = WriteTable(hashes, np.zeros((len(hashes), 64), np.float32), np.zeros((len(hashes), 24), np.float32))
    arena = Arena(4)
    rows = arena.rows_of([b"none", b"two", b"many", b"odd"])
    for user, clicked in ((1, [8, 9]), (2, list(range(1, RING + 3))), (3, [7, 999, 5])):
        for item in clicked:
            record = arena.records[rows[user]]
            record["ring"][record["clicks"] % RING] = item
            record["clicks"] += 1
    found = recent_rows(arena.records, rows, table.item_hashes, table.slots)
    last = RING + 1
    assert found.tolist() == [[-1, -1, -1], [8, 7, -1], [last, last - 1, last - 2], [4, -1, 6]]
