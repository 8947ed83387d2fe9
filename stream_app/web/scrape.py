"""What `/metrics` pages say, as figures of a moment. Pure.

Two looks at the same page give rates and quantiles of the time between them.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from stream_app.histograms import quantile

STAGES = ("decode", "advance", "followees", "readout", "recommend", "redis", "publish", "dead_letter", "changelog")
"""Of a worker's cycle, in their order."""

Labels = tuple[tuple[str, str], ...]
Values = Mapping[tuple[str, Labels], float]


@dataclass(frozen=True, slots=True)
class Look:
    """A page at a moment, `at_s` by a clock that does not jump: values by sample name and sorted labels."""

    at_s: float = 0.0
    values: Values = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.values)

    def one(self, name: str) -> float | None:
        """The sample of this name without labels."""
        return self.values.get((name, ()))

    def by(self, name: str, label: str) -> dict[str, float]:
        """Samples of this name, summed by one label."""
        sums: defaultdict[str, float] = defaultdict(float)
        for (sample, labels), value in self.values.items():
            if sample == name:
                sums[dict(labels).get(label, "")] += value
        return dict(sums)

    def total(self, name: str) -> float:
        return sum(value for (sample, _), value in self.values.items() if sample == name)

    def has(self, beginning: str) -> bool:
        """Whether any sample's name begins so."""
        return any(name.startswith(beginning) for name, _ in self.values)


def parsed(text: str, at_s: float) -> Look:
    """From Prometheus's text format. Raises ValueError for what is none."""
    values = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return Look(at_s, values)


@dataclass(frozen=True, slots=True)
class Span:
    """From one look to a later one at the same process."""

    first: Look
    last: Look

    @property
    def seconds(self) -> float:
        return self.last.at_s - self.first.at_s

    def rate(self, name: str, **labels: str) -> float:
        """Growth of a counter each second, summed over all that have these labels; 0 where it began anew."""
        grown = self._sum(self.last, name, labels) - self._sum(self.first, name, labels)
        return max(0.0, grown) / self.seconds if self.seconds > 0 else 0.0

    def rates_by(self, name: str, label: str) -> dict[str, float]:
        """The same by one label."""
        return {value: self.rate(name, **{label: value}) for value in self.last.by(name, label)}

    def quantiles(self, name: str, shares: Sequence[float], **labels: str) -> list[float | None]:
        """Of a histogram's observations in between, in its unit; None where there were none."""
        later, earlier = (self._buckets(look, name, labels) for look in (self.last, self.first))
        grown = {bound: count - earlier.get(bound, 0.0) for bound, count in later.items()}
        return [quantile(grown, share) for share in shares]

    @staticmethod
    def _sum(look: Look, name: str, wanted: Mapping[str, str]) -> float:
        return sum(
            value
            for (sample, labels), value in look.values.items()
            if sample == name and wanted.items() <= dict(labels).items()
        )

    @staticmethod
    def _buckets(look: Look, name: str, wanted: Mapping[str, str]) -> dict[float, float]:
        sums: defaultdict[float, float] = defaultdict(float)
        for (sample, labels), value in look.values.items():
            if sample == f"{name}_bucket" and wanted.items() <= dict(labels).items():
                sums[float(dict(labels)["le"])] += value
        return dict(sums)


def kind_of(look: Look) -> str:
    """Whose page it is: worker, trainer, catalog, web, or ""."""
    marks = {"trainer": "interest_trainer_", "catalog": "interest_catalog_", "web": "interest_web_"}
    found = next((kind for kind, mark in marks.items() if look.has(mark)), "")
    return found or ("worker" if look.has("interest_partitions") else "")


def process_figures(where: str, span: Span) -> dict[str, Any]:
    """One process for the list of them; `where`: what it goes by."""
    look, kind = span.last, kind_of(span.last)
    figures: dict[str, Any] = {"where": where, "kind": kind, "away": not look}
    if look:
        figures["memory_bytes"] = look.one("process_resident_memory_bytes")
        figures["cpu"] = round(span.rate("process_cpu_seconds_total"), 3)
    if kind == "worker":
        models = [dict(labels) for name, labels in look.values if name == "interest_model_info"]
        figures |= {
            "ready": look.one("interest_ready") == 1,
            "partitions": look.one("interest_partitions"),
            "users": look.one("interest_users"),
            "model": models[0]["version"] if models else None,
            "generation": models[0]["generation"] if models else None,
            "model_age_s": look.one("interest_model_age_seconds"),
            "serving": look.one("interest_serving") == 1,
        }
    if kind == "trainer":
        figures["lag"] = look.total("interest_trainer_lag_events")
    if kind == "catalog":
        figures["lag"] = look.one("interest_catalog_lag_items")
    return figures


def merged(spans: Sequence[Span]) -> Span:
    """Several processes as one: values are summed. Of looks that were not there yet nothing is known."""
    whole = [span for span in spans if span.first and span.last]
    if not whole:
        return Span(Look(), Look())
    return Span(_sum_of([span.first for span in whole]), _sum_of([span.last for span in whole]))


def _sum_of(looks: Sequence[Look]) -> Look:
    sums: Counter[tuple[str, Labels]] = Counter()
    for look in looks:
        sums.update(look.values)
    return Look(sum(look.at_s for look in looks) / len(looks), dict(sums))


def flow_figures(workers: Span) -> dict[str, Any]:
    """Rates each second, latencies in seconds (p50 and p99), and what waits, of all workers together."""
    look = workers.last
    return {
        "in": _rounded(workers.rates_by("interest_events_total", "kind")),
        "outcomes": _rounded(workers.rates_by("interest_events_total", "outcome")),
        "cycles": round(workers.rate("interest_cycle_events_count"), 2),
        "users_written": round(workers.rate("interest_cycle_users_sum"), 2),
        "recommendations": round(workers.rate("interest_recommendations_total"), 2),
        "dead_letters": round(workers.rate("interest_dead_letters_total"), 2),
        "changelog_bytes": round(workers.rate("interest_flush_bytes_total"), 1),
        "event_to_redis": workers.quantiles("interest_event_to_redis_seconds", (0.5, 0.99)),
        "stages": [
            {
                "name": stage,
                "p": workers.quantiles("interest_stage_seconds", (0.5, 0.99), stage=stage),
                "per_s": round(workers.rate("interest_stage_seconds_count", stage=stage), 2),
            }
            for stage in STAGES
        ],
        "lag": look.by("interest_lag_events", "topic"),
        "backlog": look.total("interest_backlog_events"),
        "users": look.total("interest_users"),
        "redis_retries": round(workers.rate("interest_redis_retries_total"), 2),
    }


def _rounded(rates: Mapping[str, float]) -> dict[str, float]:
    return {name: round(rate, 2) for name, rate in rates.items()}
