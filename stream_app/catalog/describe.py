"""From words on items to knowledge: an encoder's vectors and an annotator's words."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from model_store.catalog.annotators.port import Annotation, Annotator
from model_store.catalog.encoders.port import TextEncoder
from model_store.catalog.errors import RefusedError
from stream_app.catalog.known import Change, Known
from stream_app.catalog.words import Word
from stream_app.contracts.knowledge import Knowledge, deleted, packed

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Described:
    """What became of a word: what it changes, and what is known of the item now, which is to be published where it is
    new. `refused`: its text is without a vector."""

    word: Word
    change: Change
    knowledge: Knowledge
    refused: bool = False

    @property
    def is_new(self) -> bool:
        return self.change is not Change.NOTHING


def follow(word: Word, change: Change, known: Known, now_ms: int) -> Described:
    """What becomes of a word that changes no text: no encoder is asked."""
    item, before = word.item, known.items.get(word.item.item_id)
    if change is Change.DELETED:
        return Described(word, change, deleted(item.item_id, now_ms, before, word.log, word.offset))
    if before is None or change is Change.TEXT:
        raise ValueError(f"{change} of {item.item_id} is to be described")
    now = msgspec.structs.replace(before, log=word.log, offset=word.offset)
    if change is Change.FACTS:
        now = msgspec.structs.replace(now, creator_id=item.creator_id, published_at=item.published_at, made_at=now_ms)
    return Described(word, change, now)


@dataclass(frozen=True, slots=True)
class Describer:
    """Asks encoder and annotator."""

    encoder: TextEncoder
    annotator: Annotator

    def describe(self, words: Sequence[Word], known: Known, now_ms: int) -> list[Described]:
        """Knowledge of those items, each once.

        Raises UnavailableError and MisconfiguredError, before anything is made.
        """
        vectors = self._vectors([word.item.text.plain() for word in words])
        annotations = self.annotator.annotate([word.item.text for word in words]) if words else []
        return [
            Described(word, Change.TEXT, self._knowledge(word, vector, said, known, now_ms), refused=vector is None)
            for word, vector, said in zip(words, vectors, annotations, strict=True)
        ]

    def _vectors(self, texts: Sequence[str]) -> list[Float32 | None]:
        """None for a text that the encoder refuses."""
        try:
            return list(self.encoder.encode(texts)) if texts else []
        except RefusedError:
            return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> Float32 | None:
        try:
            vector: Float32 = self.encoder.encode([text])[0]
        except RefusedError:
            return None
        return vector

    def _knowledge(self, word: Word, vector: Float32 | None, said: Annotation, known: Known, now_ms: int) -> Knowledge:
        item, text = word.item, "" if vector is None or not vector.any() else packed(vector)
        return Knowledge(
            item_id=item.item_id,
            made_at=now_ms,
            title=item.title,
            content_hash=item.text.content_hash(),
            encoder=self.encoder.name,
            creator_id=item.creator_id,
            published_at=item.published_at,
            vector=text,
            origin=known.origin(item.item_id, self.encoder.name, text),
            topics=dict(said.topics),
            audience=said.audience,
            mood=said.mood,
            related=said.related,
            source=said.source,
            log=word.log,
            offset=word.offset,
        )
