"""Errors, grouped by what the caller does about them.

A bad event is not an error: `decode_slab` returns it as `Rejected`, and it becomes a dead letter.
"""


class RetryLater(Exception):  # noqa: N818  # named for what the caller does
    """The same call may succeed in a moment: wait and repeat it. Whatever was done is repeated harmlessly."""


class StopWorker(Exception):  # noqa: N818  # the same
    """Going on would lose or corrupt data: end the process. Nothing unfinished is acknowledged, so a restart resumes.

    The message says what happened, where, and what to do.
    """


class SinkStopped(StopWorker):
    """A sink (Redis, a Kafka topic) did not accept writes for as long as the settings allow, or never will."""


class BadEventFlood(StopWorker):
    """So many events are bad that a producer or the configuration must be wrong."""
