"""Work that needs somebody else, who may be away: tried again until it is done, or until it is time to stop."""

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog
from kafka.errors import KafkaError
from redis import RedisError
from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception, wait_exponential_jitter
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

from model_store.catalog.errors import UnavailableError
from stream_app.catalog.metrics import CatalogMetrics
from stream_app.sinks.redis import passes

log = structlog.get_logger(__name__)

T = TypeVar("T")

_LONGEST_WAIT_S = 30.0


class Stopping(RetryError):  # noqa: N818  # what it is
    """It was not done, and is not tried again."""


class Patience:
    """Waits longer and longer, at most half a minute; meanwhile the service is alive, and not ready. Thread-safe."""

    def __init__(self, metrics: CatalogMetrics, stop: threading.Event, beat: Callable[[], None] | None = None) -> None:
        """`beat`: told that who waits is alive; the loop of the metrics without it."""
        self._metrics, self._stop, self._beat = metrics, stop, beat or metrics.beat

    def until_done(self, what: str, work: Callable[[], T]) -> T:
        """What `work` returns; `what` it needs. Raises Stopping if it is time to stop before, and what no waiting
        mends."""

        def say(state: RetryCallState) -> None:
            self._beat()
            self._metrics.waits.add(what)
            self._metrics.retries.labels(what).inc()
            why = str(state.outcome.exception())[:300] if state.outcome else ""
            log.warning(
                "what the catalogue needs does not answer; it is tried again, nothing is lost",
                what=what, attempts=state.attempt_number, why=why,
            )  # fmt: skip

        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_exponential_jitter(multiplier=0.2, max=_LONGEST_WAIT_S),
            sleep=sleep_using_event(self._stop),
            stop=stop_when_event_set(self._stop),
            before_sleep=say,
            retry_error_cls=Stopping,
        )
        found: T = retrying(work)
        self._metrics.waits.discard(what)
        return found


def _may_pass(error: BaseException) -> bool:
    """A wrong password or a certificate is for a person to mend."""
    if isinstance(error, RedisError):
        return passes(error)
    return isinstance(error, UnavailableError | KafkaError)
