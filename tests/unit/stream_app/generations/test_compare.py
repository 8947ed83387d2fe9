"""How alike two generations see a user."""

import pytest

from stream_app.generations.compare import cosine, overlap


def test_cosine_of_topics_goes_by_their_names() -> None:
    assert cosine({"a": 0.6, "b": 0.4}, {"b": 0.4, "a": 0.6}) == pytest.approx(1)
    assert cosine({"a": 1.0}, {"b": 1.0}) == 0
    assert cosine({"a": 0.5, "b": 0.5}, {"a": 1.0}) == pytest.approx(0.5**0.5)


def test_overlap_is_the_share_of_the_shorter_list() -> None:
    assert overlap(["a", "b", "c", "d"], ["d", "x", "a"]) == pytest.approx(2 / 3)
    assert overlap(["a"], ["a", "b"]) == 1
    assert overlap(["a"], ["b"]) == 0
