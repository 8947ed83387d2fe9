"""Every metric of the pages."""

import itertools

from prometheus_client import Counter, Gauge, Histogram

from stream_app.observability import STAGE_BUCKETS_S, ModelMetrics, begin_at_zero, process_registry

OUTCOMES = ("answered", "unknown_user", "redis_away", "unreadable", "busy", "failed")


class WebMetrics(ModelMetrics):
    """On a registry of their own; no metric has a user in a label."""

    def __init__(self) -> None:
        registry = self.registry = process_registry()
        super().__init__("interest_words", registry)
        self.pages = Counter(
            "interest_web_requests",
            "Requests by page and outcome: answered, unknown_user, redis_away, unreadable, busy, no_token, wrong_host,"
            " wrong_origin, wrong_token, not_found, bad_request, too_large, what_if_away, failed",
            ["page", "outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "interest_web_seconds",
            "From a request's head to the answer",
            ["page"],
            buckets=(*STAGE_BUCKETS_S, 30),
            registry=registry,
        )
        self.at_once = Gauge("interest_web_at_once", "Explanations that are being made", registry=registry)
        self.streams = Gauge(
            "interest_web_streams", "Pages that are open and are told of what changes", registry=registry
        )
        self.dropped = Counter(
            "interest_web_streams_dropped", "Streams that were ended because nobody read them", registry=registry
        )
        self.made = Counter(
            "interest_words_explanations", "Explanations answered, by whom: template, model", ["made_by"],
            registry=registry,
        )  # fmt: skip
        begin_at_zero(self.pages, *itertools.product(["explanation"], OUTCOMES))
        begin_at_zero(self.made, ("template",), ("model",))
        begin_at_zero(self.fallbacks, ("busy",), ("late",), ("no_facts",))
