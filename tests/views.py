"""Random interest views, for tests of what writes and reads them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from model_store.state.layout import DIM, WINDOWS
from model_store.state.windows import WindowCounts
from stream_app.contracts.redis_layout import FACETS
from stream_app.contracts.views import InterestViews

TOPICS = ("Drama", 'Say "hi"', "Ünïcode 鍵", "Sci-Fi", "a\\b", *(f"Topic {i}" for i in range(9)))


def random_views(users: Sequence[str | bytes], version: int = 1, seed: int = 0, **changes: Any) -> InterestViews:
    """Views of the users, all at one version; `changes` replace columns."""
    rng, count = np.random.default_rng(seed), len(users)
    outputs = rng.normal(size=(count, len(FACETS) * DIM + len(TOPICS))).astype(np.float32)
    weights = np.exp(2 * outputs[:, len(FACETS) * DIM :])
    outputs[:, len(FACETS) * DIM :] = weights / weights.sum(axis=1, keepdims=True)
    counts = [rng.integers(0, 10**digits, (count, len(WINDOWS))) for digits in (3, 9, 2, 4, 1)]
    counts[3] = np.minimum(counts[3], 1_000) * counts[2]
    columns: dict[str, Any] = {
        "keys": [user.encode() if isinstance(user, str) else user for user in users],
        "version": np.full(count, version, np.int64),
        "outputs": outputs,
        "topics": TOPICS,
        "windows": WindowCounts(*counts),
        "event_ts_ms": rng.integers(0, 2_000_000_000_000, count),
        "events": rng.integers(0, 10**9, count),
        "updated_at_ms": 1_790_000_000_000 + version,
        "model_version": "model-7",
        "erased": np.zeros(count, np.bool_),
    }
    return InterestViews(**(columns | changes))


def expected_windows(windows: WindowCounts, user: int) -> dict[str, dict[str, Any]]:
    """What a reader must find for a user, computed in plain Python."""
    found = {}
    for place, name in enumerate(WINDOWS):
        ratings = int(windows.ratings[user, place])
        found[name] = {
            "clicks": int(windows.clicks[user, place]),
            "dwell_ms": int(windows.dwell_ms[user, place]),
            "ratings": ratings,
            "rating_mean": int(windows.rating_sum[user, place]) / ratings / 1_000 if ratings else None,
            "follows": int(windows.follows[user, place]),
        }
    return found
