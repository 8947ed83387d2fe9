"""From a few settings to an annotator."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from model_store.catalog.annotators.bounded import BoundedAnnotator
from model_store.catalog.annotators.breaker import BreakerPolicy
from model_store.catalog.annotators.budget import Limits
from model_store.catalog.annotators.chat import ChatAnnotator
from model_store.catalog.annotators.observer import Observer
from model_store.catalog.annotators.port import Annotator
from model_store.catalog.annotators.store import Store
from model_store.catalog.annotators.tags import TagAnnotator
from model_store.catalog.annotators.taxonomy import Taxonomy
from model_store.catalog.bounded_chat import bounded_chat
from model_store.catalog.encoders.port import TextEncoder
from model_store.catalog.remote import Access, Retries


@dataclass(frozen=True, slots=True)
class AnnotatorConfig:
    """Which language model annotates, and within what.

    Attributes:
        base_url, model, api_key: of a service that speaks OpenAI's protocol; without a model tags and the encoder do.
        timeout_s, attempts, concurrency: of one request, of one item, of all items.
        limits: what the model may be asked in an hour and a day.
        store: file that keeps answers and costs.
    """

    base_url: str = ""
    model: str = ""
    api_key: str = field(default="", repr=False)
    timeout_s: float = 30.0
    attempts: int = 3
    concurrency: int = 4
    limits: Limits = field(default_factory=Limits)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    store: Path = Path(".interest/annotations.sqlite")


@contextmanager
def build_annotator(
    config: AnnotatorConfig, taxonomy: Taxonomy, encoder: TextEncoder | None = None, observer: Observer | None = None
) -> Iterator[Annotator]:
    """Ready to annotate, closed at the end. Raises MisconfiguredError, and what the encoder raises."""
    fallback = TagAnnotator(taxonomy, encoder)
    if not config.model:
        yield fallback
        return
    access = Access(config.base_url, config.model, config.api_key, config.timeout_s)
    with (
        closing(Store(config.store)) as store,
        bounded_chat(access, store, config.limits, Retries(config.attempts), config.breaker, observer) as asking,
    ):
        yield BoundedAnnotator(ChatAnnotator(asking.chat, taxonomy), fallback, store, asking, config.concurrency)
