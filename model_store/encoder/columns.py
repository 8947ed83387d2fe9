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

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Named views (no copies) of output rows, float32 [n, 4 * DIM + topics].

    Attributes:
        vector: [n, DIM], all dimensions of interest in one; score(item) = vector . item vector + item bias.
        behaviour, social, content: [n, DIM], one dimension of interest each.
        topics: [n, topics], probabilities that sum to 1.
    """

    vector: Float32
    behaviour: Float32
    social: Float32
    content: Float32
    topics: Float32

    @staticmethod
    def of(rows: Float32) -> "Outputs":
        """Split output rows."""
        vector, behaviour, social, content = (rows[:, i * DIM : (i + 1) * DIM] for i in range(len(FACETS) + 1))
        return Outputs(vector, behaviour, social, content, rows[:, VECTORS:])


__all__ = ["BANK", "CONTENT", "FACETS", "FEATURES", "SOCIAL", "VECTORS", "WEIGHTS", "Outputs"]
