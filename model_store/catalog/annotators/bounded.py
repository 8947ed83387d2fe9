"""A language model as an annotator that never costs more than it may and never keeps anybody waiting.

    known?  ──► the stored answer, for ever and for nothing
    else    ──► fit to be sent? ──► breaker ──► budget ──► the model ──► fit to be believed? ──► stored
                     └───────────────┴────────────┴───────────┴──────────────┴──► the other annotator

What the other annotator says is not stored, so the model is asked again another time. That a model's answer about an
item was not fit is stored, for `refused_again_s`: whoever writes such items should not spend the budget.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from model_store.catalog.annotators.chat import ChatAnnotator
from model_store.catalog.annotators.port import Annotation, Annotator
from model_store.catalog.annotators.store import Store
from model_store.catalog.bounded_chat import BoundedChat, GiveUpError
from model_store.catalog.errors import UnavailableError, UnfitError
from model_store.catalog.text import ItemText

_DAY_S = 86_400.0


class _Stored(msgspec.Struct, frozen=True):
    """`annotation`, or the reason why there is none (`refused`) and when that was."""

    annotation: Annotation | None = None
    refused: str = ""
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BoundedAnnotator:
    """An Annotator. Thread-safe.

    Attributes:
        chat: what the model is asked, and what of its answers is believed.
        fallback: who answers where it does not.
        asking: the model, asked for `concurrency` items at once.
        now: seconds since 1970.
    """

    chat: ChatAnnotator
    fallback: Annotator
    store: Store
    asking: BoundedChat
    concurrency: int = 4
    refused_again_s: float = 7 * _DAY_S
    now: Callable[[], float] = time.time

    def annotate(self, items: Sequence[ItemText]) -> list[Annotation]:
        """See the port. Items with the same text are asked about once. Raises what `fallback` raises."""
        keys = [self.chat.key(item) for item in items]
        asked = dict(zip(keys, items, strict=True))
        with ThreadPoolExecutor(self.concurrency, "annotate") as pool:
            known = dict(zip(asked, pool.map(self._known_or_asked, asked, asked.values()), strict=True))
        left = [row for row, one in enumerate(keys) if known[one] is None]
        others = dict(zip(left, self.fallback.annotate([items[row] for row in left]) if left else (), strict=True))
        return [known[one] or others[row] for row, one in enumerate(keys)]

    def _known_or_asked(self, key: str, item: ItemText) -> Annotation | None:
        """None where the fallback must answer."""
        try:
            stored = self._stored(key)
            self.asking.observer.on_cache(stored is not None)
            if stored is None:
                return self._asked(key, item)
            if stored.annotation is None:
                raise GiveUpError("refused")
            return stored.annotation
        except GiveUpError as error:
            self.asking.observer.on_fallback(error.why)
            return None

    def _stored(self, key: str) -> _Stored | None:
        """What still counts."""
        try:
            value = self.store.get(key)
            stored = msgspec.json.decode(value, type=_Stored) if value else None
        except UnavailableError:
            raise GiveUpError("store") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None  # written by another version
        if stored and stored.annotation is None and self.now() - stored.at_s >= self.refused_again_s:
            return None
        return stored

    def _asked(self, key: str, item: ItemText) -> Annotation:
        try:
            question = self.chat.question(item)
            answer = self.asking.answer(question)
        except UnfitError as error:
            raise self.asking.refused(error.reason) from None
        try:
            annotation = self.chat.read(answer, item)
        except UnfitError as error:
            self._keep(key, _Stored(refused=error.reason, at_s=self.now()))
            raise self.asking.refused(error.reason) from None
        self._keep(key, _Stored(annotation))
        return annotation

    def _keep(self, key: str, stored: _Stored) -> None:
        with suppress(UnavailableError):  # it is asked for again another time
            self.store.put(key, msgspec.json.encode(stored))
