"""The trainer's metrics, and what it says of its health."""

import time

from prometheus_client import Counter, Gauge, Histogram

from stream_app.health import Check, loop_check
from stream_app.http_server import serve
from stream_app.observability import STAGE_BUCKETS_S, begin_at_zero, catalogue_metrics, pages, process_registry
from stream_app.settings import Metrics as MetricsSettings

MAX_BEAT_AGE_S = 120.0
"""A publication takes seconds, a snapshot of a million users half a minute."""


class TrainerMetrics:
    """Metrics of one trainer, on a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = process_registry()
        self.beat_at_s: float | None = None
        self.records = Counter(
            "interest_trainer_records", "Records read from the event topics, bad ones among them", registry=registry
        )
        self.clicks = Counter(
            "interest_trainer_clicks",
            "Clicks by what became of them: learnt; counted, when there were too many to learn from; held_out",
            ["use"],
            registry=registry,
        )
        self.lag = Gauge(
            "interest_trainer_lag_events", "Events that the trainer has still to read", ["topic"], registry=registry
        )
        self.items = Gauge("interest_trainer_items", "Items that the trainer knows", registry=registry)
        self.users = Gauge("interest_trainer_users", "Users whose states are held", registry=registry)
        self.loss = Gauge(
            "interest_trainer_loss", "Cross-entropy of the last round's clicks before it was learnt", registry=registry
        )
        self.stage = Histogram(
            "interest_trainer_stage_seconds",
            "One stage of a round: hear (what the catalogue tells), observe, learn, publish, snapshot",
            ["stage"],
            buckets=(*STAGE_BUCKETS_S, 30, 60),
            registry=registry,
        )
        self.versions = Counter(
            "interest_trainer_versions",
            "Versions made, by outcome: promoted; refused by the guard; held_back, while a version that is not the"
            " trainer's is served; failed, where the store did not take it",
            ["outcome"],
            registry=registry,
        )
        self.published_bytes = Counter(
            "interest_trainer_published_bytes",
            "Bytes of the versions put into the store, by how: whole, or as differences from the last whole one",
            ["how"],
            registry=registry,
        )
        self.rank = Gauge(
            "interest_trainer_held_out_reciprocal_rank",
            "Mean reciprocal rank on held-out clicks, of the last candidate and of the version served then",
            ["version"],
            registry=registry,
        )
        self.promoted_at = Gauge(
            "interest_trainer_promoted_timestamp_seconds",
            "When a version was last promoted; 0: never",
            registry=registry,
        )
        self.snapshot_at = Gauge(
            "interest_trainer_snapshot_timestamp_seconds",
            "When the last snapshot was taken; 0: never",
            registry=registry,
        )
        self.catalogue_items, self.knowledge_unused = catalogue_metrics(registry)
        begin_at_zero(self.clicks, ("learnt",), ("counted",), ("held_out",))
        begin_at_zero(self.versions, ("promoted",), ("refused",), ("held_back",), ("failed",))
        begin_at_zero(self.published_bytes, ("whole",), ("differences",))

    def beat(self) -> None:
        """The loop turns."""
        self.beat_at_s = time.monotonic()

    def serve(self, settings: MetricsSettings) -> int:
        """Start the thread that serves `/metrics`, `/healthz` and `/readyz`; returns the port."""
        return serve(pages(self.registry, self._checks, self._checks), settings.host, settings.port)

    def _checks(self) -> list[Check]:
        return [loop_check(self.beat_at_s, time.monotonic(), MAX_BEAT_AGE_S)]
