"""Which columns of a feature row and of an output row mean what; nothing here needs TensorFlow."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.state.features import FEATURES
from model_store.state.layout import DIM, FACET_DIM, LANES

BANK = slice(0, LANES * DIM)
CONTENT = slice(BANK.stop, BANK.stop + FACET_DIM)
SOCIAL = slice(CONTENT.stop, CONTENT.stop + FACET_DIM)
WEIGHTS = slice(SOCIAL.stop, SOCIAL.stop + LANES + 1)  # log-weights of the bank and of content, without social's

FACETS = ("behaviour", "social", "content")
VECTORS = (len(FACETS) + 1) * DIM

POPULARITY_HALF_LIVES_DAYS = (0.25, 1.0, 7.0, 30.0)
PRIORS = len(POPULARITY_HALF_LIVES_DAYS)
BLEND = PRIORS + 1
"""Columns at the end of an output row: how much a user's scores take from each popularity, and from transitions."""

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Named views (no copies) of output rows, float32 [n, VECTORS + topics + BLEND].

    Attributes:
        vector: [n, DIM], all dimensions of interest in one; `catalog.index` says how it scores items.
        behaviour, social, content: [n, DIM], one dimension of interest each.
        topics: [n, topics], probabilities that sum to 1.
        priors: [n, PRIORS], the weight of each of the items' popularity columns.
        transitions: [n], what is added to the weight of item transitions.
    """

    vector: Float32
    behaviour: Float32
    social: Float32
    content: Float32
    topics: Float32
    priors: Float32
    transitions: Float32

    @staticmethod
    def of(rows: Float32) -> "Outputs":
        """Split output rows."""
        vector, behaviour, social, content = (rows[:, i * DIM : (i + 1) * DIM] for i in range(len(FACETS) + 1))
        topics, blend = rows[:, VECTORS:-BLEND], rows[:, -BLEND:]
        return Outputs(vector, behaviour, social, content, topics, blend[:, :PRIORS], blend[:, PRIORS])


def shown(rows: Float32) -> Float32:
    """What readers are shown of output rows: float32 [n, VECTORS + topics], without the blend. A view."""
    return rows[:, :-BLEND]


__all__ = [
    "BANK",
    "BLEND",
    "CONTENT",
    "FACETS",
    "FEATURES",
    "POPULARITY_HALF_LIVES_DAYS",
    "PRIORS",
    "SOCIAL",
    "VECTORS",
    "WEIGHTS",
    "Outputs",
    "shown",
]
