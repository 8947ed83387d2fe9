"""Whether a new version may replace the served one: judged on clicks of late that neither has learnt from."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.catalog.transitions import LAG_WEIGHTS
from model_store.model import InterestModel
from model_store.training.metrics import ranks
from model_store.training.online.examples import Clicks

Float64 = npt.NDArray[np.float64]

HELD_OUT_MODULUS = 1 << 16
_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the guard found.

    Attributes:
        promote: whether the candidate may be served.
        why: for people.
        clicks: how many were held out.
        candidate, served: mean reciprocal ranks on them; NaN where there were none.
    """

    promote: bool
    why: str
    clicks: int = 0
    candidate: float = float("nan")
    served: float = float("nan")


class HeldOut:
    """A share of the clicks, kept for `seconds` by time of arrival. Nothing learns from them or counts them."""

    def __init__(self, share: float, seconds: float) -> None:
        self._bound, self._seconds = round(share * HELD_OUT_MODULUS), seconds
        self._kept: deque[tuple[float, Clicks]] = deque()

    def split(self, clicks: Clicks, event: npt.NDArray[np.uint64], now_s: float) -> Clicks:
        """Keep some of the clicks (by the hashes of their event ids, uint64 [n]) and return the others.

        A click that is delivered again goes the same way as before.
        """
        held = (event >> np.uint64(16)) % np.uint64(HELD_OUT_MODULUS) < self._bound
        if held.any():
            self._kept.append((now_s, clicks.take(held)))
        while self._kept and self._kept[0][0] < now_s - self._seconds:
            self._kept.popleft()
        return clicks.take(~held)

    def clicks(self) -> Clicks:
        """All that are kept, in order of arrival."""
        return Clicks.concat([clicks for _, clicks in self._kept])

    def forget(self, users: npt.NDArray[np.uint64]) -> None:
        """Drop the clicks of users (hashes of their keys) who were erased."""
        self._kept = deque((at, clicks.take(~np.isin(clicks.user, users))) for at, clicks in self._kept)

    def restore(self, clicks: Clicks, now_s: float) -> None:
        """Take back what `clicks` gave, as if it had arrived now."""
        self._kept = deque([(now_s, clicks)] if len(clicks) else [])


def judge(candidate: InterestModel, served: InterestModel, held_out: Clicks, enough: int) -> Verdict:
    """The candidate is refused if it gives anything that is not finite, or loses: its reciprocal ranks are lower than
    the served version's by more than two standard errors of their paired difference, on at least `enough` clicks.

    A click on an item that a version does not know counts 0 for it.
    """
    new, finite = _reciprocal_ranks(candidate, held_out)
    if not finite or not candidate.index.is_finite():
        return Verdict(False, "it has NaN or infinity in its scores", len(held_out))
    if len(held_out) < enough:
        return Verdict(True, f"only {len(held_out)} clicks were held out, too few to compare", len(held_out))
    old, _ = _reciprocal_ranks(served, held_out)
    loss = old - new
    error = float(loss.std()) / len(loss) ** 0.5
    figures = len(loss), float(new.mean()), float(old.mean())
    told = f"mean reciprocal rank {figures[1]:.4f}, the served version's {figures[2]:.4f}, {figures[0]} held-out clicks"
    return Verdict(not loss.mean() > 2 * error, told, *figures)


def _reciprocal_ranks(model: InterestModel, clicks: Clicks) -> tuple[Float64, bool]:
    """float64 [n], with the items of the ring left out, and whether all scores were finite."""
    index, parts, finite = model.index, [np.empty(0)], True
    for start in range(0, len(clicks), _CHUNK):
        some = clicks.take(np.arange(start, min(len(clicks), start + _CHUNK)))
        wanted, seen = index.rows_of(some.item), index.rows_of(some.ring)
        scores = index.score(model.readout.large(some.features), seen[:, : len(LAG_WEIGHTS)].astype(np.int32))
        finite &= bool(np.isfinite(scores).all())
        hidden = np.zeros(scores.shape, np.bool_)
        row, lag = np.nonzero(seen >= 0)
        hidden[row, seen[row, lag]] = True
        known = wanted >= 0
        rank = ranks(scores, np.maximum(wanted, 0), hidden)
        parts.append(np.where(known & (rank < len(index)), 1 / (1.0 + rank), 0.0))
    return np.concatenate(parts), finite
