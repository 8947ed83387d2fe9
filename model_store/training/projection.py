"""Items and a user's way among them in two dimensions, for a picture."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.encoder.columns import Outputs
from model_store.model import InterestModel
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.features import features
from model_store.training.evaluate import index_rows
from model_store.training.interactions import Interactions
from model_store.training.states import Events

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Plane:
    """The two directions in which directions of vectors differ most (principal components, Pearson 1901).

    Attributes:
        centre: float32 [d], the mean direction.
        axes: float32 [d, 2], orthonormal.
        explained: share of the directions' variance that each axis shows.
    """

    centre: Float32
    axes: Float32
    explained: tuple[float, float]

    @staticmethod
    def of(vectors: Float32, weight: Float32) -> "Plane":
        """Fitted to float32 [m, d], of which each counts by its weight, float32 [m].

        Lengths are left out: they say how sure a score is, not of what.
        """
        units = _units(vectors)
        centre = np.average(units, axis=0, weights=weight).astype(np.float32)
        _, sizes, axes = np.linalg.svd((units - centre) * np.sqrt(weight)[:, None], full_matrices=False)
        share = sizes**2 / max(1e-12, float((sizes**2).sum()))
        return Plane(centre, axes[:2].T, (float(share[0]), float(share[1])))

    def of_vectors(self, vectors: Float32) -> Float32:
        """float32 [n, 2] of float32 [n, d]."""
        return np.asarray((_units(vectors) - self.centre) @ self.axes, np.float32)


def vectors_after_each(model: InterestModel, data: Interactions, user: int) -> Float32:
    """float32 [n, DIM]: the vector of one user (index) after each of the n interactions, from the oldest on."""
    own = data.take(data.user == user)
    arena, events = Arena(1), Events(own)
    found = np.empty((len(own), model.readout.width), np.float32)
    for place in range(len(own)):
        batch = events.batch(place, place + 1)
        rows = arena.rows_of(batch.keys)
        advance(arena, rows, batch, model.writes, model.decays)
        found[place] = model.readout.small(features(arena.records, rows[:1]))
    return Outputs.of(found).vector


def interactions_of_items(model: InterestModel, data: Interactions) -> Float32:
    """float32 [m]: how many interactions `data` has with each of the model's items."""
    rows = index_rows(model, list(data.items))[data.item]
    return np.bincount(rows[rows >= 0], minlength=len(model.index)).astype(np.float32)


def typical_user(data: Interactions) -> int:
    """Index of the first user with a history of median length."""
    lengths = np.bincount(data.user, minlength=len(data.users))
    some = lengths > 0
    order = np.flatnonzero(some)[np.argsort(lengths[some], kind="stable")]
    return int(order[len(order) // 2])


def _units(vectors: Float32) -> Float32:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
