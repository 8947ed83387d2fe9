"""The decayed memory bank: how much an event weighs, and how fast it fades.

A lane is a sum S = sum_i gain_i * decay_i * w_i of write vectors and the matching weight sum_i |gain_i| * decay_i.
Rank lanes decay by one step at each click, in order of arrival: order inside a session counts, a late event counts as
new. Time lanes decay by event time: 2 ** (-age / half_life), so a late event lands exactly where it belongs and a
retraction subtracts exactly what was added. Both are linear in the events.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel
from model_store.state.layout import RANK_LANES, TIME_LANES

HOUR_MS = 3_600_000.0
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Decays:
    """Half-lives of the lanes; constants of a model generation.

    Attributes:
        rank_half_lives_events: one for each rank lane, in clicks.
        time_half_lives_ms: one for each time lane.
        content_half_life_ms: of the content lane.
        context_half_life_ms: of the counts by hour, weekday and region; 0: they are not kept.
    """

    rank_half_lives_events: tuple[float, ...] = (0.7, 5.0, 50.0)
    time_half_lives_ms: tuple[float, ...] = (DAY_MS, 30 * DAY_MS)
    content_half_life_ms: float = 30 * DAY_MS
    context_half_life_ms: float = 0.0

    def __post_init__(self) -> None:
        if len(self.rank_half_lives_events) != RANK_LANES or len(self.time_half_lives_ms) != TIME_LANES:
            raise ValueError(f"{RANK_LANES} rank and {TIME_LANES} time half-lives are needed, got {self}")
        if min(*self.rank_half_lives_events, *self.time_half_lives_ms, self.content_half_life_ms) <= 0:
            raise ValueError(f"half-lives must be positive, got {self}")
        if self.context_half_life_ms < 0:
            raise ValueError(f"the context's half-life must be positive, or 0 for none, got {self}")

    @property
    def keeps_context(self) -> bool:
        return self.context_half_life_ms > 0

    @property
    def rank_steps(self) -> npt.NDArray[np.float64]:
        """float64 [RANK_LANES]: what a rank lane is multiplied by at each click."""
        return 2.0 ** (-1.0 / np.asarray(self.rank_half_lives_events, np.float64))

    @property
    def time_rates(self) -> npt.NDArray[np.float64]:
        """float64 [TIME_LANES + 2]: halvings per millisecond of the time lanes, the content lane and the context, whose
        rate is 0 where there is none."""
        lanes = 1.0 / np.asarray([*self.time_half_lives_ms, self.content_half_life_ms], np.float64)
        return np.append(lanes, 1.0 / self.context_half_life_ms if self.keeps_context else 0.0)


@kernel
def rating_gain(rating):  # type: ignore[no-untyped-def]
    """Gain of a rating in 0..1 of its scale: -0.5 for the worst, 0 for an indifferent one, 0.5 for the best."""
    return rating - 0.5
