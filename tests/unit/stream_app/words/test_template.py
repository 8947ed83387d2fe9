"""The template against paragraphs written by hand."""

import pytest

from stream_app.words.facts import Counts, Facts, Item, Recommended
from stream_app.words.phrases import LANGUAGES, Language
from stream_app.words.template import by_template

SAMURAI, HEAT, RAN, UP, M = (Item(title) for title in ("Seven Samurai", "Heat", "Ran", "Up", "M"))
WHOLE = Facts(
    topics=(("Drama", 0.314), ("War", 0.22), ("Crime", 0.1)),
    counts=Counts("24h", 1_200, 3, 1),
    clicked=(SAMURAI, HEAT),
    recommended=(
        Recommended(RAN, "content", "War", SAMURAI),
        Recommended(UP, "behaviour", "", HEAT),
        Recommended(M, "social"),
    ),
    known_topics=("Drama", "War", "Crime", "Comedy"),
)


def test_everything_in_english() -> None:
    assert by_template(WHOLE, "en") == (
        "You are most interested in Drama (31%), War (22%) and Crime (10%). In the 24 hours up to your latest activity "
        "you made 1,200 clicks, 3 ratings and 1 follow. Recently you clicked “Seven Samurai” and “Heat”. Recommended "
        "now: “Ran”, because you clicked “Seven Samurai” and like War; “Up”, because you clicked “Heat”; “M”, because "
        "of whom you follow."
    )


def test_everything_in_chinese() -> None:
    assert by_template(WHOLE, "zh") == (
        "你最感兴趣的是Drama（31%）、War（22%）和Crime（10%）。在最近一次活动前的24小时内，你有1200次点击、3次评分和1次关注。"
        "你最近点击了“Seven Samurai”和“Heat”。现在推荐：“Ran”，因为你点击过“Seven Samurai”，也喜欢War；“Up”，因为你"
        "点击过“Heat”；“M”，依据你关注的对象。"
    )


@pytest.mark.parametrize(
    ("facts", "english", "chinese"),
    [
        (Facts(), "Nothing is known of your interests yet.", "目前还不了解你的兴趣。"),
        (Facts((("Drama", 1.0),)), "You are most interested in Drama (100%).", "你最感兴趣的是Drama（100%）。"),
        (
            Facts(counts=Counts("30d", 0, 0, 2)),
            "In the 30 days up to your latest activity you made 2 follows.",
            "在最近一次活动前的30天内，你有2次关注。",
        ),
        (
            Facts(counts=Counts("7d", 1, 1, 0), recommended=(Recommended(RAN, "behaviour", "War"),)),
            "In the 7 days up to your latest activity you made 1 click and 1 rating. Recommended now: “Ran”, because "
            "you like War.",
            "在最近一次活动前的7天内，你有1次点击和1次评分。现在推荐：“Ran”，因为你喜欢War。",
        ),
        (
            Facts(recommended=(Recommended(RAN, "content"), Recommended(UP, "behaviour"))),
            "Recommended now: “Ran”, because of what it is about; “Up”, because of what you click and rate.",
            "现在推荐：“Ran”，依据它的内容；“Up”，依据你的点击和评分。",
        ),
    ],
)
def test_what_is_not_known_is_left_out(facts: Facts, english: str, chinese: str) -> None:
    assert by_template(facts, "en") == english
    assert by_template(facts, "zh") == chinese


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_that_look_like_marks_stay_as_they_are(language: Language) -> None:
    odd = Item("[R1] {topic} %s")
    text = by_template(Facts((("[P1]", 0.5),), None, (odd,), (Recommended(odd, "content", "[T1]", odd),)), language)
    assert text.count("“[R1] {topic} %s”") == 3
    assert text.count("[P1]") == text.count("[T1]") == 1
