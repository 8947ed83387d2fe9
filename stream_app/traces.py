"""Traces: for a share of the cycles a span with one for each stage, sent to an OpenTelemetry collector.

A cycle's stages run in several loops, and a refresh or a write may be of several cycles at once. So the cycles that a
loop is at stand in a context variable while it is at them, and whoever times a stage (`WorkerMetrics.timed`) makes a
span of it under each. A flush is of everything since the last one: it is a trace of its own, linked to the cycles that
were traced.

Spans carry counts, and nothing of users. Sending is a thread's own affair: a collector that is away costs spans, and no
event waits.
"""

import random
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from itertools import chain, islice
from types import TracebackType
from typing import Any, Self

from stream_app.contracts.slab import Slab
from stream_app.settings import Traces as TracesSettings

LINKS = 8
"""Spans of producers that a cycle links to at most, and traced cycles that a flush does."""
LOOKED_AT = 1_024
"""Records of a traced cycle whose headers are looked at."""
TIMEOUT_S = 5.0
"""Of one request to the collector."""
SEND_EVERY_MS = 1_000
CLOSE_S = 1.0
"""What is left to be sent at the end gets so long."""
_HEADER = "traceparent"


class Traced:
    """A span under which stages are told, until all that it waits for is done."""

    def __init__(self, tracer: Any, span: Any, within: Any, waits_for: Iterable[str]) -> None:
        """`within`: the context that makes a span a child of this one."""
        self._tracer, self.span, self._within = tracer, span, within
        self._waits_for = set(waits_for)

    def tell(self, stage: str, began_ns: int, ended_ns: int, failed: bool) -> None:
        """One stage, by the wall clock."""
        child = self._tracer.start_span(stage, context=self._within, start_time=began_ns)
        if failed:
            from opentelemetry.trace import StatusCode

            child.set_status(StatusCode.ERROR)  # without the message, which may name a user
        child.end(ended_ns)

    def count(self, **counts: int) -> None:
        """Attributes, `interest.` before each name."""
        for name, value in counts.items():
            self.span.set_attribute(f"interest.{name}", value)

    def done(self, effect: str) -> None:
        """One of what it waits for; the last one ends it."""
        self._waits_for.discard(effect)
        if not self._waits_for:
            self.span.end()


_now: ContextVar[Sequence[Traced]] = ContextVar("traced", default=())


def following(traced: Sequence[Traced]) -> AbstractContextManager[None]:
    """While it lasts, stages that this task times are told under these."""
    return _followed(traced) if traced else nullcontext()


@contextmanager
def _followed(traced: Sequence[Traced]) -> Iterator[None]:
    token = _now.set(traced)
    try:
        yield
    finally:
        _now.reset(token)


def timed(stage: str, timer: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
    """The timer of a stage, which is told as well under what is followed now."""
    traced = _now.get()
    return _Stage(stage, timer, traced) if traced else timer


class _Stage:
    def __init__(self, stage: str, timer: AbstractContextManager[Any], traced: Sequence[Traced]) -> None:
        self._stage, self._timer, self._traced = stage, timer, traced

    def __enter__(self) -> Self:
        self._began_ns = time.time_ns()
        self._timer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._timer.__exit__(kind, error, where)
        ended_ns = time.time_ns()
        for traced in self._traced:
            traced.tell(self._stage, self._began_ns, ended_ns, kind is not None)


class Traces:
    """Nothing is traced."""

    def cycle(self, slabs: Sequence[Slab]) -> Traced | None:  # noqa: ARG002
        """A span for a cycle that begins with these slabs; None for one that is not traced."""
        return None

    def flush(self, cycles: Sequence[Traced]) -> Traced | None:  # noqa: ARG002
        """A span for a flush, of traced cycles among others; None if there are none."""
        return None

    def close(self) -> None:
        """Send what is left, if the collector takes it soon."""


class SentTraces(Traces):
    """Spans go to a collector."""

    def __init__(self, settings: TracesSettings, worker: str, generation: int) -> None:
        """Raises ImportError without the extra `traces`."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named: dict[str, Any] = {
            "service.name": "interest-worker",
            "service.instance.id": worker,
            "interest.generation": generation,
        }
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(endpoint=settings.endpoint, timeout=TIMEOUT_S), schedule_delay_millis=SEND_EVERY_MS
            )
        )
        self._tracer = self._provider.get_tracer("interest")
        self._share = settings.share

    def cycle(self, slabs: Sequence[Slab]) -> Traced | None:
        if random.random() >= self._share:  # noqa: S311  # nobody is to be kept from guessing it
            return None
        traced = self._begin("cycle", _producers(slabs), ("written", "published"))
        traced.count(events=sum(map(len, slabs)), slabs=len(slabs), partitions=len({slab.partition for slab in slabs}))
        return traced

    def flush(self, cycles: Sequence[Traced]) -> Traced | None:
        if not cycles:
            return None
        return self._begin("flush", [cycle.span.get_span_context() for cycle in cycles[:LINKS]], ("flushed",))

    def _begin(self, name: str, linked: Sequence[Any], waits_for: Iterable[str]) -> Traced:
        from opentelemetry.trace import Link, set_span_in_context

        span = self._tracer.start_span(name, links=[Link(context) for context in linked])
        return Traced(self._tracer, span, set_span_in_context(span), waits_for)

    def close(self) -> None:
        sender = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        sender.start()
        sender.join(CLOSE_S)


def _producers(slabs: Sequence[Slab]) -> list[Any]:
    """The spans in which producers sent the first records that say so (W3C Trace Context) and that they are kept."""
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    found: list[Any] = []
    records = chain.from_iterable(slab.records for slab in slabs)
    for record in islice(records, LOOKED_AT):
        for name, value in record.headers or ():
            if name.lower() == _HEADER and value is not None:
                text = value.decode("ascii", "replace")
                said = TraceContextTextMapPropagator().extract({_HEADER: text})
                context = get_current_span(said).get_span_context()
                if context.is_valid and context.trace_flags.sampled:
                    found.append(context)
        if len(found) >= LINKS:
            break
    return found[:LINKS]
