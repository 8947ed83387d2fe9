"""What an item's text says of it, in the few numbers that states sum, and what that says of an item nobody has clicked.

An encoder's vector is long; a state has room for `FACET_DIM` of its directions: those in which the catalogue that the
generation was trained on differs most (principal components; Pearson, On Lines and Planes of Closest Fit to Systems of
Points in Space, 1901). Without an encoder an item's content is the share of each of its topics.

A projection, fitted to the items that were clicked, leads from there into the space of the items' own vectors (ridge
regression; Hoerl and Kennard, 1970): an item that just appeared begins where others with such content are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model_store.state.layout import DIM, FACET_DIM

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

BY_TOPICS = ""
"""In place of an encoder's name: content is the share of each topic."""
_RIDGE = 2.0
"""Items' worth of evidence that content says nothing."""


@dataclass(frozen=True, slots=True)
class ContentSpace:
    """Where a generation's items lie by their content; frozen with it.

    Attributes:
        encoder: name of the encoder whose vectors these are, or `BY_TOPICS`.
        mean: float32 [d], of the vectors of the catalogue; d is 0 where content is by topics.
        axes: float32 [d, FACET_DIM], orthogonal, by variance descending, such that a catalogue's mean square is 1;
            columns of zeros where the catalogue has fewer directions.
    """

    encoder: str
    mean: Float32
    axes: Float32

    @staticmethod
    def by_topics() -> "ContentSpace":
        """Content is the share of each topic."""
        return ContentSpace(BY_TOPICS, np.zeros(0, np.float32), np.zeros((0, FACET_DIM), np.float32))

    @staticmethod
    def fit(encoder: str, vectors: Float32) -> "ContentSpace":
        """Of a catalogue: float32 [m, d], by that encoder; rows of zeros, texts without a word, do not count."""
        told = vectors[vectors.any(axis=1)]
        mean = told.mean(axis=0) if len(told) else np.zeros(vectors.shape[1], np.float32)
        _, sizes, rows = np.linalg.svd(told - mean, full_matrices=False)
        kept = min(FACET_DIM, int(np.count_nonzero(sizes > 1e-6 * sizes.max(initial=1e-12))))
        axes = np.zeros((vectors.shape[1], FACET_DIM), np.float32)
        axes[:, :kept] = rows[:kept].T * np.sqrt(len(told) / max(1e-12, float((sizes[:kept] ** 2).sum())))
        return ContentSpace(encoder, mean.astype(np.float32), axes)

    def coordinates(self, vectors: Float32, shares: Float32) -> Float32:
        """float32 [n, FACET_DIM] of n items, by their encoder's vectors (float32 [n, d]) or their topics' shares
        (float32 [n, at most FACET_DIM]); zeros where the text says nothing."""
        if self.encoder == BY_TOPICS:
            return np.pad(shares, ((0, 0), (0, FACET_DIM - shares.shape[1]))).astype(np.float32)
        told = vectors.any(axis=1, keepdims=True)
        found: Float32 = np.where(told, (vectors - self.mean) @ self.axes, np.float32(0))
        return found


@dataclass(frozen=True, slots=True)
class ItemContent:
    """The content of m items of a data set: float32 [m, FACET_DIM] `coordinates` in `space`, and the encoder's
    `vectors`, float32 [m, d]; d is 0 where content is by topics."""

    space: ContentSpace
    coordinates: Float32
    vectors: Float32

    def silenced(self) -> "ItemContent":
        """As if nothing were known of the items."""
        return ItemContent(self.space, np.zeros_like(self.coordinates), np.zeros_like(self.vectors))

    @staticmethod
    def by_topics(shares: Float32) -> "ItemContent":
        """float32 [m, topics] shares. Raises ValueError for more topics than the content lane has room for."""
        if shares.shape[1] > FACET_DIM:
            raise ValueError(f"at most {FACET_DIM} topics fit the content lane, got {shares.shape[1]}")
        space = ContentSpace.by_topics()
        return ItemContent(space, space.coordinates(shares, shares), shares[:, :0])

    @staticmethod
    def encoded(encoder: str, vectors: Float32) -> "ItemContent":
        """float32 [m, d] by that encoder, in a space fitted to them."""
        space = ContentSpace.fit(encoder, vectors)
        return ItemContent(space, space.coordinates(vectors, vectors[:, :0]), vectors)


@dataclass(frozen=True, slots=True)
class Told:
    """What a catalogue says of n items.

    Attributes:
        ids, titles: n strings each.
        content: float32 [n, FACET_DIM], coordinates in the generation's space; zeros where nothing is known.
        shares: float32 [n, topics], shares of the model's topics that sum to 1; zeros likewise.
        vectors: float32 [n, d], the encoder's, zeros likewise; without columns where they are not asked for.
    """

    ids: list[str]
    titles: list[str]
    content: Float32
    shares: Float32
    vectors: Float32

    @staticmethod
    def nothing(ids: Sequence[str], topics: int) -> "Told":
        """Their ids are all that is known."""
        nothing = np.zeros((len(ids), FACET_DIM), np.float32)
        return Told(list(ids), list(ids), nothing, np.zeros((len(ids), topics), np.float32), nothing[:, :0])

    def take(self, rows: Int64) -> "Told":
        """Some of them."""
        ids, titles = ([texts[row] for row in rows.tolist()] for texts in (self.ids, self.titles))
        return Told(ids, titles, self.content[rows], self.shares[rows], self.vectors[rows])

    def first_of_each(self) -> "Told":
        """Each item once."""
        first: dict[str, int] = {}
        for row, item in enumerate(self.ids):
            first.setdefault(item, row)
        return self if len(first) == len(self.ids) else self.take(np.fromiter(first.values(), np.int64))


@dataclass(frozen=True, slots=True)
class Projection:
    """From content into the space of the items' vectors.

    Attributes:
        vectors: float32 [FACET_DIM, DIM].
        bias: float32 [FACET_DIM].
        spread: standard deviation of a component of the items' vectors around what content says of them.
    """

    vectors: Float32
    bias: Float32
    spread: float = 1.0

    @staticmethod
    def nothing(spread: float = 1.0) -> "Projection":
        """Content says nothing."""
        return Projection(np.zeros((FACET_DIM, DIM), np.float32), np.zeros(FACET_DIM, np.float32), spread)

    @staticmethod
    def fit(content: Float32, vectors: Float32, bias: Float32) -> "Projection":
        """To m items with content (float32 [m, FACET_DIM]), vectors (float32 [m, DIM]) and biases (float32 [m])."""
        told = content.any(axis=1)
        if not told.any():
            return Projection.nothing(float(vectors.std()) if len(vectors) else 1.0)
        known: npt.NDArray[np.float64] = content[told].astype(np.float64)
        middle = float(bias[told].mean())
        wanted = np.concatenate([vectors[told], bias[told, None] - middle], axis=1)
        found: Any = np.linalg.solve(known.T @ known + _RIDGE * np.eye(FACET_DIM), known.T @ wanted)
        rest = vectors[told] - known @ found[:, :DIM]
        return Projection(found[:, :DIM].astype(np.float32), found[:, DIM].astype(np.float32), float(rest.std()))
