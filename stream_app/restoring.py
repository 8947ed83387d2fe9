"""How far recovery is, for people and dashboards."""

import gc
import time
from collections.abc import Callable, Mapping

import structlog

from stream_app.observability import WorkerMetrics

log = structlog.get_logger(__name__)

LOG_EVERY_S = 3.0


class Restoring:
    """Told of each step of a recovery, it logs every few seconds and keeps the gauge.

    Offsets are what is counted towards the end: compaction leaves holes, so there may be fewer records.
    """

    def __init__(self, metrics: WorkerMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics, self._clock = metrics, clock
        self._began_s: float | None = None
        self._logged_s = 0.0
        self._records = self._total = 0

    def read(self, records: int) -> None:
        """So many records were read."""
        if self._began_s is None:
            self._began_s = self._logged_s = self._clock()
            gc.disable()  # what is read holds no cycles; looking through it takes a tenth of the time
        self._records += records
        self._metrics.restored.inc(records)

    def remaining(self, by_partition: Mapping[int, int]) -> None:
        """Offsets still to be read, of the partitions that have any."""
        left, now_s = sum(by_partition.values()), self._clock()
        self._metrics.restore_remaining.set(left)
        self._total = max(self._total, self._records + left)
        if self._began_s is not None and now_s - self._logged_s >= LOG_EVERY_S:
            self._logged_s = now_s
            rate = self._records / (now_s - self._began_s)
            log.info(
                "restoring states", partitions=len(by_partition), restored=self._records, of=self._total,
                users_per_second=round(rate), seconds_left=round(left / rate, 1) if rate else None,
            )  # fmt: skip

    def ended(self, users: int, behind: int) -> None:
        """Recovery is complete: so many users are held, of whom so many were behind in the changelog."""
        self._metrics.restore_remaining.set(0)
        if self._began_s is not None:
            seconds = self._clock() - self._began_s
            log.info(
                "states are restored", users=users, records=self._records, seconds=round(seconds, 1),
                users_per_second=round(self._records / seconds) if seconds else None, written_again=behind,
            )  # fmt: skip
            gc.enable()
        self._began_s, self._records, self._total = None, 0, 0
