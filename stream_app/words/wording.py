"""A language model's wording of facts, asked within its limits."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from model_store.catalog.annotators.budget import Limits
from model_store.catalog.annotators.observer import Observer
from model_store.catalog.annotators.store import Store
from model_store.catalog.bounded_chat import BoundedChat, GiveUpError, bounded_chat
from model_store.catalog.errors import UnfitError
from model_store.catalog.remote import Access, Retries
from model_store.catalog.strangers import Fence
from stream_app.settings import Settings, Words
from stream_app.words import judge, prompt
from stream_app.words.facts import Facts
from stream_app.words.phrases import Language, phrases_of

ITEM = "item"
"""A title is not shown to the model, since it is not tellable."""


class Wording:
    """One model. Thread-safe."""

    def __init__(self, asking: BoundedChat) -> None:
        self._asking = asking

    @property
    def model(self) -> str:
        return self._asking.chat.model

    def of(self, facts: Facts, language: Language) -> str:
        """A paragraph. Blocks for as long as the model's limits allow. Raises GiveUpError."""
        if any(item.titled and not item.tellable for item in facts.items()):
            self._asking.observer.on_refused(ITEM)
        seen, fence = prompt.told(facts), Fence("FACTS")
        if not seen.topics:
            raise GiveUpError("no_facts")
        phrases = phrases_of(seen, language)
        answer = self._asking.answer(prompt.question(phrases, seen, language, fence))
        try:
            return judge.read(answer, phrases, seen, language, fence)
        except UnfitError as error:
            raise self._asking.refused(error.reason) from None


@contextmanager
def wording_of(settings: Settings, observer: Observer) -> Iterator[Wording | None]:
    """As the settings say, closed at the end; None without a model. What was spent is kept in the data folder, and no
    answer is. Raises MisconfiguredError."""
    of = settings.words
    if not of.model:
        yield None
        return
    access = Access(of.base_url, of.model, of.api_key.get_secret_value(), of.timeout_s)
    # Nobody waits for longer than `answer_s`.
    retries = Retries(of.attempts, longest_wait_s=of.answer_s)
    with (
        closing(Store(_costs(settings.data_dir))) as store,
        bounded_chat(access, store, _limits(of), retries, observer=observer) as asking,
    ):
        yield Wording(asking)


def _costs(folder: Path) -> Path:
    return folder / "words" / "costs.sqlite"


def _limits(of: Words) -> Limits:
    return Limits(of.requests_per_hour, of.tokens_per_hour, of.requests_per_day, of.tokens_per_day)
