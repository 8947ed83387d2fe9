"""What an explanation is made from: topics, counters, items clicked of late, and recommendations with reasons."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from model_store.catalog.annotators.suspicion import instructs
from model_store.catalog.strangers import one_line
from stream_app.client import Interest, Window
from stream_app.contracts import recommendations
from stream_app.contracts.recommendations import Facet, Recommendation
from stream_app.contracts.validity import MAX_ID_BYTES

TOPICS, CLICKED, RECOMMENDED = 3, 3, 3
MIN_WEIGHT = 0.05
"""A topic that weighs less is not worth a word, unless it is the heaviest."""
MAX_TITLE = 80
WINDOWS = ("24h", "7d", "30d")
"""Of these the shortest in which anything happened is told."""

_QUOTES = str.maketrans(dict.fromkeys('“”„«»《》「」『』"', "'"))  # titles stand between quotation marks


@dataclass(frozen=True, slots=True)
class Item:
    """An item by its title; by its id where nobody has told of a title (not `titled`). `tellable`: whether a language
    model may read the name: a title in which the user's id does not stand, and that does not speak to the model."""

    name: str
    titled: bool = True
    tellable: bool = True


@dataclass(frozen=True, slots=True)
class Recommended:
    """A recommended item and why: `topic` or "", and the click that raised its score, if one did."""

    item: Item
    facet: Facet
    topic: str = ""
    because: Item | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened in a window of time before the user's latest event, and in it."""

    window: str
    clicks: int
    ratings: int
    follows: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Neither who the user is nor whom they follow is among them.

    Attributes:
        topics: name and weight (0..1), the heaviest first, at most `TOPICS`.
        counts: None where no window has an event.
        clicked: items clicked of late, as far as recommendations name them, at most `CLICKED`.
        recommended: best first, at most `RECOMMENDED`.
        known_topics: all that the model tells apart.
    """

    topics: tuple[tuple[str, float], ...] = ()
    counts: Counts | None = None
    clicked: tuple[Item, ...] = ()
    recommended: tuple[Recommended, ...] = ()
    known_topics: tuple[str, ...] = ()

    def items(self) -> Iterator[Item]:
        """All that are named; some repeatedly."""
        yield from self.clicked
        yield from (one.item for one in self.recommended)
        yield from (one.because for one in self.recommended if one.because)


def items_asked(recommendation: Recommendation | None) -> list[str]:
    """Ids of the items whose titles `facts_of` needs."""
    shown = recommendation.items if recommendation else []
    named = [item.item_id for item in shown[:RECOMMENDED]]
    return list(dict.fromkeys([*named, *_clicked_ids(shown), *_because_ids(shown[:RECOMMENDED])]))


def facts_of(
    interest: Interest,
    recommendation: Recommendation | None,
    titles: Mapping[str, str],
    known_topics: tuple[str, ...] = (),
) -> Facts:
    """`titles`: by item id, those that are known."""
    shown = recommendation.items if recommendation else []
    named = _Naming(titles, interest.user_id)
    return Facts(
        _heaviest(interest.topics),
        _counts(interest.windows),
        tuple(named.item(item) for item in _clicked_ids(shown)),
        tuple(named.recommended(item) for item in shown[:RECOMMENDED]),
        tuple(dict.fromkeys([*known_topics, *interest.topics])),
    )


def _heaviest(topics: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    ordered = sorted(topics.items(), key=lambda topic: -topic[1])[:TOPICS]
    return tuple(topic for place, topic in enumerate(ordered) if place == 0 or topic[1] >= MIN_WEIGHT)


def _counts(windows: Mapping[str, Window]) -> Counts | None:
    known = ((name, windows[name]) for name in WINDOWS if name in windows)
    told = (Counts(name, window.clicks, window.ratings, window.follows) for name, window in known)
    return next((one for one in told if one.clicks or one.ratings or one.follows), None)


def _because_ids(items: list[recommendations.Item]) -> list[str]:
    return list(dict.fromkeys(item.reason.because_item for item in items if item.reason.because_item))


def _clicked_ids(items: list[recommendations.Item]) -> list[str]:
    return _because_ids(items)[:CLICKED]


class _Naming:
    """Items by name, of one user."""

    def __init__(self, titles: Mapping[str, str], user_id: str) -> None:
        self._titles = titles
        self._user = re.compile(rf"(?<!\w){re.escape(_folded(user_id))}(?!\w)")

    def recommended(self, item: recommendations.Item) -> Recommended:
        reason = item.reason
        because = self.item(reason.because_item) if reason.because_item else None
        return Recommended(self.item(item.item_id), reason.facet, reason.topic or "", because)

    def item(self, item_id: str) -> Item:
        # As much as an id may be longer, or one that is cut would not be found.
        title = one_line(self._titles.get(item_id, ""), MAX_TITLE + MAX_ID_BYTES)
        if not title:
            return Item(_shown(item_id), titled=False, tellable=False)
        return Item(_shown(title), tellable=not (instructs(title) or self._user.search(_folded(title))))


def _shown(text: str) -> str:
    return one_line(text.translate(_QUOTES), MAX_TITLE).strip()


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
