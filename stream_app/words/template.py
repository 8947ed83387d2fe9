"""An explanation without a language model."""

from collections.abc import Iterator, Mapping

from stream_app.words.facts import Facts, Recommended
from stream_app.words.phrases import Language, Phrases, listed, phrases_of, reason_by_facet

# By whether a click and a topic are known; without either the facet is the reason.
_REASONS: dict[Language, Mapping[tuple[bool, bool], str]] = {
    "en": {
        (True, True): "because you clicked {clicked} and like {topic}",
        (True, False): "because you clicked {clicked}",
        (False, True): "because you like {topic}",
    },
    "zh": {
        (True, True): "因为你点击过{clicked}，也喜欢{topic}",
        (True, False): "因为你点击过{clicked}",
        (False, True): "因为你喜欢{topic}",
    },
}


def by_template(facts: Facts, language: Language) -> str:
    """One paragraph; the same for the same facts."""
    phrases = phrases_of(facts, language)
    told = [*(_english if language == "en" else _chinese)(facts, phrases)]
    if not told:
        return "Nothing is known of your interests yet." if language == "en" else "目前还不了解你的兴趣。"
    return phrases.filled((" " if language == "en" else "").join(told))


def _english(facts: Facts, phrases: Phrases) -> Iterator[str]:
    if facts.topics:
        yield f"You are most interested in {listed(_weighed(facts, phrases, ' ([{}])'), 'en')}."
    if facts.counts:
        yield f"In [W1] you made {listed([one.written for one in phrases.of('count')], 'en')}."
    if facts.clicked:
        yield f"Recently you clicked {listed([phrases.clicked[item].written for item in facts.clicked], 'en')}."
    if facts.recommended:
        yield f"Recommended now: {'; '.join(_recommended(one, phrases, 'en') for one in facts.recommended)}."


def _chinese(facts: Facts, phrases: Phrases) -> Iterator[str]:
    if facts.topics:
        yield f"你最感兴趣的是{listed(_weighed(facts, phrases, '（[{}]）'), 'zh')}。"
    if facts.counts:
        yield f"在[W1]内，你有{listed([one.written for one in phrases.of('count')], 'zh')}。"
    if facts.clicked:
        yield f"你最近点击了{listed([phrases.clicked[item].written for item in facts.clicked], 'zh')}。"
    if facts.recommended:
        yield f"现在推荐：{'；'.join(_recommended(one, phrases, 'zh') for one in facts.recommended)}。"


def _weighed(facts: Facts, phrases: Phrases, share: str) -> list[str]:
    marks = zip(facts.topics, phrases.of("share"), strict=True)
    return [phrases.topics[name].written + share.format(weight.mark) for (name, _), weight in marks]


def _recommended(one: Recommended, phrases: Phrases, language: Language) -> str:
    comma = ", " if language == "en" else "，"
    return phrases.recommended[one.item].written + comma + _why(one, phrases, language)


def reason_in_words(one: Recommended, language: Language = "en") -> str:
    """Why an item is recommended, as a part of a sentence, whatever stands in titles and topics."""
    return _reason(one, f"“{one.because.name}”" if one.because else "", one.topic, language)


def _why(one: Recommended, phrases: Phrases, language: Language) -> str:
    clicked = phrases.clicked[one.because].written if one.because else ""
    return _reason(one, clicked, phrases.topics[one.topic].written if one.topic else "", language)


def _reason(one: Recommended, clicked: str, topic: str, language: Language) -> str:
    reason = _REASONS[language].get((bool(clicked), bool(topic)))
    return reason.format(clicked=clicked, topic=topic) if reason else reason_by_facet(one.facet, language)
