"""What is told, as phrases of a language. Each has a mark, such as [T1], that stands for it in a text."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from stream_app.contracts.recommendations import Facet
from stream_app.words.facts import Counts, Facts, Item

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
Kind = Literal["topic", "share", "time", "count", "clicked", "recommended"]
Named = TypeVar("Named", str, Item)

MARK = re.compile(r"\[([A-Z][0-9])\]")

_WINDOWS: dict[Language, Mapping[str, str]] = {
    "en": {
        "24h": "the 24 hours up to your latest activity",
        "7d": "the 7 days up to your latest activity",
        "30d": "the 30 days up to your latest activity",
    },
    "zh": {"24h": "最近一次活动前的24小时", "7d": "最近一次活动前的7天", "30d": "最近一次活动前的30天"},
}
_FACETS: dict[Language, Mapping[Facet, str]] = {
    "en": {
        "behaviour": "because of what you click and rate",
        "social": "because of whom you follow",
        "content": "because of what it is about",
    },
    "zh": {"behaviour": "依据你的点击和评分", "social": "依据你关注的对象", "content": "依据它的内容"},
}


@dataclass(frozen=True, slots=True)
class Phrase:
    """`mark`: without brackets; `kind`: what it tells; `reads`: in the language."""

    mark: str
    kind: Kind
    reads: str

    @property
    def written(self) -> str:
        return f"[{self.mark}]"


@dataclass(frozen=True, slots=True)
class Phrases:
    """Of some facts in a language, in the order in which they are told."""

    all: tuple[Phrase, ...]
    topics: Mapping[str, Phrase]
    clicked: Mapping[Item, Phrase]
    recommended: Mapping[Item, Phrase]

    def of(self, *kinds: Kind) -> list[Phrase]:
        return [phrase for phrase in self.all if phrase.kind in kinds]

    def filled(self, text: str) -> str:
        """The text with phrases in the place of their marks. Raises KeyError for a mark that stands for nothing."""
        reads = {phrase.mark: phrase.reads for phrase in self.all}
        return MARK.sub(lambda found: reads[found[1]], text)


def phrases_of(facts: Facts, language: Language) -> Phrases:
    """Shares have the number of their topic."""
    weighed = [name for name, _ in facts.topics]
    others = [one.topic for one in facts.recommended if one.topic]
    topics = _numbered("T", "topic", dict.fromkeys([*weighed, *others]))
    shares = [Phrase(f"P{number}", "share", f"{weight:.0%}") for number, (_, weight) in enumerate(facts.topics, 1)]
    told = _activity(facts.counts, language) if facts.counts else []
    because = [one.because for one in facts.recommended if one.because]
    clicked = _numbered("C", "clicked", dict.fromkeys([*facts.clicked, *because]))
    recommended = _numbered("R", "recommended", dict.fromkeys(one.item for one in facts.recommended))
    return Phrases(
        (*topics.values(), *shares, *told, *clicked.values(), *recommended.values()), topics, clicked, recommended
    )


def reason_by_facet(facet: Facet, language: Language) -> str:
    """Why an item is recommended of which no more is known than the facet."""
    return _FACETS[language][facet]


def listed(parts: Sequence[str], language: Language) -> str:
    """One after the other, with a word before the last."""
    comma, last = (", ", " and ") if language == "en" else ("、", "和")
    return last.join(filter(None, [comma.join(parts[:-1]), *parts[-1:]]))


def _numbered(letter: str, kind: Kind, named: Iterable[Named]) -> dict[Named, Phrase]:
    return {one: Phrase(f"{letter}{number}", kind, _reads(one)) for number, one in enumerate(named, 1)}


def _reads(named: str | Item) -> str:
    return f"“{named.name}”" if isinstance(named, Item) else named


def _activity(counts: Counts, language: Language) -> list[Phrase]:
    told = [Phrase(f"N{number}", "count", text) for number, text in enumerate(_counted(counts, language), 1)]
    return [Phrase("W1", "time", _WINDOWS[language][counts.window]), *told]


def _counted(counts: Counts, language: Language) -> Iterator[str]:
    words = (("click", "次点击"), ("rating", "次评分"), ("follow", "次关注"))
    for count, (english, chinese) in zip((counts.clicks, counts.ratings, counts.follows), words, strict=True):
        if count:
            yield f"{count:,} {english}{'s' * (count != 1)}" if language == "en" else f"{count}{chinese}"
