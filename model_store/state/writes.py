"""The write table: the vectors that events add to a user's memory. Frozen for a model generation.

What a state sums must never change under it, so a new table means a new generation. An item that the table does not
hold gets a vector drawn from its hash: the same in every worker and after every restart. Items of which a catalogue
tells may be added (`joined`); what the others write stays what it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel
from model_store.state.content import ContentSpace, Projection
from model_store.state.layout import DIM, FACET_DIM
from model_store.state.lookup import HashRows

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SQRT_3 = 1.7320508075688772


@dataclass(frozen=True, slots=True)
class WriteTable:
    """Write vectors of m known items.

    Attributes:
        item_hashes: uint64 [m], distinct, none 0.
        vectors: float32 [m, DIM].
        content: float32 [m, FACET_DIM]; a zero row means that nothing is known of the item's content.
        space: what `content` is in.
        projection: from there to `vectors`, for items of which only the content is known.
        scale: standard deviation of a hashed vector's components; by default that of `vectors`, 1 where there are none.
    """

    item_hashes: npt.NDArray[np.uint64]
    vectors: npt.NDArray[np.float32]
    content: npt.NDArray[np.float32]
    space: ContentSpace = field(default_factory=ContentSpace.by_topics)
    projection: Projection = field(default_factory=Projection.nothing)
    scale: float = 0.0
    _lookup: HashRows = field(init=False, repr=False)

    def __post_init__(self) -> None:
        count = len(self.item_hashes)
        if self.vectors.shape != (count, DIM) or self.content.shape != (count, FACET_DIM):
            raise ValueError(
                f"{count} items need vectors of shape {(count, DIM)} and content of shape {(count, FACET_DIM)}, "
                f"got {self.vectors.shape} and {self.content.shape}"
            )
        object.__setattr__(self, "_lookup", HashRows(self.item_hashes))
        if not self.scale:
            object.__setattr__(self, "scale", float(self.vectors.std()) if count else 1.0)

    def __len__(self) -> int:
        return len(self.item_hashes)

    @property
    def slots(self) -> npt.NDArray[np.int64]:
        """For compiled code that searches the table (`lookup.find`)."""
        return self._lookup.slots

    def rows(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """int64 [n]: rows of n item hashes, -1 where an item is not in the table."""
        return self._lookup.rows(hashes)

    def take(self, rows: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "WriteTable":
        """With some of the items only; what an unknown one writes depends on which are known."""
        return WriteTable(self.item_hashes[rows], self.vectors[rows], self.content[rows], self.space, self.projection)

    def joined(self, item_hashes: npt.NDArray[np.uint64], content: npt.NDArray[np.float32]) -> "WriteTable":
        """With n more items, none of which it holds (uint64 [n], float32 [n, FACET_DIM]).

        They write what their content says, and what their hash draws where it says nothing more: two items of the same
        content stay two, and all are about as long as those that were trained.
        """
        vectors = np.empty((len(item_hashes), DIM), np.float32)
        _hashed_vectors(item_hashes, self.projection.spread, vectors)
        vectors += content @ self.projection.vectors
        return replace(
            self,
            item_hashes=np.concatenate([self.item_hashes, item_hashes]),
            vectors=np.concatenate([self.vectors, vectors]),
            content=np.concatenate([self.content, content]),
        )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that it is, by name; `of_arrays` makes it again."""
        return {
            "item_hashes": self.item_hashes,
            "vectors": self.vectors,
            "content": self.content,
            "encoder": np.array(self.space.encoder),
            "content_mean": self.space.mean,
            "content_axes": self.space.axes,
            "told_vectors": self.projection.vectors,
            "told_bias": self.projection.bias,
            "told_spread": np.array(self.projection.spread),
        }

    @staticmethod
    def of_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> "WriteTable":
        """Raises KeyError for a missing one; those of a release that knew no encoders are fewer."""
        table = WriteTable(arrays["item_hashes"], arrays["vectors"], arrays["content"])
        if "encoder" not in arrays:
            return replace(table, projection=Projection.nothing(table.scale))
        space = ContentSpace(str(arrays["encoder"]), arrays["content_mean"], arrays["content_axes"])
        told = Projection(arrays["told_vectors"], arrays["told_bias"], float(arrays["told_spread"]))
        return replace(table, space=space, projection=told)

    def is_same(self, other: "WriteTable") -> bool:
        """Whether every event writes the same by both."""
        mine, theirs = self.arrays(), other.arrays()
        return all(np.array_equal(mine[name], theirs[name]) for name in mine)

    def vectors_of(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.float32]:
        """float32 [n, DIM]: what each item writes, known or not."""
        out = np.empty((len(hashes), DIM), np.float32)
        for i, row in enumerate(self.rows(hashes)):
            if row >= 0:
                out[i] = self.vectors[row]
            else:
                hashed_vector(hashes[i], self.scale, out[i])
        return out


def empty_table() -> WriteTable:
    """A table without items: everything is hashed."""
    return WriteTable(np.empty(0, np.uint64), np.empty((0, DIM), np.float32), np.empty((0, FACET_DIM), np.float32))


@kernel
def hashed_vector(item, scale, out):  # type: ignore[no-untyped-def]
    """Fill `out` with uniform numbers of standard deviation `scale`, drawn by splitmix64 from the item's hash."""
    state = item
    for i in range(len(out)):
        state += _GOLDEN
        z = state
        z = (z ^ (z >> np.uint64(30))) * _MIX_1
        z = (z ^ (z >> np.uint64(27))) * _MIX_2
        z ^= z >> np.uint64(31)
        unit = np.float64(z >> np.uint64(11)) * 1.1102230246251565e-16
        out[i] = np.float32((2.0 * unit - 1.0) * scale * _SQRT_3)


@kernel
def _hashed_vectors(items, scale, out):  # type: ignore[no-untyped-def]
    for i in range(len(items)):
        hashed_vector(items[i], scale, out[i])
