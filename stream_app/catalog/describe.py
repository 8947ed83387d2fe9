"""From items to knowledge: an encoder's vectors and an annotator's words."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from model_store.catalog.annotators.port import Annotation, Annotator
from model_store.catalog.encoders.port import TextEncoder
from model_store.catalog.errors import RefusedError
from stream_app.catalog.known import Change, Known
from stream_app.contracts.items import Item
from stream_app.contracts.knowledge import Knowledge, deleted, packed

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Described:
    """What became of a batch.

    Attributes:
        knowledge: what is new, to be published.
        standing: of all its items what is known now, for Redis: a process that ended after publishing may not have
            written there.
        outcomes: how many items came to what.
        refused: texts without a vector.
    """

    knowledge: list[Knowledge]
    standing: list[Knowledge]
    outcomes: dict[str, int]
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Describer:
    """Asks encoder and annotator, and only for texts that are new to it."""

    encoder: TextEncoder
    annotator: Annotator

    def describe(self, items: Sequence[Item], known: Known, now_ms: int) -> Described:
        """Knowledge of those items (each once) of which there is something new.

        Raises UnavailableError and MisconfiguredError, before anything is made.
        """
        changes = [(item, known.change(item, self.encoder.name)) for item in items]
        new = [item for item, change in changes if change is Change.TEXT]
        vectors = self._vectors(new)
        made = [deleted(item.item_id, now_ms) for item, change in changes if change is Change.DELETED]
        made += [
            msgspec.structs.replace(
                known.items[item.item_id], creator_id=item.creator_id, published_at=item.published_at, made_at=now_ms
            )
            for item, change in changes
            if change is Change.FACTS
        ]
        for item, vector, said in zip(new, vectors, self.annotator.annotate([one.text for one in new]), strict=True):
            made.append(self._knowledge(item, vector, said, known, now_ms))
        outcomes = {change.value: sum(one is change for _, one in changes) for change in Change}
        now = {one.item_id: one for one in made}
        standing = [now.get(item.item_id) or known.items[item.item_id] for item in items]
        return Described(made, standing, outcomes, sum(vector is None for vector in vectors))

    def _vectors(self, items: Sequence[Item]) -> list[Float32 | None]:
        """None for a text that the encoder refuses."""
        texts = [item.text.plain() for item in items]
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

    def _knowledge(self, item: Item, vector: Float32 | None, said: Annotation, known: Known, now_ms: int) -> Knowledge:
        text = "" if vector is None or not vector.any() else packed(vector)
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
        )
