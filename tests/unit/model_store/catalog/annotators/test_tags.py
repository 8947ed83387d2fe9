"""Topics by tags, and by the nearest descriptions."""

from collections.abc import Sequence

import numpy as np
import pytest

from model_store.catalog.annotators.port import Annotation
from model_store.catalog.annotators.tags import TagAnnotator
from model_store.catalog.annotators.taxonomy import Taxonomy, Topic
from model_store.catalog.encoders.hashing import HashingEncoder
from model_store.catalog.encoders.port import Float32
from model_store.catalog.errors import MisconfiguredError, RefusedError, UnavailableError
from model_store.catalog.text import ItemText

TAXONOMY = Taxonomy(
    (
        Topic("Crime", "Detectives hunt killers and thieves.", ("Thriller", "犯罪")),
        Topic("Cooking", "Recipes, kitchens and dinners. 菜谱和做法", ("Food",)),
        Topic("Money", "Banks, interest rates and markets.", ("Finance",)),
    )
)


class Vectors:
    """An encoder of two dimensions whose vectors are given; it may fail from the second call on."""

    name, dimension = "given", 2

    def __init__(self, vectors: dict[str, tuple[float, float]], error: Exception | None = None) -> None:
        self.vectors, self.error, self.calls = vectors, error, 0

    def encode(self, texts: Sequence[str]) -> Float32:
        self.calls += 1
        if self.error and self.calls > 1:
            raise self.error
        return np.array([self.vectors[text] for text in texts], np.float32).reshape(-1, 2)


def _given(item: tuple[float, float], error: Exception | None = None) -> Vectors:
    """Three topics at 0, 120 and 240 degrees, moved by (1, 1), which all texts have in common."""
    names = [topic.text() for topic in TAXONOMY.topics]
    topics = [(np.cos(a) + 1, np.sin(a) + 1) for a in np.deg2rad([0, 120, 240])]
    return Vectors({**dict(zip(names, topics, strict=True)), "x": item}, error)


def test_tags_name_topics() -> None:
    [found] = TagAnnotator(TAXONOMY).annotate([ItemText("1", "x", tags=("thriller", "犯罪", "food", "other"))])
    assert found == Annotation((("Crime", 2 / 3), ("Cooking", 1 / 3)), source="tags")


def test_without_an_encoder_there_may_be_none() -> None:
    assert (
        TagAnnotator(TAXONOMY).annotate([ItemText("1", "A bank", tags=("other",)), ItemText("2", "")])
        == [Annotation(source="tags")] * 2
    )
    assert TagAnnotator(TAXONOMY).annotate([]) == []


def test_tags_come_before_the_text() -> None:
    encoder = _given((9, 9))
    [found] = TagAnnotator(TAXONOMY, encoder).annotate([ItemText("1", "x", tags=("Food",))])
    assert found.source == "tags"
    assert encoder.calls == 1


def test_the_nearest_topics_by_hand() -> None:
    """20 degrees from the first topic and 100 from the second; what is behind does not count."""
    angle = np.deg2rad(20)
    [found] = TagAnnotator(TAXONOMY, _given((np.cos(angle) + 1, np.sin(angle) + 1))).annotate([ItemText("1", "x")])
    assert found.source == "nearest"
    assert found.topics == (("Crime", pytest.approx(1.0)),)
    angle = np.deg2rad(50)
    [found] = TagAnnotator(TAXONOMY, _given((np.cos(angle) + 1, np.sin(angle) + 1))).annotate([ItemText("1", "x")])
    odds = np.exp([np.cos(angle) / 0.1, np.cos(np.deg2rad(70)) / 0.1])
    assert dict(found.topics) == pytest.approx(
        {"Crime": odds[0] / odds.sum(), "Cooking": odds[1] / odds.sum()}, rel=1e-4
    )


@pytest.mark.parametrize(
    "title", ["A detective hunts the killers", "Dinner recipes", "红烧肉的做法", "Interest rates rise"]
)
def test_real_vectors(title: str) -> None:
    expected = {"A": "Crime", "D": "Cooking", "红": "Cooking", "I": "Money"}[title[0]]
    [found] = TagAnnotator(TAXONOMY, HashingEncoder()).annotate([ItemText("1", title)])
    assert found.topics[0][0] == expected
    assert sum(weight for _, weight in found.topics) == pytest.approx(1)


def test_what_says_nothing_has_no_topics() -> None:
    annotator = TagAnnotator(TAXONOMY, HashingEncoder())
    assert annotator.annotate([ItemText("3", "Жук"), ItemText("4", "Oxymoron")]) == [Annotation()] * 2
    assert annotator.annotate([ItemText("1", "…"), ItemText("2", "")]) == [Annotation()] * 2
    single = TagAnnotator(Taxonomy(TAXONOMY.topics[:1]), HashingEncoder())
    assert single.annotate([ItemText("1", "A bank")]) == [Annotation()]


@pytest.mark.parametrize("error", [UnavailableError("busy"), RefusedError("no")])
def test_an_encoder_that_fails_leaves_no_topics(error: Exception) -> None:
    items = [ItemText("1", "x"), ItemText("2", "y", tags=("Food",))]
    found = TagAnnotator(TAXONOMY, _given((1, 1), error)).annotate(items)
    assert found == [Annotation(), Annotation((("Cooking", 1.0),))]


def test_an_encoder_that_never_works_is_said() -> None:
    with pytest.raises(MisconfiguredError):
        TagAnnotator(TAXONOMY, _given((1, 1), MisconfiguredError("key"))).annotate([ItemText("1", "x")])
