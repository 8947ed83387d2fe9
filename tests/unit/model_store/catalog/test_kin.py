"""Items alike by their text, against all pairs; what is counted of them, and what that adds."""

import numpy as np
import numpy.typing as npt
import pytest

from model_store.catalog.kin import CLASSES, NEAREST, Kin
from model_store.catalog.transitions import LAG_WEIGHTS

Float32 = npt.NDArray[np.float32]
WIDTH, ITEMS = 12, 90
RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=WIDTH).astype(np.float32)


def texts() -> Float32:
    """Families of six around centres of their own; two items without a text."""
    centres = RNG.normal(size=(ITEMS // 6, WIDTH))
    vectors = MEAN + np.repeat(centres, 6, axis=0) + RNG.normal(0, 0.35, (ITEMS, WIDTH))
    vectors[[4, 50]] = 0
    return vectors.astype(np.float32)


def nearest(vectors: Float32) -> list[dict[int, float]]:
    """For each item those it is most like, and how much."""
    around = vectors - MEAN
    found: list[dict[int, float]] = []
    for item in range(ITEMS):
        cosines = {
            other: float(around[item] @ around[other] / np.linalg.norm(around[item]) / np.linalg.norm(around[other]))
            for other in range(ITEMS)
            if other != item and vectors[other].any() and vectors[item].any()
        }
        best = sorted(cosines, key=lambda other: -cosines[other])[:NEAREST]
        found.append({other: cosines[other] for other in best if cosines[other] >= CLASSES[0]})
    return found


def class_of(likeness: float) -> int:
    return max(place for place, edge in enumerate(CLASSES) if likeness >= edge)


@pytest.mark.parametrize("order", [[range(ITEMS)], [range(60), range(60, ITEMS)], [[item] for item in range(ITEMS)]])
def test_kinship_is_that_of_all_pairs_however_items_come(order: list[list[int]]) -> None:
    vectors = texts()
    kin = Kin(MEAN)
    for rows in order:
        kin.tell(np.array(rows), vectors[list(rows)], max(rows) + 1)
    for item, wanted in enumerate(nearest(vectors)):
        near, likeness = kin._near[item], kin._likeness[item]
        assert set(near[near >= 0].tolist()) == set(wanted)
        np.testing.assert_allclose(
            likeness[near >= 0], [wanted[other] for other in near[near >= 0].tolist()], atol=1e-5
        )
    assert len(kin) == ITEMS


def test_chances_are_counted_by_how_alike_the_items_are() -> None:
    vectors = texts()
    kin, truth = Kin(MEAN), nearest(vectors)
    kin.tell(np.arange(ITEMS), vectors, ITEMS)
    last = RNG.integers(-1, ITEMS, 3_000).astype(np.int32)
    wanted = np.where(RNG.random(3_000) < 0.5, last // 6 * 6 + RNG.integers(0, 6, 3_000), RNG.integers(0, ITEMS, 3_000))
    kin.count(last[:1_000], wanted[:1_000].astype(np.int32))
    kin.count(last[1_000:], wanted[1_000:].astype(np.int32))
    occasions, clicks = np.zeros(len(CLASSES)), np.zeros(len(CLASSES))
    for before, after in zip(last.tolist(), wanted.tolist(), strict=True):
        for other, likeness in (truth[before] if before >= 0 else {}).items():
            occasions[class_of(likeness)] += 1
            clicks[class_of(likeness)] += other == after
    np.testing.assert_array_equal(kin.occasions, occasions)
    np.testing.assert_array_equal(kin.clicks, clicks)
    np.testing.assert_allclose(kin.chances(), clicks / (occasions + 1_000))


def test_a_score_gains_by_how_much_likelier_the_item_is_than_usual() -> None:
    vectors = texts()
    kin, truth = Kin(MEAN), nearest(vectors)
    kin.tell(np.arange(ITEMS), vectors, ITEMS)
    kin.occasions[:], kin.clicks[:] = 500, np.arange(len(CLASSES)) * 10  # nothing for the first class
    popular = RNG.integers(0, 50, ITEMS).astype(np.float64)
    recent = np.array([[0, 7, -1], [13, 13, 14], [4, -1, -1], [-1, -1, -1]], np.int32)
    scores = np.zeros((4, ITEMS), np.float32)
    kin.transitions(popular).add_to(scores, recent)
    for user, items in enumerate(recent.tolist()):
        for item in range(ITEMS):
            usual, chance = (popular[item] + 1) / (popular.sum() + ITEMS), 0.0
            for lag, last in zip(LAG_WEIGHTS, items, strict=True):
                if last >= 0 and item in truth[last]:
                    chance += lag * kin.chances()[class_of(truth[last][item])]
            assert scores[user, item] == pytest.approx(np.log(1 + chance / usual), abs=1e-4)
    assert not scores[2:].any()


def test_without_evidence_nothing_is_added() -> None:
    kin = Kin(MEAN)
    kin.tell(np.arange(ITEMS), texts(), ITEMS)
    assert not len(kin.transitions(np.ones(ITEMS)).after)
    assert not len(Kin(MEAN))
