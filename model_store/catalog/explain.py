"""Which of a user's last clicks moved the score of a pick most.

Told by deletion: each of the last `CLICKS` clicks is taken out of the state, what is left goes through the readout, and
the pick is scored again. The click without which the score is lowest is the reason; where no click raised the score
there is none. Older clicks are not tried: `tests.bench.explanations` measures how often one of them says more.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.catalog.index import ItemIndex, Picks
from model_store.state.features import features
from model_store.state.layout import RING
from model_store.state.memory import Decays
from model_store.state.without import without
from model_store.state.writes import WriteTable

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

CLICKS = 3
"""Clicks that are tried, the newest ones."""

ReadOut = Callable[[Float32], Float32]
"""From features, float32 [n, FEATURES], to outputs, float32 [n, width]."""


@dataclass(frozen=True, slots=True)
class Explainer:
    """Finds the reasons of picks.

    Attributes:
        index: that the picks are from.
        writes, decays: that the states were made with.
    """

    index: ItemIndex
    writes: WriteTable
    decays: Decays

    def because(
        self,
        records: npt.NDArray[np.void],
        rows: Int64,
        picks: Picks,
        read_out: ReadOut,
        social: Float32 | None = None,
    ) -> Int32:
        """int32 [n, k]: row of the item whose click raised each pick's score most; -1 where none did, and where it is
        an item that the index does not have.

        `picks`: of the n users in `records[rows]`; `social`: of the same, as `features` takes it. At most n * CLICKS
        rows are read out, all at once.
        """
        states = records[rows]
        scores = self._scores_without(states, picks, read_out, social)
        lowest = scores.argmin(axis=1)
        clicked = np.take_along_axis(self._clicked(states), lowest, axis=1)
        return np.where(scores.min(axis=1) < picks.score, clicked, -1).astype(np.int32)

    def _scores_without(
        self, states: npt.NDArray[np.void], picks: Picks, read_out: ReadOut, social: Float32 | None
    ) -> Float32:
        """float32 [n, CLICKS, k]: the picks' scores without each of the last clicks; inf where there is no click."""
        scores = np.full((len(states), CLICKS, picks.item.shape[1]), np.inf, np.float32)
        user, age = np.nonzero(np.arange(CLICKS) < states["clicks"][:, None])
        left = without(states, user, age, self.writes, self.decays)
        rows = np.arange(len(left))
        read = features(left, rows, None if social is None else social[user])
        scores[user, age] = self.index.scores_of(picks.item[user], left, rows, read_out(read))
        return scores

    def _clicked(self, states: npt.NDArray[np.void]) -> Int64:
        """int64 [n, CLICKS]: rows of the items clicked last, newest first; -1 for none and for unknown ones."""
        slot = (states["clicks"][:, None].astype(np.int64) - 1 - np.arange(CLICKS)) % RING
        return self.index.rows_of(np.take_along_axis(states["ring"], slot, axis=1))
