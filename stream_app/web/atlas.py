"""Where items lie: a plane for people, and what the topics stand for. Pure; numpy only.

Vectors of interests and of items have one space. A plane through it shows the items: principal components of their
directions, where what tells topics apart counts the more. A user stands in the middle of the items that are closest:
the projection of an interest itself would lie outside of them all, since it is more of one mind than any item. The mean
direction of a topic's items tells how far an interest leans towards the topic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Int16 = npt.NDArray[np.int16]
Point = tuple[float, float]

CLOSEST = 24
"""Items that a user's place is the middle of."""
_TOPICS_COUNT = 10.0
"""How much more the spread between topics counts on the plane than that within. On MovieLens 100K a tenth of the
plane's variance is between topics without it (.14), and a third with it (.37); more does not tell them apart better."""
_FOUND = 12


@dataclass(frozen=True, slots=True)
class Atlas:
    """m items of one generation's space.

    Attributes:
        source: the model version, or where else it is from.
        item_ids, titles: m strings each.
        topics: names; `topic` is int16 [m], each item's main one, -1 for none.
        points: float32 [m, 2], within -1..1.
        units: float32 [m, d], the items' directions.
        directions: float32 [topics, d], unit vectors of the topics; 0 for one without items.
    """

    source: str
    item_ids: tuple[str, ...]
    titles: tuple[str, ...]
    topics: tuple[str, ...]
    topic: Int16
    points: Float32
    units: Float32
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
        units = unit(vectors)
        flat = (units - units.mean(axis=0)) @ plane_of(units, topic).T
        low, high = flat.min(axis=0), flat.max(axis=0)
        points = ((flat - (low + high) / 2) / (float((high - low).max()) / 2 or 1.0)).astype(np.float32)
        directions = directions_of(vectors, topic, len(topics))
        return Atlas(source, tuple(ids), tuple(titles), tuple(topics), topic, points, units, directions)

    def place_of(self, vector: Float32) -> Point | None:
        """The middle of the items closest to an interest (float32 [d]); None for one that has no direction."""
        if len(vector) != self.units.shape[1] or not vector.any():
            return None
        closeness = self.units @ vector
        closest = np.argsort(-closeness, kind="stable")[:CLOSEST]
        x, y = self.points[closest].mean(axis=0).tolist()
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


def plane_of(units: Float32, topic: Int16) -> Float32:
    """float32 [2, d]: the two first principal components. Each points to where its largest component is positive, so
    that the same items always give the same picture."""
    centred = (units - units.mean(axis=0)).astype(np.float64)
    spread = centred.T @ centred
    for number in np.unique(topic[topic >= 0]).tolist():
        mine = centred[topic == number]
        middle = mine.mean(axis=0)
        spread += _TOPICS_COUNT * len(mine) * np.outer(middle, middle)
    axes = np.linalg.eigh(spread)[1][:, ::-1][:, :2].T
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    plane: Float32 = (axes * np.where(signs == 0, 1, signs)[:, None]).astype(np.float32)
    return plane


def directions_of(vectors: Float32, topic: Int16, topics: int) -> Float32:
    """float32 [topics, d]: unit vectors from the mean of all items to that of each topic's."""
    mean = vectors.mean(axis=0)
    out = np.zeros((topics, vectors.shape[1]), np.float32)
    for number in range(topics):
        mine = vectors[topic == number]
        if len(mine):
            out[number] = mine.mean(axis=0) - mean
    return unit(out)
