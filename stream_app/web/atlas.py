"""Where items lie: a plane for people, and what the topics stand for. Pure; numpy only.

Vectors of interests and of items have one space. A plane through it (principal components of the items' directions)
shows both; the mean direction of a topic's items tells how far an interest leans towards the topic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Int16 = npt.NDArray[np.int16]
Point = tuple[float, float]

REACH = 1.2
"""A user may lie outside of the items: no further than this, where the outermost item lies at 1."""
_FOUND = 12


@dataclass(frozen=True, slots=True)
class Atlas:
    """m items of one generation's space.

    Attributes:
        source: the model version, or where else it is from.
        item_ids, titles: m strings each.
        topics: names; `topic` is int16 [m], each item's main one, -1 for none.
        points: float32 [m, 2], within -1..1.
        mean, axes: float32 [d] and [2, d], of the plane; `scale`: what its coordinates are divided by.
        directions: float32 [topics, d], unit vectors of the topics; 0 for one without items.
    """

    source: str
    item_ids: tuple[str, ...]
    titles: tuple[str, ...]
    topics: tuple[str, ...]
    topic: Int16
    points: Float32
    mean: Float32
    axes: Float32
    scale: float
    directions: Float32
    _title_of: dict[str, str] = field(init=False, repr=False)
    _folded: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_title_of", dict(zip(self.item_ids, self.titles, strict=True)))
        object.__setattr__(self, "_folded", tuple(title.casefold() for title in self.titles))

    @staticmethod
    def of(
        source: str, ids: Sequence[str], titles: Sequence[str], topics: Sequence[str], topic: Int16, vectors: Float32
    ) -> "Atlas":
        """From the items' vectors, float32 [m, d], m > 0."""
        mean, axes = plane_of(unit(vectors))
        flat = (unit(vectors) - mean) @ axes.T
        scale = float(np.abs(flat).max()) or 1.0
        return Atlas(
            source, tuple(ids), tuple(titles), tuple(topics), topic, (flat / scale).astype(np.float32), mean, axes,
            scale, directions_of(vectors, topic, len(topics)),
        )  # fmt: skip

    def place_of(self, vector: Float32) -> Point | None:
        """Where an interest (float32 [d]) lies on the plane; None for one that has no direction."""
        if len(vector) != len(self.mean) or not vector.any():
            return None
        x, y = np.clip(((unit(vector[None])[0] - self.mean) @ self.axes.T) / self.scale, -REACH, REACH).tolist()
        return x, y

    def leaning(self, vector: Float32) -> Float32:
        """float32 [topics]: cosine between an interest (float32 [d]) and each topic's direction."""
        if len(vector) != self.directions.shape[1]:
            return np.zeros(len(self.directions), np.float32)
        cosines: Float32 = self.directions @ unit(vector[None])[0]
        return cosines

    def title_of(self, item_id: str) -> str:
        """Empty where none is known."""
        return self._title_of.get(item_id, "")

    def search(self, words: str) -> list[tuple[str, str]]:
        """Ids and titles of items whose title has these words, or whose id this is; those that begin with it first."""
        wanted = words.strip().casefold()
        if not wanted:
            return []
        hits = [row for row, title in enumerate(self._folded) if wanted in title or self.item_ids[row] == words.strip()]
        hits.sort(key=lambda row: (not self._folded[row].startswith(wanted), row))
        return [(self.item_ids[row], self.titles[row]) for row in hits[:_FOUND]]


def unit(vectors: Float32) -> Float32:
    """float32 [n, d] of length 1; what is 0 stays so."""
    size = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions: Float32 = np.divide(vectors, size, out=np.zeros_like(vectors), where=size > 0)
    return directions


def plane_of(vectors: Float32) -> tuple[Float32, Float32]:
    """The mean, float32 [d], and the two first principal components, float32 [2, d]. Each points to where its largest
    component is positive, so that the same items always give the same picture."""
    mean = vectors.mean(axis=0)
    centred = (vectors - mean).astype(np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    two = axes[:, ::-1][:, :2].T
    largest = np.abs(two).argmax(axis=1)
    signs = np.sign(two[np.arange(2), largest])
    return mean, (two * np.where(signs == 0, 1, signs)[:, None]).astype(np.float32)


def directions_of(vectors: Float32, topic: Int16, topics: int) -> Float32:
    """float32 [topics, d]: unit vectors from the mean of all items to that of each topic's."""
    mean = vectors.mean(axis=0)
    out = np.zeros((topics, vectors.shape[1]), np.float32)
    for number in range(topics):
        mine = vectors[topic == number]
        if len(mine):
            out[number] = mine.mean(axis=0) - mean
    return unit(out)
