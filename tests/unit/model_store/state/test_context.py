"""What is read of when and where a user clicks, against numbers worked out in plain Python."""

from datetime import UTC, datetime
from math import cos, log, log1p, pi, sin

import numpy as np
import pytest

from model_store.encoder.columns import CONTEXT
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.context import CONTEXT_WIDTH, region_bins
from model_store.state.features import features, put_context
from model_store.state.hashing import hash_id
from model_store.state.layout import USER, Kind
from model_store.state.memory import DAY_MS, HOUR_MS, Decays
from model_store.state.writes import empty_table

ROW = np.zeros(1, np.int64)
HALF_LIFE_MS = 30 * DAY_MS
MONDAY_AT_8 = int(datetime(2026, 1, 5, 8, 30, tzinfo=UTC).timestamp() * 1000)


def _after(clicks: list[tuple[int, int]], half_life_ms: float = HALF_LIFE_MS) -> Arena:
    """One user's state after clicks at these times, from these regions."""
    arena, count = Arena(), len(clicks)
    batch = EventBatch(
        keys=[b"u"] * count,
        kind=np.full(count, Kind.CLICK, np.int8),
        offset=np.arange(count),
        ts_ms=np.array([ts_ms for ts_ms, _ in clicks], np.int64),
        event=np.arange(1, count + 1).astype(np.uint64),
        item=np.arange(1, count + 1).astype(np.uint64),
        value=np.zeros(count, np.float32),
        region=np.array([region for _, region in clicks], np.uint8),
        event_ids=[""] * count,
    )
    decays = Decays(context_half_life_ms=half_life_ms)
    advance(arena, arena.rows_of(batch.keys), batch, empty_table(), decays)
    return arena


def _waves(shares: dict[int, float], count: int) -> list[float]:
    """Cosines, then sines, of the first two harmonics."""
    return [
        sum(share * wave(2 * pi * harmonic * at / count) for at, share in shares.items())
        for wave in (cos, sin)
        for harmonic in (1, 2)
    ]


def test_a_row_tells_the_usual_times_and_regions_and_the_last_ones() -> None:
    """Three clicks of weight 1/4, 1/2 and 1: Monday at 8, a Wednesday at 8, a Friday at 20."""
    wednesday, friday = MONDAY_AT_8 + int(30 * DAY_MS), MONDAY_AT_8 + int(60 * DAY_MS + 12 * HOUR_MS)
    assert [datetime.fromtimestamp(ts / 1000, UTC).weekday() for ts in (MONDAY_AT_8, wednesday, friday)] == [0, 2, 4]
    arena = _after([(MONDAY_AT_8, 2), (wednesday, 5), (friday, 0)])
    weights = [2.0 ** -((friday - ts) / HALF_LIFE_MS) for ts in (MONDAY_AT_8, wednesday, friday)]
    total = sum(weights)
    first, second, third = (weight / total for weight in weights)
    regions, last = [0.0] * 8, [0.0] * 8
    regions[1], regions[4], last[4] = first, second, 1.0
    expected = [
        *_waves({8: first + second, 20: third}, 24),
        *_waves({0: first, 2: second, 4: third}, 7),
        *_waves({20: 1.0}, 24),
        *_waves({4: 1.0}, 7),
        *regions,
        *last,
        log(0.2 + 24 * third) * min(1.0, log1p(total)),
        log(0.2 + 7 * third) * min(1.0, log1p(total)),
        log1p(total),
    ]
    assert len(expected) == CONTEXT_WIDTH
    found = features(arena.records, ROW)
    np.testing.assert_allclose(found[0, CONTEXT], expected, rtol=1e-4, atol=1e-5)


def test_who_asks_at_another_time_has_another_now() -> None:
    arena = _after([(MONDAY_AT_8, 0)])
    row = features(arena.records, ROW)
    asked = row.copy()
    put_context(asked, arena.records, ROW, np.array([MONDAY_AT_8]))
    np.testing.assert_array_equal(asked, row)
    put_context(asked, arena.records, ROW, np.array([MONDAY_AT_8 + 12 * int(HOUR_MS)]))
    changed = np.flatnonzero(asked != row)[[0, -1]] - CONTEXT.start
    assert changed.tolist() == [8, 32]  # the hour's harmonics now, and how usual it is
    np.testing.assert_allclose(asked[0, CONTEXT][32], log(0.2) * log1p(1.0), rtol=1e-5)


@pytest.mark.parametrize("clicks", [[], [(MONDAY_AT_8, 3)]])
def test_where_none_is_kept_nothing_is_read(clicks: list[tuple[int, int]]) -> None:
    arena = _after(clicks, half_life_ms=0.0) if clicks else Arena(1)
    assert not features(arena.records, ROW)[0, CONTEXT].any()


def test_regions_that_there_are_none_of_count_for_nothing() -> None:
    record = _after([(1, 9), (2, 255)]).records[0]
    assert (record["context_hour"][0], record["context_weekday"][3], record["context_weight"]) == (2.0, 2.0, 2.0)
    assert not record["context_region"].any()
    assert record["context_region_last"] == 0
    records = np.zeros(1, USER)
    records["context_weight"], records["context_region_last"] = 1.0, 200
    assert not features(records, ROW)[0, CONTEXT][24:32].any()


def test_regions_are_hashed_into_bins() -> None:
    names = ["de-BE", "fr", "地区", "x" * 1000]
    assert region_bins(names).tolist() == [hash_id(name) % 8 + 1 for name in names]


def test_a_negative_half_life_is_refused() -> None:
    with pytest.raises(ValueError, match="context"):
        Decays(context_half_life_ms=-1.0)
