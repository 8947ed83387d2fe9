"""Every metric of the catalogue service, and its health."""

import time
from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram

from stream_app.health import Check, loop_check
from stream_app.http_server import serve
from stream_app.observability import (
    MODEL_OUTCOMES,
    STAGE_BUCKETS_S,
    ModelMetrics,
    begin_at_zero,
    catalogue_metrics,
    pages,
    process_registry,
)
from stream_app.settings import Metrics as MetricsSettings

MAX_BEAT_AGE_S = 300.0
"""A batch of texts through a slow endpoint takes minutes."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What items have cost: texts that were encoded, words that needed no encoder; requests to the language model and
    its tokens, in and out; of the annotations that were looked up those that were remembered."""

    encoded: int = 0
    unencoded: int = 0
    requests: int = 0
    tokens: int = 0
    remembered: int = 0
    looked_up: int = 0


class CatalogMetrics(ModelMetrics):
    """On a registry of their own. `waits`: for what, while something that is needed does not answer."""

    def __init__(self) -> None:
        registry = self.registry = process_registry()
        super().__init__("interest_catalog", registry)
        self.beat_at_s: float | None = None
        self.describing_at_s: float | None = None
        self.waits: set[str] = set()
        self.catalogue_items, self.knowledge_unused = catalogue_metrics(registry)
        self.items = Counter(
            "interest_catalog_items",
            "Words of producers on items, by what they changed: described, of a new text; updated, the rest; known,"
            " nothing; deleted; dead_lettered",
            ["outcome"],
            registry=registry,
        )
        self.refused = Counter(
            "interest_catalog_refused_texts",
            "Texts that the encoder refused: items without a vector",
            registry=registry,
        )
        self.placed = Counter(
            "interest_catalog_placed_items",
            "Times that was written to Redis where the model has an item",
            registry=registry,
        )
        self.sources = Counter(
            "interest_catalog_annotations",
            "Items described, by who says what they are about: tags, nearest (the encoder), or a language model",
            ["source"],
            registry=registry,
        )
        self.stage = Histogram(
            "interest_catalog_stage_seconds",
            "One stage of a batch: describe, publish, redis; and place, finding where the model has the items",
            ["stage"],
            buckets=(*STAGE_BUCKETS_S, 30, 60),
            registry=registry,
        )
        self.lag = Gauge(
            "interest_catalog_lag_items", "Words on items that are still to be read or described", registry=registry
        )
        self.retries = Counter(
            "interest_catalog_retries",
            "Times something was tried again: encoder, kafka, redis",
            ["what"],
            registry=registry,
        )
        begin_at_zero(self.items, ("described",), ("updated",), ("known",), ("deleted",), ("dead_lettered",))
        begin_at_zero(self.sources, ("tags",), ("nearest",))
        begin_at_zero(self.retries, ("encoder",), ("kafka",), ("redis",))

    def cost(self) -> "Cost":
        """So far."""

        def count(name: str, **labels: str) -> int:
            return int(self.registry.get_sample_value(f"interest_catalog_{name}_total", labels) or 0)

        return Cost(
            encoded=count("items", outcome="described"),
            unencoded=count("items", outcome="known") + count("items", outcome="updated"),
            requests=sum(count("model_requests", outcome=one) for one in MODEL_OUTCOMES),
            tokens=count("model_tokens", direction="in") + count("model_tokens", direction="out"),
            remembered=count("cache_lookups", found="hit"),
            looked_up=count("cache_lookups", found="hit") + count("cache_lookups", found="miss"),
        )

    def on_request(self, outcome: str, seconds: float, tokens_in: int, tokens_out: int, estimated: bool) -> None:
        """See the observer's port. A batch of texts may take a slow model longer than a turn of the loop may."""
        self.stir()
        super().on_request(outcome, seconds, tokens_in, tokens_out, estimated)

    # -- health

    def beat(self) -> None:
        """The loop turns."""
        self.beat_at_s = time.monotonic()

    def stir(self) -> None:
        """Texts are being described."""
        self.describing_at_s = time.monotonic()

    def rest(self) -> None:
        """No text is being described."""
        self.describing_at_s = None

    def serve(self, settings: MetricsSettings) -> int:
        """Start the thread that serves `/metrics`, `/healthz` and `/readyz`; returns the port."""
        return serve(pages(self.registry, self._live, self._ready), settings.host, settings.port)

    def _live(self) -> list[Check]:
        now_s = time.monotonic()
        silent_s = now_s - (self.describing_at_s or now_s)
        return [
            loop_check(self.beat_at_s, now_s, MAX_BEAT_AGE_S),
            Check("encoder", silent_s <= MAX_BEAT_AGE_S, f"silent for {silent_s:.1f} s, at most {MAX_BEAT_AGE_S:g}"),
        ]

    def _ready(self) -> list[Check]:
        return [
            *self._live(),
            Check("waits", not self.waits, f"for {' and '.join(sorted(self.waits)) or 'nothing'}"),
        ]
