"""Explanations that were made, in memory: a bounded number, for a bounded time, one for each user and language."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from stream_app.words.explanation import Explanation, Stand
from stream_app.words.phrases import LANGUAGES, Language


@dataclass(frozen=True, slots=True)
class _Kept:
    stand: Stand
    explanation: Explanation
    until_s: float


class Cache:
    """Used by one event loop. The one that was not asked for the longest goes first."""

    def __init__(self, most: int, longest_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._most, self._longest_s, self._clock = most, longest_s, clock
        self._kept: OrderedDict[tuple[str, Language], _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, user_id: str, language: Language, stand: Stand) -> Explanation | None:
        """That of this very stand of the user's interests."""
        kept = self._kept.get((user_id, language))
        if kept is None or kept.stand != stand or self._clock() >= kept.until_s:
            return None
        self._kept.move_to_end((user_id, language))
        return kept.explanation

    def put(self, user_id: str, language: Language, stand: Stand, explanation: Explanation) -> None:
        self._kept[user_id, language] = _Kept(stand, explanation, self._clock() + self._longest_s)
        self._kept.move_to_end((user_id, language))
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def forget(self, user_id: str) -> None:
        """In all languages."""
        for language in LANGUAGES:
            self._kept.pop((user_id, language), None)
