"""What a service hears of its language model, to count it."""

from typing import Protocol


class Observer(Protocol):
    """Told of everything that costs or fails. Called from several threads; must not block."""

    def on_request(self, outcome: str, seconds: float, tokens_in: int, tokens_out: int, estimated: bool) -> None:
        """An answer (`answered`) or none (`unavailable`, `refused`, `misconfigured`: no tokens are known then).
        `estimated`: the server has not said how many tokens, so they are told from the length."""

    def on_cache(self, hit: bool) -> None:
        """An answer was looked up."""

    def on_refused(self, reason: str) -> None:
        """What came back, or what was to be sent (`item`), is not fit; reasons are those of `errors.UnfitError`, and
        `answer` where the server refused or answered in no known form."""

    def on_fallback(self, why: str) -> None:
        """Something else answers in the model's place: `budget`, `breaker`, `unavailable`, `refused`,
        `misconfigured`, or `store` where the store cannot be read."""


class Silent:
    """Hears and says nothing."""

    def on_request(self, outcome: str, seconds: float, tokens_in: int, tokens_out: int, estimated: bool) -> None:
        pass

    def on_cache(self, hit: bool) -> None:
        pass

    def on_refused(self, reason: str) -> None:
        pass

    def on_fallback(self, why: str) -> None:
        pass
