"""What is kept of one user: a fixed-size record.

Every field is laid out so that *empty is zero*: a new user is a zeroed record, and the changelog codec
(`codec.py`) leaves zero words out. Times are event times in UTC: `_ms` milliseconds, `_s` whole seconds.

Fields
    version          events taken in ever, applied or not; monotonic, an erasure does not reset it. It depends on which
                     events were taken in, not on their order, so a replay in another order ends at the same version
    events           applied events since the last erasure
    next_offset      for each input (`Kind`): offset after the last applied one; what lies before is a replay
    event_ts_ms      latest event time applied
    erased_at_ms     events up to this time stay forgotten
    bank_ts_ms       the time to which the time-decayed lanes are decayed
    rank             (RANK_LANES, DIM): sums of click write vectors, decayed by one step at each click (arrival rank)
    time             (TIME_LANES, DIM): sums of write vectors of clicks (gain 1) and ratings (`rating_gain`), decayed by
                     event time
    content          (FACET_DIM,): the same for content vectors
    context_*        decayed counts of clicks by hour of day, day of week and region, see `context.py`
    *_weight         what the sums are divided by: the decayed sum of the absolute gains
    bucket_*         rolling windows, see `windows.py`; rating sums in thousandths, so that they subtract exactly
    ring             the last RING clicked items (hashes) in order of arrival; `clicks` % RING is the next slot
    rated_*          the last RATED rated items: latest rating of each in thousandths of the scale, and UNTOLD more if
                     nothing but its id was known of the item then; WITHDRAWN keeps the place of a withdrawn one, so
                     that an older rating that arrives later does not come back
    followee_*       the last FOLLOWEES targets, latest action of each; an unfollowed one keeps its place likewise. What
                     they stand for is looked up when a user is read out, see `followees.py`
    event_id         hashes of the last EVENT_IDS event ids; `event_id_count` % EVENT_IDS is the next slot
    seen             two generations of a Bloom filter of items clicked or rated, see `seen.py`
    term             of the ownership under which the record was last written; each owner of a partition has a higher
                     one than those before
    rec_*            the last recommendation: sequence number, wall-clock time, items (low half of the hashes), and a
                     quantised sketch of the vector it was made from
"""

from enum import IntEnum

import numpy as np

DIM = 64
FACET_DIM = 24
RANK_LANES = 3
TIME_LANES = 2
RING = 50
RATED = 16
FOLLOWEES = 32
EVENT_IDS = 16
HOURS, WEEKDAYS, REGIONS = 24, 7, 8
SEEN_WORDS = 28
REC_ITEMS = 10
SKETCH = 32
RATING_SCALE = 1000
WITHDRAWN = -1
UNTOLD = 2048
"""What `rated_value` is raised by where the rating wrote the vector of an unknown item: that is what is to be taken
back, also when the catalogue has told of the item since."""

WINDOWS = ("1h", "24h", "7d", "30d")
BUCKET_MS = (600_000, 10_800_000, 86_400_000)
BUCKETS = (6, 8, 30)
BUCKET_START = (0, 6, 14)
BUCKET_TOTAL = sum(BUCKETS)
LONGEST_WINDOW_MS = BUCKET_MS[-1] * BUCKETS[-1]

LANES = RANK_LANES + TIME_LANES


class Kind(IntEnum):
    """Kinds of events; also the index of a kind's input topic in `next_offset`."""

    CLICK = 0
    FOLLOW = 1
    RATING = 2
    ERASURE = 3


class Outcome(IntEnum):
    """What `advance` did with an event."""

    APPLIED = 0
    REPLAYED = 1  # at or before the last applied offset: Kafka delivered it again
    DUPLICATE = 2  # its event id was applied before: the producer sent it again
    FORGOTTEN = 3  # from before the user's erasure
    SUPERSEDED = 4  # a newer rating of the item, or a newer action on the target, was applied before


USER = np.dtype(
    [
        # 8-byte fields first, so that everything is aligned
        ("version", "<i8"),
        ("events", "<i8"),
        ("next_offset", "<i8", (len(Kind),)),
        ("event_ts_ms", "<i8"),
        ("erased_at_ms", "<i8"),
        ("bank_ts_ms", "<i8"),
        ("rec_at_ms", "<i8"),
        ("ring", "<u8", (RING,)),
        ("rated_item", "<u8", (RATED,)),
        ("followee", "<u8", (FOLLOWEES,)),
        ("event_id", "<u8", (EVENT_IDS,)),
        ("seen", "<u8", (2, SEEN_WORDS)),
        ("rank", "<f4", (RANK_LANES, DIM)),
        ("time", "<f4", (TIME_LANES, DIM)),
        ("content", "<f4", (FACET_DIM,)),
        ("rank_weight", "<f4", (RANK_LANES,)),
        ("time_weight", "<f4", (TIME_LANES,)),
        ("content_weight", "<f4"),
        ("context_hour", "<f4", (HOURS,)),
        ("context_weekday", "<f4", (WEEKDAYS,)),
        ("context_region", "<f4", (REGIONS,)),
        ("context_weight", "<f4"),
        ("bucket_dwell_ms", "<u4", (BUCKET_TOTAL,)),
        ("bucket_rating_sum", "<i4", (BUCKET_TOTAL,)),
        ("bucket_head", "<i4", (len(BUCKETS),)),
        ("clicks", "<u4"),
        ("rated_ts_s", "<u4", (RATED,)),
        ("followee_ts_s", "<u4", (FOLLOWEES,)),
        ("followee_active", "<u4"),
        ("event_id_count", "<u4"),
        ("seen_count", "<u4", (2,)),
        ("rec_seq", "<u4"),
        ("rec_ignored", "<u4"),
        ("rec_item", "<u4", (REC_ITEMS,)),
        ("bucket_clicks", "<u2", (BUCKET_TOTAL,)),
        ("bucket_ratings", "<u2", (BUCKET_TOTAL,)),
        ("bucket_follows", "<u2", (BUCKET_TOTAL,)),
        ("rated_value", "<i2", (RATED,)),
        ("rec_sketch", "i1", (SKETCH,)),
        ("term", "<u4"),
        ("context_region_last", "u1"),
        ("unused", "u1", (3,)),  # whole words, for the codec
    ]
)
