"""Which items are alike, against loops; and an item that a learner is told of."""

import numpy as np

from model_store.state.layout import FACET_DIM
from model_store.training.online.newcomers import Told, alike

RNG = np.random.default_rng(0)


def test_alike_are_the_largest_cosines_both_ways_round() -> None:
    content = RNG.normal(size=(40, FACET_DIM)).astype(np.float32)
    content[[3, 17]] = 0
    rows = np.array([0, 3, 5, 39])
    first, second = alike(content, rows, 4)
    wanted = set()
    for row in (0, 5, 39):
        others = [other for other in range(40) if other not in (row, 3, 17)]
        cosines = {
            other: content[row] @ content[other] / np.linalg.norm(content[row]) / np.linalg.norm(content[other])
            for other in others
        }
        for other in sorted(others, key=lambda other: -cosines[other])[:4]:
            wanted |= {(row, other), (other, row)}
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == wanted


def test_a_catalogue_of_one_has_nothing_alike() -> None:
    content = np.zeros((3, FACET_DIM), np.float32)
    content[1] = 1
    first, second = alike(content, np.arange(3), 5)
    assert len(first) == len(second) == 0


def test_what_is_said_twice_of_an_item_counts_once_and_the_first_time() -> None:
    told = Told(
        ["a", "b", "a"], ["A", "B", "other"], np.eye(3, FACET_DIM, dtype=np.float32), np.zeros((3, 2), np.float32)
    )
    once = told.first_of_each()
    assert (once.ids, once.titles) == (["a", "b"], ["A", "B"])
    assert once.content[:, :2].tolist() == [[1, 0], [0, 1]]
    assert told.take(np.array([1])).ids == ["b"]
