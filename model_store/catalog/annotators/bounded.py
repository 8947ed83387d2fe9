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
from dataclasses import dataclass, field

import msgspec

from model_store.catalog.annotators.breaker import Breaker
from model_store.catalog.annotators.budget import Budget
from model_store.catalog.annotators.chat import ChatAnnotator, UnfitError
from model_store.catalog.annotators.observer import Observer, Silent
from model_store.catalog.annotators.port import Annotation, Annotator
from model_store.catalog.annotators.store import Store
from model_store.catalog.errors import MisconfiguredError, RefusedError, UnavailableError
from model_store.catalog.remote import Retries
from model_store.catalog.structured import Answer, Question
from model_store.catalog.text import ItemText

_DAY_S = 86_400.0


class _Stored(msgspec.Struct, frozen=True):
    """`annotation`, or the reason why there is none (`refused`) and when that was."""

    annotation: Annotation | None = None
    refused: str = ""
    at_s: float = 0.0


class _GiveUpError(Exception):
    """The model is not asked, or not asked again; `why`, as `Observer.on_fallback` has it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class BoundedAnnotator:
    """An Annotator. Thread-safe.

    Attributes:
        chat: the model, asked within `budget` and `breaker`, again by `retries`, for `concurrency` items at once.
        fallback: who answers where it does not.
        now: seconds since 1970.
    """

    chat: ChatAnnotator
    fallback: Annotator
    store: Store
    budget: Budget
    breaker: Breaker
    retries: Retries = field(default_factory=Retries)
    observer: Observer = field(default_factory=Silent)
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
            self.observer.on_cache(stored is not None)
            if stored is None:
                return self._asked(key, item)
            if stored.annotation is None:
                raise _GiveUpError("refused")
            return stored.annotation
        except _GiveUpError as error:
            self.observer.on_fallback(error.why)
            return None

    def _stored(self, key: str) -> _Stored | None:
        """What still counts."""
        try:
            value = self.store.get(key)
            stored = msgspec.json.decode(value, type=_Stored) if value else None
        except UnavailableError:
            raise _GiveUpError("store") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None  # written by another version
        if stored and stored.annotation is None and self.now() - stored.at_s >= self.refused_again_s:
            return None
        return stored

    def _asked(self, key: str, item: ItemText) -> Annotation:
        try:
            question = self.chat.question(item)
            answer = self._answered(question)
        except UnfitError as error:
            raise self._refused(error.reason) from None
        try:
            annotation = self.chat.read(answer, item)
        except UnfitError as error:
            self._keep(key, _Stored(refused=error.reason, at_s=self.now()))
            raise self._refused(error.reason) from None
        self._keep(key, _Stored(annotation))
        return annotation

    def _answered(self, question: Question) -> Answer:
        try:
            return self.retries.call(lambda: self._attempt(question))
        except UnavailableError:
            raise _GiveUpError("unavailable") from None
        except MisconfiguredError:
            raise _GiveUpError("misconfigured") from None
        except RefusedError:
            raise self._refused("answer") from None

    def _attempt(self, question: Question) -> Answer:
        if not self.breaker.allows():
            raise _GiveUpError("breaker")
        if not self._booked(question):
            raise _GiveUpError("budget")
        started = time.perf_counter()
        try:
            answer = self.chat.ask(question)
        except (UnavailableError, RefusedError, MisconfiguredError) as error:
            self.observer.on_request(self._failed(error), time.perf_counter() - started, 0, 0, False)
            raise
        self.breaker.succeeded()
        seconds = time.perf_counter() - started
        self.observer.on_request("answered", seconds, answer.tokens_in, answer.tokens_out, answer.estimated)
        self._settle(question, answer)
        return answer

    def _failed(self, error: Exception) -> str:
        """The outcome that it was, after the breaker has been told."""
        match error:
            case UnavailableError():
                self.breaker.failed()
                return "unavailable"
            case MisconfiguredError():
                self.breaker.open()
                return "misconfigured"
            case _:
                self.breaker.succeeded()  # it is there, and has looked at the question
                return "refused"

    def _booked(self, question: Question) -> bool:
        try:
            return self.budget.book(question.tokens())
        except UnavailableError:
            raise _GiveUpError("store") from None

    def _settle(self, question: Question, answer: Answer) -> None:
        with suppress(UnavailableError):  # more stays booked than was spent, and the answer is there
            self.budget.settle(question.tokens(), answer)

    def _keep(self, key: str, stored: _Stored) -> None:
        with suppress(UnavailableError):  # it is asked for again another time
            self.store.put(key, msgspec.json.encode(stored))

    def _refused(self, reason: str) -> _GiveUpError:
        self.observer.on_refused(reason)
        return _GiveUpError("refused")
