"""Whom to show: a user who is active now, and long enough to see the interests move."""

import numpy as np

from model_store.training.interactions import Interactions

RECENT = 400


class Spotlight:
    """Stays with a user for as long as events come, then moves to the busiest of the last `RECENT` interactions."""

    def __init__(self, data: Interactions) -> None:
        self._data = data
        self._shown: int | None = None

    def user_id(self, row: int) -> str:
        """Whom to show when the replay has come to this interaction."""
        row = min(max(row, 0), len(self._data) - 1)
        recent = self._data.user[max(0, row - RECENT) : row + 1]
        if self._shown is None or self._shown not in recent:
            users, counts = np.unique(recent, return_counts=True)
            self._shown = int(users[counts.argmax()])
        return self._data.users[self._shown]
