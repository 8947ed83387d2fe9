"""A circuit breaker: who has failed again and again is left alone for a while, then tried once.

Unlike those of the libraries it holds no lock while somebody is asked, so that several may be at once.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """`failures` in a row open it, for `rest_s`."""

    failures: int = 5
    rest_s: float = 60.0


class Breaker:
    """Ask `allows` before each try and tell afterwards how it went. Thread-safe."""

    def __init__(self, policy: BreakerPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy, self._clock = policy, clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None

    @property
    def is_open(self) -> bool:
        return self._opened_at is not None

    def allows(self) -> bool:
        """Whether to try. Of those who ask after the rest one may, and the others again after another one."""
        with self._lock:
            if self._opened_at is None:
                return True
            if self._clock() - self._opened_at < self._policy.rest_s:
                return False
            self._opened_at = self._clock()
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._failures, self._opened_at = 0, None

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._failures >= self._policy.failures:
                self._opened_at = self._clock()

    def open(self) -> None:
        """At once: no try can succeed until a person has acted."""
        with self._lock:
            self._failures, self._opened_at = self._policy.failures, self._clock()
