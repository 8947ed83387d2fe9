"""When and where a user clicks: decayed counts of clicks by hour of day, day of week and region.

    context_hour, context_weekday   by event time in UTC; weekday 0 is Monday
    context_region                  by bin: the hash of the region's name, modulo REGIONS
    context_weight                  of all clicks, with or without a region
    context_region_last             bin + 1 of the last click that had a region, in order of arrival; 0: none had

They are kept where the generation's half-life for them is not 0, and stay zero elsewhere. Linear like the lanes: a late
click lands exactly where it belongs. What is read has "now" for the time of the user's last event, not for that of who
asks, so a replay reads the same.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel
from model_store.state.hashing import hash_ids
from model_store.state.layout import HOURS, REGIONS, WEEKDAYS

_HARMONICS = 2
_WAVES = 2 * _HARMONICS
CONTEXT_WIDTH = 4 * _WAVES + 2 * REGIONS + 3
"""Columns: the first two harmonics (cosines, then sines) of the usual hour, of the usual weekday, of the hour and the
weekday now; the regions' shares; the last region, one-hot; how usual the hour and the weekday are now, and log1p of the
weight. All of them are 0 for who has no context."""

_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday
_FLOOR = 0.2
"""Where the logarithm of how usual a time is bends: at a fifth of what it would be if all times were alike."""
_MIN_WEIGHT = np.float32(1e-3)  # as in `features.py`


def region_bins(names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """uint8 [n]: what a batch has for regions of these names, 1 .. REGIONS."""
    return (hash_ids(names).hash % REGIONS + 1).astype(np.uint8)


def _waves(count: int) -> npt.NDArray[np.float32]:
    """float32 [count, _WAVES]: harmonics at each of `count` places of a circle."""
    angles: npt.NDArray[Any] = 2 * np.pi * np.arange(count)[:, None] * np.arange(1, _HARMONICS + 1) / count
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


_DAY, _WEEK = _waves(HOURS), _waves(WEEKDAYS)


@kernel
def _hour_of(ts_ms):  # type: ignore[no-untyped-def]
    return ts_ms // _HOUR_MS % HOURS


@kernel
def _weekday_of(ts_ms):  # type: ignore[no-untyped-def]
    return (ts_ms // _DAY_MS + _FIRST_WEEKDAY) % WEEKDAYS


@kernel
def count_click(record, ts_ms, region, rate):  # type: ignore[no-untyped-def]
    """A click, when `bank_ts_ms` has moved on to it. `rate`: halvings per millisecond; 0: keep no context."""
    if rate <= 0:
        return
    gain = np.float32(2.0 ** (-(record.bank_ts_ms - ts_ms) * rate))
    record.context_hour[_hour_of(ts_ms)] += gain
    record.context_weekday[_weekday_of(ts_ms)] += gain
    record.context_weight += gain
    if 0 < region <= REGIONS:
        record.context_region[region - 1] += gain
        record.context_region_last = region


@kernel
def fade(record, age_ms, rate):  # type: ignore[no-untyped-def]
    if rate <= 0:
        return
    factor = np.float32(2.0 ** (-age_ms * rate))
    for hour in range(HOURS):
        record.context_hour[hour] *= factor
    for day in range(WEEKDAYS):
        record.context_weekday[day] *= factor
    for region in range(REGIONS):
        record.context_region[region] *= factor
    record.context_weight *= factor


@kernel
def clear(record):  # type: ignore[no-untyped-def]
    record.context_hour[:], record.context_weekday[:] = np.float32(0), np.float32(0)
    record.context_region[:], record.context_weight = np.float32(0), 0
    record.context_region_last = 0


@kernel
def read(record, now_ms, out):  # type: ignore[no-untyped-def]
    """Fill `out`, float32 [CONTEXT_WIDTH]."""
    out[:] = np.float32(0)
    if not record.context_weight > 0:
        return
    by, log_weight = np.float32(1.0) / max(record.context_weight, _MIN_WEIGHT), np.log1p(record.context_weight)
    hour, day, last = _hour_of(now_ms), _weekday_of(now_ms), np.int64(record.context_region_last)
    for wave in range(_WAVES):
        for h in range(HOURS):
            out[wave] += record.context_hour[h] * by * _DAY[h, wave]
        for d in range(WEEKDAYS):
            out[_WAVES + wave] += record.context_weekday[d] * by * _WEEK[d, wave]
        out[2 * _WAVES + wave], out[3 * _WAVES + wave] = _DAY[hour, wave], _WEEK[day, wave]
    at = 4 * _WAVES
    for region in range(REGIONS):
        out[at + region] = record.context_region[region] * by
    if 0 < last <= REGIONS:
        out[at + REGIONS + last - 1] = 1
    at += 2 * REGIONS
    out[at] = _usual(record.context_hour[hour] * by * HOURS, log_weight)
    out[at + 1] = _usual(record.context_weekday[day] * by * WEEKDAYS, log_weight)
    out[at + 2] = log_weight


@kernel
def _usual(ratio, log_weight):  # type: ignore[no-untyped-def]
    """Logarithm of a share beside an even one, as far as there is anything to tell it by."""
    return np.log(np.float32(_FLOOR) + ratio) * min(log_weight, np.float32(1.0))
