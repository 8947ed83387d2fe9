"""Which columns of a feature row and of an output row mean what; nothing here needs TensorFlow."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.state.context import CONTEXT_WIDTH
from model_store.state.features import FEATURES
from model_store.state.layout import DIM, FACET_DIM, LANES

BANK = slice(0, LANES * DIM)
CONTENT = slice(BANK.stop, BANK.stop + FACET_DIM)
SOCIAL = slice(CONTENT.stop, CONTENT.stop + DIM)
WEIGHTS = slice(SOCIAL.stop, SOCIAL.stop + LANES + 1)  # log-weights of the bank and of content
FOLLOWED = slice(WEIGHTS.stop, WEIGHTS.stop + 1)  # that of the followees
CONTEXT = slice(FOLLOWED.stop, FOLLOWED.stop + CONTEXT_WIDTH)  # hours, weekdays and regions, see `state/context.py`

FACETS = ("behaviour", "social", "content")
VECTORS = (len(FACETS) + 1) * DIM

POPULARITY_HALF_LIVES_DAYS = (0.25, 1.0, 7.0, 30.0)
PRIORS = len(POPULARITY_HALF_LIVES_DAYS)
BLEND = PRIORS + 1
"""Columns at the end of an output row: how much a user's scores take from each popularity, and from transitions."""

INTEREST = DIM + 1
"""Columns of each further interest, at the very end: its vector, and the logarithm of how much it counts.

There are fewer topics than that (at most FACET_DIM), so the width of a row tells how many interests it has.
"""

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Named views (no copies) of output rows, float32 [n, VECTORS + topics + BLEND + further * INTEREST].

    Attributes:
        vector: [n, DIM], all dimensions of interest in one; the first of several interests. `catalog.index` says how
            it scores items.
        behaviour, social, content: [n, DIM], one dimension of interest each.
        topics: [n, topics], probabilities that sum to 1.
        priors: [n, PRIORS], the weight of each of the items' popularity columns.
        transitions: [n], what is added to the weight of item transitions.
        further: [n, further, DIM], the other interests' vectors.
        log_weights: [n, further], how much each of them counts beside `vector`, whose logarithm is 0.
    """

    vector: Float32
    behaviour: Float32
    social: Float32
    content: Float32
    topics: Float32
    priors: Float32
    transitions: Float32
    further: Float32
    log_weights: Float32

    @staticmethod
    def of(rows: Float32) -> "Outputs":
        """Split output rows."""
        vector, behaviour, social, content = (rows[:, i * DIM : (i + 1) * DIM] for i in range(len(FACETS) + 1))
        blend, further = _ends(rows.shape[1])
        topics, priors = rows[:, VECTORS:blend], rows[:, blend : blend + PRIORS]
        more = rows[:, further:].reshape(len(rows), (rows.shape[1] - further) // INTEREST, INTEREST)
        return Outputs(
            vector, behaviour, social, content, topics, priors, rows[:, blend + PRIORS], more[..., :DIM], more[..., DIM]
        )

    def dots(self, items: Float32) -> Float32:
        """float32 [n, m] with items' vectors (float32 [m, DIM]): log sum over interests of exp(log weight + dot)."""
        dots = self.vector @ items.T
        for place in range(self.further.shape[1]):
            dots = np.logaddexp(dots, self.further[:, place] @ items.T + self.log_weights[:, place, None])
        return dots


def shown(rows: Float32) -> Float32:
    """What readers are shown of output rows: float32 [n, VECTORS + topics], without what scores are made of. A view."""
    return rows[:, : _ends(rows.shape[1])[0]]


def _ends(width: int) -> tuple[int, int]:
    """Where in a row of that width the topics end, and the blend."""
    further = width - (width - VECTORS - BLEND) // INTEREST * INTEREST
    return further - BLEND, further


__all__ = [
    "BANK",
    "BLEND",
    "CONTENT",
    "CONTEXT",
    "FACETS",
    "FEATURES",
    "FOLLOWED",
    "INTEREST",
    "POPULARITY_HALF_LIVES_DAYS",
    "PRIORS",
    "SOCIAL",
    "VECTORS",
    "WEIGHTS",
    "Outputs",
    "shown",
]
