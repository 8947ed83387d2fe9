"""Every metric: name, unit, meaning, buckets, labels.

Values are added once a slab, cycle or flush, never once an event, and never with a user id in a label. `/metrics`,
`/healthz` and `/readyz` are served from a thread of their own, so that they answer when the event loop does not.
"""

import itertools
import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from model_store.state.layout import Kind, Outcome
from stream_app.contracts.reasons import Reason
from stream_app.health import Check, Health
from stream_app.http_server import Page, serve
from stream_app.settings import Health as HealthBounds
from stream_app.settings import Metrics as MetricsSettings
from stream_app.traces import Traces, timed

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
STAGE_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
REFUSALS = ("generation", "damaged", "not_finite", "unreachable")
"""Why a version may be refused."""
SINKS = ("redis", "publish", "dead_letter", "changelog")
LOSSES = ("empty", "replaced")
MODEL_OUTCOMES = ("answered", "unavailable", "refused", "misconfigured")
FALLBACKS = ("budget", "breaker", "unavailable", "refused", "misconfigured", "store")
"""Why something else may answer in a language model's place."""
COUNT_BUCKETS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)


class BatchHistogram(Collector):
    """A histogram that takes an array of values at once; prometheus-client's own takes one at a time."""

    def __init__(self, name: str, meaning: str, label: str, buckets: Sequence[float]) -> None:
        self._name, self._meaning, self._label = name, meaning, label
        self._edges = np.asarray(buckets, np.float64)
        self._counts: dict[str, npt.NDArray[np.int64]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, label: str, values: npt.NDArray[np.float64]) -> None:
        """Count n values under a label value."""
        places = np.searchsorted(self._edges, values, side="left")
        counts = np.bincount(places, minlength=len(self._edges) + 1)
        self._counts[label] = self._counts.get(label, np.zeros(len(counts), np.int64)) + counts
        self._sums[label] = self._sums.get(label, 0.0) + float(values.sum())

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._meaning, labels=[self._label])
        for label, counts in list(self._counts.items()):
            cumulative = np.cumsum(counts).tolist()
            edges = [*map(str, self._edges.tolist()), "+Inf"]
            family.add_metric([label], buckets=list(zip(edges, cumulative, strict=True)), sum_value=self._sums[label])
        yield family


def process_registry() -> CollectorRegistry:
    """A registry that tells of the process: memory, CPU, open files, garbage collections, by the names that every
    Prometheus client gives them."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class WorkerMetrics:
    """The metrics of one worker process, on a registry of their own, its health and its traces."""

    def __init__(self, bounds: HealthBounds | None = None) -> None:
        self.traces = Traces()
        registry = self.registry = process_registry()
        self.health = Health(bounds or HealthBounds())
        self.event_to_redis = BatchHistogram(
            "interest_event_to_redis_seconds",
            "From an event's Kafka timestamp until its user's interests are written to Redis",
            "kind",
            LATENCY_BUCKETS_S,
        )
        registry.register(self.event_to_redis)
        self.stage = Histogram(
            "interest_stage_seconds",
            "One stage of one cycle: decode, advance, followees, readout, recommend, redis, publish, dead_letter,"
            " changelog",
            ["stage"],
            buckets=STAGE_BUCKETS_S,
            registry=registry,
        )
        self.events = Counter(
            "interest_events",
            "Events by kind and outcome: applied, replayed, duplicate, forgotten, superseded, dead_lettered",
            ["kind", "outcome"],
            registry=registry,
        )
        self.late = Counter(
            "interest_late_events",
            "Events older than the longest window: applied, but in no window",
            ["kind"],
            registry=registry,
        )
        self.dead_letters = Counter(
            "interest_dead_letters", "Events sent to dead letters", ["reason"], registry=registry
        )
        self.slab_events = _sizes("interest_slab_events", "Events in a slab", registry)
        self.cycle_events = _sizes("interest_cycle_events", "Events in a cycle", registry)
        self.cycle_users = _sizes("interest_cycle_users", "Users whose interests one write refreshed", registry)
        self.lag = Gauge(
            "interest_lag_events", "Events in Kafka after the committed offset", ["topic"], registry=registry
        )
        self.backlog = Gauge("interest_backlog_events", "Events fetched and not yet applied", registry=registry)
        self.users = Gauge("interest_users", "Users held in memory", registry=registry)
        self.state_bytes = Gauge("interest_state_bytes", "Bytes of the records of the users held", registry=registry)
        self.partitions = Gauge("interest_partitions", "Partitions of the state table held", registry=registry)
        self.flush_seconds = Histogram(
            "interest_flush_seconds", "From snapshot to acknowledged", buckets=LATENCY_BUCKETS_S, registry=registry
        )
        self.flush_users = _sizes("interest_flush_users", "States written by a flush", registry)
        self.flush_bytes = Counter(
            "interest_flush_bytes", "Bytes of states written to the changelog", registry=registry
        )
        self.commit_age = Gauge(
            "interest_commit_age_seconds",
            "Age of the oldest event applied but not yet acknowledged; 0 if there is none",
            registry=registry,
        )
        # Asked when it is read: a flush that waits for Redis is just when nobody would set it.
        self.commit_age.set_function(self.health.commit_age_s)
        self.recommendations = Counter("interest_recommendations", "Recommendation events published", registry=registry)
        self.redis_retries = Counter(
            "interest_redis_retries", "Writes to Redis that were tried again", registry=registry
        )
        self.followees = Gauge(
            "interest_followees",
            "Followed users whose vectors are at hand, of whom there is nothing among them",
            registry=registry,
        )
        self.followee_reads = Counter(
            "interest_followee_reads",
            "Followed users whose vectors were read from Redis: found, unknown there, failed",
            ["outcome"],
            registry=registry,
        )
        self.revisited = Counter(
            "interest_followers_revisited",
            "Followers written again without an event of theirs, since those whom they follow may have changed",
            registry=registry,
        )
        self.redis_losses = Counter(
            "interest_redis_losses",
            "Times Redis was found empty, or replaced by another server: interest rebuild-redis refills it",
            ["found"],
            registry=registry,
        )
        self.write_errors = Counter(
            "interest_write_errors",
            "Writes that failed for good, after which the worker stops: redis, publish, dead_letter, changelog",
            ["sink"],
            registry=registry,
        )
        self.restored = Counter("interest_restored_users", "States read from the changelog", registry=registry)
        self.restore_remaining = Gauge(
            "interest_restore_remaining_records",
            "Records of the changelog that are still to be read, at most; 0 when recovery is complete",
            registry=registry,
        )
        self.foreign_writes = Counter(
            "interest_foreign_writes",
            "Times that somebody else had written into this worker's changelog partition, which was then written again",
            registry=registry,
        )
        self.rebalances = Counter("interest_rebalances", "Times partitions were given up", registry=registry)
        self.ready = Gauge(
            "interest_ready", "1 once recovery is complete and partitions are consumed", registry=registry
        )
        self.model = Gauge(
            "interest_model_info", "The model in use, always 1", ["version", "generation"], registry=registry
        )
        self.model_age = Gauge(
            "interest_model_age_seconds", "Since the model in use was made; 0 if that is not known", registry=registry
        )
        self.model_swaps = Counter("interest_model_swaps", "Versions taken up while the worker ran", registry=registry)
        self.model_refused = Counter(
            "interest_model_refused",
            "Versions that were not taken up: generation, of other states; damaged; not_finite; unreachable, each time"
            " that the store did not answer",
            ["reason"],
            registry=registry,
        )
        told = catalogue_metrics(registry)
        self.catalogue_items, self.knowledge_unused = told
        self.serving = Gauge(
            "interest_serving", "1 if readers are told to read this worker's generation", registry=registry
        )
        self.loop_lag = Histogram(
            "interest_loop_block_seconds",
            "How much later than asked a timer of the event loop ran",
            buckets=STAGE_BUCKETS_S,
            registry=registry,
        )
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """See `begin_at_zero`."""
        kinds = [kind.name.lower() for kind in Kind]
        outcomes = [*(outcome.name.lower() for outcome in Outcome), "dead_lettered"]
        begin_at_zero(self.events, *itertools.product(kinds, outcomes))
        for metric, values in (
            (self.late, kinds),
            (self.dead_letters, [reason.value for reason in Reason]),
            (self.followee_reads, ("found", "unknown", "failed")),
            (self.redis_losses, LOSSES),
            (self.write_errors, SINKS),
            (self.model_refused, REFUSALS),
        ):
            begin_at_zero(metric, *zip(values))
        for kind in kinds:
            self.event_to_redis.observe(kind, np.empty(0))

    def timed(self, stage: str) -> AbstractContextManager[Any]:
        """Times a stage while it lasts, and tells the traces of it."""
        return timed(stage, self.stage.labels(stage).time())

    def show_model(self, version: str, generation: int, made_at_ms: int) -> None:
        """Tell which model is in use."""
        self.model.clear()
        self.model.labels(version, str(generation)).set(1)
        self.model_age.set_function(lambda: time.time() - made_at_ms / 1000 if made_at_ms else 0.0)

    def serve(self, settings: MetricsSettings) -> int:
        """Start the thread that serves `/metrics`, `/healthz` and `/readyz`; returns the port."""
        return serve(pages(self.registry, self.health.live, self.health.ready), settings.host, settings.port)


class ModelMetrics:
    """What a service tells of its language model: a `model_store.catalog.annotators.observer.Observer`."""

    def __init__(self, service: str, registry: CollectorRegistry) -> None:
        """`service`: what the metrics' names begin with."""
        self.requests = Counter(
            f"{service}_model_requests",
            "Requests to the language model: answered, unavailable, refused, misconfigured",
            ["outcome"],
            registry=registry,
        )
        self.tokens = Counter(
            f"{service}_model_tokens", "Tokens of the language model: in, out", ["direction"], registry=registry
        )
        self.model_seconds = Histogram(
            f"{service}_model_seconds",
            "One request to the language model",
            buckets=(*STAGE_BUCKETS_S, 30, 60),
            registry=registry,
        )
        self.cache = Counter(
            f"{service}_cache_lookups", "Answers looked up before anybody is asked: hit, miss", ["found"],
            registry=registry,
        )  # fmt: skip
        self.unfit = Counter(
            f"{service}_unfit_answers", "Answers of the language model that were refused", ["reason"], registry=registry
        )
        self.fallbacks = Counter(
            f"{service}_fallbacks", "Answers that the language model did not give", ["why"], registry=registry
        )
        begin_at_zero(self.requests, *zip(MODEL_OUTCOMES))
        begin_at_zero(self.tokens, ("in",), ("out",))
        begin_at_zero(self.cache, ("hit",), ("miss",))
        begin_at_zero(self.fallbacks, *zip(FALLBACKS))

    def on_request(self, outcome: str, seconds: float, tokens_in: int, tokens_out: int, estimated: bool) -> None:  # noqa: ARG002
        self.requests.labels(outcome).inc()
        self.model_seconds.observe(seconds)
        self.tokens.labels("in").inc(tokens_in)
        self.tokens.labels("out").inc(tokens_out)

    def on_cache(self, hit: bool) -> None:
        self.cache.labels("hit" if hit else "miss").inc()

    def on_refused(self, reason: str) -> None:
        self.unfit.labels(reason).inc()

    def on_fallback(self, why: str) -> None:
        self.fallbacks.labels(why).inc()


def catalogue_metrics(registry: CollectorRegistry) -> tuple[Gauge, Counter]:
    """What whoever follows the catalogue tells of it: items known, and records of no use."""
    items = Gauge(
        "interest_catalogue_items", "Items that the catalogue tells of, deleted ones left out", registry=registry
    )
    unused = Counter(
        "interest_knowledge_unused",
        "Records of the knowledge topic of no use: unreadable; foreign, of another encoder than this generation's",
        ["reason"],
        registry=registry,
    )
    begin_at_zero(unused, ("unreadable",), ("foreign",))
    return items, unused


def begin_at_zero(metric: Counter, *labels: Sequence[str]) -> None:
    """Tell of these label values from the start: what a counter did before it was first seen is in no rate, and an
    alert would miss the first of what should never happen."""
    for values in labels:
        metric.labels(*values)


def pages(registry: CollectorRegistry, live: Callable[[], list[Check]], ready: Callable[[], list[Check]]) -> Page:
    """The WSGI application of `/metrics`, `/healthz` and `/readyz`."""
    by_path: dict[str, Page] = {"/metrics": _exposed(registry), "/healthz": _checked(live), "/readyz": _checked(ready)}

    def dispatch(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return by_path.get(environ["PATH_INFO"], _not_found)(environ, start_response)

    return dispatch


def _exposed(registry: CollectorRegistry) -> Page:
    """The text format that every scraper reads, whatever the client says it would like: prometheus-client's own page
    fails over some Accept headers and repeats others in its answer."""

    def page(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)])
        return [generate_latest(registry)]

    return page


def _checked(ask: Callable[[], list[Check]]) -> Page:
    """200 if every check has passed, else 503; each check in one line of JSON."""

    def page(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        checks = ask()
        passed = all(check.passed for check in checks)
        start_response("200 OK" if passed else "503 Service Unavailable", [("Content-Type", "application/json")])
        body = {"ok": passed, "checks": {check.name: {"ok": check.passed, "says": check.says} for check in checks}}
        return [json.dumps(body).encode() + b"\n"]

    return page


def _not_found(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"/metrics, /healthz, /readyz\n"]


def _sizes(name: str, meaning: str, registry: CollectorRegistry) -> Histogram:
    return Histogram(name, meaning, buckets=COUNT_BUCKETS, registry=registry)
