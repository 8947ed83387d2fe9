"""A state of which the sums take a byte a number: a quarter of the space where most of it goes.

    number = byte * peak / 127,  peak = the largest absolute number of its lane or histogram

Quantising what was quantised changes nothing, so a state that is read and written again and again does not wear off.
All but the sums stays exact. `interest bench ranking` tells what it costs.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from model_store.state.layout import LANES, USER

Records = npt.NDArray[np.void]

_SUMS = ("rank", "time", "content", "context_hour", "context_weekday", "context_region")
_STEPS = 127
_PEAKS = LANES + len(_SUMS[2:])

QUANTISED = np.dtype(
    [(name, "i1" if name in _SUMS else kind, *shape) for name, kind, *shape in USER.descr]
    + [("peak", "<f4", (_PEAKS,)), ("unused_too", "u1", (1,))]
)
"""`USER` with bytes for sums, and the peaks of the rank lanes, the time lanes, content, and the histograms."""


def quantised(records: Records) -> Records:
    """`QUANTISED` [n] of `USER` [n]. What is not finite stays so, as a whole lane."""
    out = _with_others(records, QUANTISED)
    for place, (sums, steps) in enumerate(zip(_lanes(records), _lanes(out), strict=True)):
        peak = np.abs(sums).max(axis=1)
        out["peak"][:, place] = peak
        lossy = np.isfinite(peak) & (peak > 0)
        steps[lossy] = np.rint(_STEPS * sums[lossy].astype(np.float64) / peak[lossy, None])
    return out


def restored(records: Records) -> Records:
    """`USER` [n] of `QUANTISED` [n]."""
    out = _with_others(records, USER)
    with np.errstate(invalid="ignore", over="ignore"):  # of what is not finite, and of peaks that nothing here wrote
        for place, (steps, sums) in enumerate(zip(_lanes(records), _lanes(out), strict=True)):
            sums[:] = steps * records["peak"][:, place, None].astype(np.float64) / _STEPS
    return out


def _with_others(records: Records, layout: np.dtype[np.void]) -> Records:
    """Records of that layout, empty but for what both have."""
    out = np.zeros(len(records), layout)
    for name in USER.names or ():
        if name not in _SUMS:
            out[name] = records[name]
    return out


def _lanes(records: Records) -> list[npt.NDArray[Any]]:
    """Views of the sums, [n, DIM] and the like, in the order of the peaks."""
    banks = [records[name][:, lane] for name in _SUMS[:2] for lane in range(records[name].shape[1])]
    return [*banks, *(records[name] for name in _SUMS[2:])]
