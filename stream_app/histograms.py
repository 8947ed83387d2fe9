"""What a histogram's buckets say of the values in them."""

from collections.abc import Mapping


def quantile(cumulative: Mapping[float, float], share: float) -> float | None:
    """The value below which this share of the observations lies, by even spread within a bucket, as Prometheus does.

    `cumulative`: observations at most as large as each bound, the last bound being infinite. None without observations.
    In the last, unbounded bucket: its lower bound.
    """
    bounds = sorted(cumulative)
    wanted = share * (cumulative[bounds[-1]] if bounds else 0)
    if wanted <= 0:
        return None
    lower = below = 0.0
    for bound in bounds:
        if cumulative[bound] >= wanted:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (wanted - below) / (cumulative[bound] - below)
        lower, below = bound, cumulative[bound]
    return lower
