"""What a worker's `/metrics` says, as figures."""

import urllib.error
import urllib.request
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from stream_app import histograms

TIMEOUT_S = 5.0
WINDOW_S = 5.0

EVENTS, LATENCY, READY, USERS, RECOMMENDATIONS = (
    "interest_events",
    "interest_event_to_redis_seconds",
    "interest_ready",
    "interest_users",
    "interest_recommendations",
)
# Kafka delivered it again after a crash: it was counted already.
NOT_NEW = "replayed"


@dataclass(frozen=True)
class Reading:
    """One look at the metrics.

    `outcomes`: events by outcome, over all kinds. `latency`: events by the upper bound of their bucket in seconds
    (not cumulative), over all kinds; the last bound is infinite.
    """

    at_s: float = 0.0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[float, int] = field(default_factory=dict)
    ready: bool = False
    users: int = 0
    recommendations: int = 0

    @property
    def accounted(self) -> int:
        """Events that were applied, skipped for a reason, or dead-lettered; each is counted once."""
        return sum(count for outcome, count in self.outcomes.items() if outcome != NOT_NEW)


def read(url: str, at_s: float) -> Reading | None:
    """A look at `url`; None while nobody answers there."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310  # a worker's own http address
            return parse(answer.read().decode(), at_s)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def parse(text: str, at_s: float) -> Reading:
    """From Prometheus's text format."""
    from prometheus_client.parser import text_string_to_metric_families

    outcomes: Counter[str] = Counter()
    cumulative: Counter[float] = Counter()
    single: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == f"{EVENTS}_total":
                outcomes[sample.labels["outcome"]] += int(sample.value)
            elif sample.name == f"{LATENCY}_bucket":
                cumulative[float(sample.labels["le"])] += int(sample.value)
            elif not sample.labels:
                single[sample.name] = sample.value
    return Reading(
        at_s,
        dict(outcomes),
        _per_bucket(cumulative),
        ready=single.get(READY, 0) == 1,
        users=int(single.get(USERS, 0)),
        recommendations=int(single.get(f"{RECOMMENDATIONS}_total", 0)),
    )


def _per_bucket(cumulative: Mapping[float, int]) -> dict[float, int]:
    bounds = sorted(cumulative)
    below = [0, *(cumulative[bound] for bound in bounds)]
    return {bound: cumulative[bound] - before for bound, before in zip(bounds, below, strict=False)}


def quantile(latency: Mapping[float, int], share: float) -> float | None:
    """Seconds below which this share of the events lies; see `histograms.quantile`."""
    bounds = sorted(latency)
    counts = accumulate(latency[bound] for bound in bounds)
    return histograms.quantile(dict(zip(bounds, counts, strict=True)), share)


class Meter:
    """The last seconds of readings: rates and quantiles of now, not since the start."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._readings: deque[Reading] = deque()

    def add(self, reading: Reading) -> None:
        self._readings.append(reading)
        while len(self._readings) > 2 and self._readings[1].at_s <= reading.at_s - self._window_s:
            self._readings.popleft()

    @property
    def latest(self) -> Reading:
        return self._readings[-1] if self._readings else Reading()

    def events_per_second(self) -> float:
        if len(self._readings) < 2:
            return 0.0
        first, last = self._readings[0], self._readings[-1]
        return (last.accounted - first.accounted) / (last.at_s - first.at_s)

    def latency_s(self, shares: Sequence[float]) -> list[float | None]:
        """A quantile for each share, of the events in the window."""
        first = self._readings[0].latency if len(self._readings) > 1 else {}
        recent = {bound: count - first.get(bound, 0) for bound, count in self.latest.latency.items()}
        return [quantile(recent, share) for share in shares]
