"""Which items are alike, against loops."""

import numpy as np

from model_store.state.layout import FACET_DIM
from model_store.training.online.alike import alike

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
