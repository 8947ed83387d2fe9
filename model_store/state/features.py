"""What the model reads of a state: means of the lanes, and how much stands behind them."""

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel
from model_store.state.layout import DIM, FACET_DIM, LANES, RANK_LANES, TIME_LANES

FEATURES = LANES * DIM + 2 * FACET_DIM + LANES + 2
"""Length of a feature row: rank lanes, time lanes, content, social, then log1p of each of their weights."""

MIN_WEIGHT = 1e-3
"""A mean is sum / max(weight, MIN_WEIGHT): what has faded to nothing reads as nothing, not as noise."""


def features(records: npt.NDArray[np.void], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """float32 [n, FEATURES] of the users in `rows` (int64 [n]). Decay cancels in a mean, so no clock is needed."""
    out = np.empty((len(rows), FEATURES), np.float32)
    _features(records, rows, out)
    return out


@kernel
def _features(records, rows, out):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        record = records[rows[i]]
        at, log = 0, LANES * DIM + 2 * FACET_DIM
        for lane in range(RANK_LANES):
            at, log = _mean(record.rank[lane], record.rank_weight[lane], out[i], at, log)
        for lane in range(TIME_LANES):
            at, log = _mean(record.time[lane], record.time_weight[lane], out[i], at, log)
        at, log = _mean(record.content, record.content_weight, out[i], at, log)
        at, log = _mean(record.social, record.social_weight, out[i], at, log)


@kernel
def _mean(lane, weight, out, at, log):  # type: ignore[no-untyped-def]
    """Write a lane's mean at `at` and its log-weight at `log`; return the two next places."""
    by = np.float32(1.0) / max(weight, np.float32(MIN_WEIGHT))
    for d in range(len(lane)):
        out[at + d] = lane[d] * by
    out[log] = np.log1p(max(weight, np.float32(0.0)))
    return at + len(lane), log + 1
