"""A chat model that is asked within a budget, a breaker and a number of attempts, and says why when it is not."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from model_store.catalog.annotators.breaker import Breaker, BreakerPolicy
from model_store.catalog.annotators.budget import Budget, Limits
from model_store.catalog.annotators.observer import Observer, Silent
from model_store.catalog.annotators.store import Store
from model_store.catalog.errors import MisconfiguredError, RefusedError, UnavailableError
from model_store.catalog.remote import Access, Retries
from model_store.catalog.structured import Answer, Question, StructuredChat


class GiveUpError(Exception):
    """The model is not asked, or not asked again; `why`, as `Observer.on_fallback` has it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class BoundedChat:
    """Thread-safe.

    Attributes:
        chat: asked within `budget` and `breaker`, again by `retries`.
    """

    chat: StructuredChat
    budget: Budget
    breaker: Breaker
    retries: Retries = field(default_factory=Retries)
    observer: Observer = field(default_factory=Silent)

    def answer(self, question: Question) -> Answer:
        """Blocks for as long as the chat and `retries` do. Raises GiveUpError."""
        try:
            return self.retries.call(lambda: self._attempt(question))
        except UnavailableError:
            raise GiveUpError("unavailable") from None
        except MisconfiguredError:
            raise GiveUpError("misconfigured") from None
        except RefusedError:
            raise self.refused("answer") from None

    def refused(self, reason: str) -> GiveUpError:
        """What was to be sent, or came back, is not fit: counted, and to be raised."""
        self.observer.on_refused(reason)
        return GiveUpError("refused")

    def _attempt(self, question: Question) -> Answer:
        if not self.breaker.allows():
            raise GiveUpError("breaker")
        if not self._booked(question):
            raise GiveUpError("budget")
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
            raise GiveUpError("store") from None

    def _settle(self, question: Question, answer: Answer) -> None:
        with suppress(UnavailableError):  # more stays booked than was spent, and the answer is there
            self.budget.settle(question.tokens(), answer)


@contextmanager
def bounded_chat(
    access: Access,
    store: Store,
    limits: Limits,
    retries: Retries,
    breaker: BreakerPolicy | None = None,
    observer: Observer | None = None,
) -> Iterator[BoundedChat]:
    """Closed at the end; the store, which keeps what was spent, is not. Raises MisconfiguredError."""
    with StructuredChat(access) as chat:
        bounds = Budget(store, limits), Breaker(breaker or BreakerPolicy())
        yield BoundedChat(chat, *bounds, retries, observer or Silent())
