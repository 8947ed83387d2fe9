"""How much may be asked of a language model."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from model_store.catalog.annotators.store import DAY_MIN, HOUR_MIN, Spent, Store
from model_store.catalog.structured import Answer


@dataclass(frozen=True, slots=True)
class Limits:
    """Of any 60 minutes and any 24 hours. 0 requests: none at all."""

    requests_per_hour: int = 1_000
    tokens_per_hour: int = 2_000_000
    requests_per_day: int = 10_000
    tokens_per_day: int = 20_000_000

    @property
    def per_hour(self) -> Spent:
        return Spent(self.requests_per_hour, self.tokens_per_hour)

    @property
    def per_day(self) -> Spent:
        return Spent(self.requests_per_day, self.tokens_per_day)


class Budget:
    """What is left of the limits, kept in the store, so a restart does not refill it. Thread-safe.

    A request is booked before it is sent, with the most tokens it can cost; what an answer has really cost takes the
    booking's place. A request that fails stays booked: it may have been billed.
    """

    def __init__(self, store: Store, limits: Limits, now: Callable[[], float] = time.time) -> None:
        """`now`: seconds since 1970."""
        self._store, self._limits, self._now = store, limits, now

    def book(self, tokens: int) -> bool:
        """Whether one more request of at most so many tokens is within the limits; then it is booked. Raises
        UnavailableError."""
        return self._store.spend_within(self._minute(), Spent(1, tokens), self._limits.per_hour, self._limits.per_day)

    def settle(self, booked_tokens: int, answer: Answer) -> None:
        """What was booked for it becomes what it has cost. Raises UnavailableError."""
        self._store.spend(self._minute(), Spent(answer.requests - 1, answer.tokens - booked_tokens))

    def spent(self) -> tuple[Spent, Spent]:
        """Within the last hour, and within the last day. Raises UnavailableError."""
        minute = self._minute()
        return self._store.spent(minute, HOUR_MIN), self._store.spent(minute, DAY_MIN)

    def _minute(self) -> int:
        return int(self._now() // 60)
