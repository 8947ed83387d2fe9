"""Errors, grouped by what the caller does about them.

A bad event is not an error: `decode_records` returns it as `Rejected`, and it becomes a dead letter. What passes by
itself is none either: the sinks repeat it, for as long as the settings allow. What is left stops the worker.
"""


class StopWorker(Exception):  # noqa: N818  # named for what the caller does
    """Going on would lose or corrupt data: end the process. Nothing unfinished is acknowledged, so a restart resumes.

    The message says what happened, where, and what to do.
    """

    explains_itself = True  # to a person; a traceback would hide it


class SinkStopped(StopWorker):
    """A sink (Redis, a Kafka topic) did not accept writes for as long as the settings allow, or never will."""


class BadEventFlood(StopWorker):
    """So many events are bad that a producer or the configuration must be wrong."""
