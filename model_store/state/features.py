"""What the model reads of a state: means of the lanes, how much stands behind them, whom the user follows, and when and
where the user clicks."""

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel
from model_store.state import context
from model_store.state.context import CONTEXT_WIDTH
from model_store.state.layout import DIM, FACET_DIM, LANES, RANK_LANES, TIME_LANES

SOCIAL_WIDTH = DIM + 1
FEATURES = LANES * DIM + FACET_DIM + DIM + LANES + 2 + CONTEXT_WIDTH
"""Length of a feature row: rank lanes, time lanes, content, social, then log1p of each of their weights, and the
context."""

MIN_WEIGHT = 1e-3
"""A mean is sum / max(weight, MIN_WEIGHT): what has faded to nothing reads as nothing, not as noise."""

_SOCIAL, _WEIGHTS = LANES * DIM + FACET_DIM, LANES * DIM + FACET_DIM + DIM
_CONTEXT = FEATURES - CONTEXT_WIDTH
_FOLLOWED = _CONTEXT - 1

Float32 = npt.NDArray[np.float32]


def features(records: npt.NDArray[np.void], rows: npt.NDArray[np.int64], social: Float32 | None = None) -> Float32:
    """float32 [n, FEATURES] of the users in `rows` (int64 [n]). Decay cancels in a mean, so no clock is needed.

    `social`: float32 [n, SOCIAL_WIDTH] of the same users (`followees.Followees.social`); without it they follow nobody.
    """
    out = np.empty((len(rows), FEATURES), np.float32)
    _features(records, rows, out)
    put_social(out, social)
    return out


def put_social(rows: Float32, social: Float32 | None) -> None:
    """Write the social columns of feature rows, float32 [n, FEATURES]; zeros without any."""
    rows[:, _SOCIAL:_WEIGHTS] = 0 if social is None else social[:, :DIM]
    rows[:, _FOLLOWED] = 0 if social is None else social[:, DIM]


def put_context(
    rows: Float32, records: npt.NDArray[np.void], of: npt.NDArray[np.int64], now_ms: npt.NDArray[np.int64]
) -> None:
    """Write the context columns of feature rows, float32 [n, FEATURES], of the users in `of`. `now_ms`, int64 [n], is
    in the place of the time of each one's last event."""
    _contexts(records, of, now_ms, rows)


@kernel
def _contexts(records, rows, now_ms, out):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        context.read(records[rows[i]], now_ms[i], out[i, _CONTEXT:])


@kernel
def _features(records, rows, out):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        record = records[rows[i]]
        at, log = 0, _WEIGHTS
        for lane in range(RANK_LANES):
            at, log = _mean(record.rank[lane], record.rank_weight[lane], out[i], at, log)
        for lane in range(TIME_LANES):
            at, log = _mean(record.time[lane], record.time_weight[lane], out[i], at, log)
        _mean(record.content, record.content_weight, out[i], at, log)
        context.read(record, record.bank_ts_ms, out[i, _CONTEXT:])


@kernel
def _mean(lane, weight, out, at, log):  # type: ignore[no-untyped-def]
    """Write a lane's mean at `at` and its log-weight at `log`; return the two next places."""
    by = np.float32(1.0) / max(weight, np.float32(MIN_WEIGHT))
    for d in range(len(lane)):
        out[at + d] = lane[d] * by
    out[log] = np.log1p(max(weight, np.float32(0.0)))
    return at + len(lane), log + 1
