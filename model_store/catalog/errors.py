"""What can go wrong with an encoder or a language model, by what the caller does."""


class UnavailableError(RuntimeError):
    """It does not answer now: busy, slow, not there. Try again later; nothing is wrong with what was asked."""


class RefusedError(RuntimeError):
    """It answered what cannot be used, or refuses this input for good. Go on without it; the same again is no use."""


class UnfitError(RefusedError):
    """What a model said, or what it was to read, is not fit. `reason`: a word for a metric's label."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"refused: {reason}")
        self.reason = reason


class MisconfiguredError(RuntimeError):
    """It can never answer as it is set up: no such model, a wrong key, an extra not installed. A person must act."""
