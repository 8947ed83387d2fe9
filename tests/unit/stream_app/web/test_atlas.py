"""The plane of items against what its definition says, on items whose topics lie apart."""

import numpy as np
import numpy.typing as npt
import pytest

from stream_app.web.atlas import CLOSEST, Atlas, directions_of, unit

DIM = 16
TOPICS = ("left", "right", "empty")


def items(each: int = 40, seed: int = 1) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int16]]:
    """Two clouds, and some items without a topic in between."""
    rng = np.random.default_rng(seed)
    middle = np.zeros((3, DIM), np.float32)
    middle[0, 3], middle[1, 3] = -1, 1
    vectors = np.concatenate([rng.normal(one, 0.3, (each, DIM)) for one in middle]).astype(np.float32)
    return vectors, np.repeat(np.array([0, 1, -1], np.int16), each)


def atlas() -> Atlas:
    vectors, topic = items()
    ids = [f"i{number}" for number in range(len(vectors))]
    return Atlas.of("model", ids, [f"Title {name}" for name in ids], TOPICS, topic, vectors)


def test_points_fill_the_plane_and_topics_lie_apart() -> None:
    one = atlas()
    assert np.abs(one.points).max() == pytest.approx(1, abs=1e-6)
    left, right = (one.points[one.topic == number, 0] for number in (0, 1))
    assert max(left.max(), right.max()) > 0 > min(left.min(), right.min())
    assert abs(left.mean() - right.mean()) > 3 * (left.std() + right.std()) / 2


def test_the_same_items_give_the_same_picture() -> None:
    np.testing.assert_array_equal(atlas().points, atlas().points)


def test_a_user_stands_in_the_middle_of_the_closest_items() -> None:
    one = atlas()
    vectors, topic = items()
    interest = vectors[topic == 1].mean(axis=0)
    cosines = [float(interest @ v) / float(np.linalg.norm(interest) * np.linalg.norm(v)) for v in vectors]
    closest = sorted(range(len(vectors)), key=lambda row: -cosines[row])[:CLOSEST]
    place = one.place_of(interest)
    assert place is not None
    np.testing.assert_allclose(place, one.points[closest].mean(axis=0), atol=1e-6)
    assert one.place_of(3 * interest) == pytest.approx(place)
    assert one.place_of(np.zeros(DIM, np.float32)) is None
    assert one.place_of(np.ones(DIM + 1, np.float32)) is None  # of another generation's model


def test_an_interest_leans_to_the_topic_of_its_items() -> None:
    one = atlas()
    vectors, topic = items()
    leaning = one.leaning(vectors[topic == 0].mean(axis=0))
    assert leaning[0] > 0.7
    assert leaning[1] < 0
    assert leaning[2] == 0  # of a topic without items nothing is known
    assert not one.leaning(np.ones(DIM + 1, np.float32)).any()


def test_directions_have_length_one() -> None:
    vectors, topic = items()
    lengths = np.linalg.norm(directions_of(vectors, topic, 3), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 0], atol=1e-6)
    np.testing.assert_array_equal(unit(np.zeros((2, 3), np.float32)), np.zeros((2, 3)))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_items_are_items_too(count: int) -> None:
    vectors, topic = items()
    names = [str(number) for number in range(count)]
    one = Atlas.of("model", names, names, TOPICS, topic[:count], vectors[:count])
    assert np.isfinite(one.points).all()
    assert np.isfinite(one.place_of(vectors[0]) or ()).all()


def test_search_by_words_and_by_id() -> None:
    one = atlas()
    assert one.search("title I11")[0] == ("i11", "Title i11")
    assert one.search(" i7 ")[0] == ("i7", "Title i7")
    assert len(one.search("title")) == 12
    assert one.search("") == one.search("nothing like it") == []
