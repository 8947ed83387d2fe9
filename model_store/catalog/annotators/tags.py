"""Topics without a language model: by the producer's tags, and by the nearest descriptions."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model_store.catalog.annotators.port import Annotation
from model_store.catalog.annotators.taxonomy import Taxonomy
from model_store.catalog.encoders.port import TextEncoder
from model_store.catalog.errors import RefusedError, UnavailableError
from model_store.catalog.text import ItemText

Float32 = npt.NDArray[np.float32]

_NEAREST = 3
# Cosines of texts that have nothing to do with one another are so large by chance: 1 / sqrt(512) is .04. Nearly all
# that a sentence model reads in its language is nearer to its topic.
_LEAST = 0.06
_TEMPERATURE = 0.1  # of cosines: one that is 0.1 nearer weighs e times as much


class TagAnnotator:
    """Topics that an item's tags name, equally heavy for each tag; of an item whose tags name none, those whose
    descriptions its text is nearest to.

    All that an encoder is given has something in common, some encoders' vectors much. So what topics have in common is
    taken away first, and only topics that are then nearer than chance count. With one topic there is nothing left.
    """

    def __init__(self, taxonomy: Taxonomy, encoder: TextEncoder | None = None) -> None:
        """Without an encoder it goes by the tags alone. Raises what the encoder raises."""
        self._taxonomy, self._encoder = taxonomy, encoder
        vectors = encoder.encode([topic.text() for topic in taxonomy.topics]) if encoder else np.zeros((0, 1))
        self._common = vectors.mean(axis=0) if len(vectors) else vectors.sum(axis=0)
        self._topics = self._without_common(vectors.astype(np.float32))

    def annotate(self, items: Sequence[ItemText]) -> list[Annotation]:
        """See the port. An encoder that fails leaves items without topics. Raises MisconfiguredError."""
        found = [self._by_tags(item) for item in items]
        rest = [row for row, annotation in enumerate(found) if not annotation.topics]
        for row, annotation in zip(rest, self._by_text([items[row] for row in rest]), strict=True):
            found[row] = annotation
        return found

    def _by_tags(self, item: ItemText) -> Annotation:
        named = Counter(name for name in map(self._taxonomy.match, item.tags) if name)
        total = named.total()
        shares = sorted(((name, count / total) for name, count in named.items()), key=lambda one: (-one[1], one[0]))
        return Annotation(tuple(shares), source="tags")

    def _by_text(self, items: Sequence[ItemText]) -> list[Annotation]:
        if self._encoder is None or not items:
            return [Annotation()] * len(items)
        try:
            vectors = self._encoder.encode([item.plain() for item in items])
        except (UnavailableError, RefusedError):
            return [Annotation()] * len(items)
        cosines = self._without_common(vectors) @ self._topics.T
        return [self._nearest(row) for row in cosines]

    def _nearest(self, cosines: Float32) -> Annotation:
        best = [int(topic) for topic in np.argsort(-cosines, kind="stable")[:_NEAREST] if cosines[topic] > _LEAST]
        if not best:
            return Annotation()
        odds = [math.exp((float(cosines[topic]) - float(cosines[best[0]])) / _TEMPERATURE) for topic in best]
        shares = ((self._taxonomy.names[topic], odd / sum(odds)) for topic, odd in zip(best, odds, strict=True))
        return Annotation(tuple(shares), source="nearest")

    def _without_common(self, vectors: Float32) -> Float32:
        """Without what topics have in common and of length 1 again; zeros stay zeros, since they say nothing."""
        left = np.where(vectors.any(axis=1, keepdims=True), vectors - self._common, 0)
        lengths = np.linalg.norm(left, axis=1, keepdims=True)
        return np.divide(left, lengths, out=np.zeros_like(left), where=lengths > 1e-6).astype(np.float32)
