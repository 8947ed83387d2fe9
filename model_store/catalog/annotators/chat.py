"""What a chat model says of an item, believed only where it keeps to the schema, the taxonomy and the item.

This asks once and raises; `bounded.py` makes an annotator of it.
"""

from typing import Annotated

import msgspec

from model_store.catalog.annotators import prompt
from model_store.catalog.annotators.port import Annotation
from model_store.catalog.annotators.prompt import MAX_AUDIENCE, MAX_CONCEPT, MAX_MOOD, MAX_RELATED, Prompt
from model_store.catalog.annotators.suspicion import instructs, reason_against
from model_store.catalog.annotators.taxonomy import MAX_TOPICS, Taxonomy
from model_store.catalog.errors import UnfitError
from model_store.catalog.structured import Answer, Question, StructuredChat, json_object
from model_store.catalog.text import ItemText


class _Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    weight: Annotated[float, msgspec.Meta(ge=0, le=100)]  # they are scaled anyway, and some count in per cent


_Concept = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CONCEPT)]


class _Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    topics: Annotated[list[_Topic], msgspec.Meta(max_length=MAX_TOPICS)]
    audience: Annotated[str, msgspec.Meta(max_length=MAX_AUDIENCE)]
    mood: Annotated[str, msgspec.Meta(max_length=MAX_MOOD)]
    related: Annotated[list[_Concept], msgspec.Meta(max_length=MAX_RELATED)]

    def lines(self) -> tuple[str, ...]:
        return tuple(line.strip() for line in (self.audience, self.mood, *self.related))


class ChatAnnotator:
    """Asks one model about items, by one taxonomy. Thread-safe."""

    def __init__(self, chat: StructuredChat, taxonomy: Taxonomy) -> None:
        self._chat, self._taxonomy, self._prompt = chat, taxonomy, Prompt(taxonomy)
        self._fingerprint = taxonomy.fingerprint()

    @property
    def model(self) -> str:
        return self._chat.model

    def key(self, item: ItemText) -> str:
        """Of what an answer depends on: the item's words, the taxonomy, the model and the prompt."""
        return "/".join((item.content_hash(), self._fingerprint, prompt.VERSION, self.model))

    def question(self, item: ItemText) -> Question:
        """Raises UnfitError for a text that speaks to the model."""
        if instructs(_text(item)):
            raise UnfitError("item")
        return self._prompt.of(item)

    def read(self, answer: Answer, item: ItemText) -> Annotation:
        """Raises UnfitError, with one of these reasons: `cut`, `declined`, `schema`, `topics`, `canary`, and those of
        `suspicion.reason_against`."""
        if answer.unfinished:
            raise UnfitError(answer.unfinished)
        if self._prompt.fence.leaks(answer.content):
            raise UnfitError("canary")
        said = _decoded(answer.content)
        for line in said.lines():
            reason = reason_against(line, _text(item))
            if reason:
                raise UnfitError(reason)
        audience, mood, *related = (" ".join(line.split()) for line in said.lines())
        return Annotation(self._weighted(said.topics), audience, mood, tuple(related), self.model)

    def _weighted(self, topics: list[_Topic]) -> tuple[tuple[str, float], ...]:
        """Heaviest first, summing to 1. Raises UnfitError for names that are not the taxonomy's, or are there twice."""
        weights = {topic.name: topic.weight for topic in topics}
        if not weights.keys() <= set(self._taxonomy.names):
            raise UnfitError("topics")
        total = sum(weights.values())
        if len(weights) < len(topics) or (topics and not total):
            raise UnfitError("schema")
        shares = [(name, weight / total) for name, weight in weights.items() if weight > 0]
        return tuple(sorted(shares, key=lambda share: (-share[1], share[0])))


def _text(item: ItemText) -> str:
    part = prompt.shown(item)
    return "\n".join((part.title, *part.tags, part.description))


def _decoded(content: str) -> _Said:
    try:
        return msgspec.json.decode(json_object(content), type=_Said)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UnfitError("schema") from error
