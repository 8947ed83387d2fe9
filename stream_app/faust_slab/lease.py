"""How long a worker may take itself for a member of the group, without asking.

The group drops a member that it has not heard of for the session's timeout, and one that does not join a rebalance
within its timeout; another then owns the partitions. Neither can have happened while less time than that has passed
since the worker *sent* what the group has answered, on a clock that goes on while the process or the machine sleeps.
"""

import time
from dataclasses import dataclass

SHARE = 0.5
"""Of the timeouts: what is written right after a look at the clock must still arrive in time."""

_NEVER_S = float("-inf")


@dataclass(slots=True)
class Lease:
    """When a request was sent that the group answered: as to a member, and as to one that need not join again.

    Written by the consumer's thread, read by the event loop's.
    """

    session_s: float
    rebalance_s: float
    known_at_s: float = _NEVER_S
    settled_at_s: float = _NEVER_S

    def renew(self, sent_at_s: float, rebalancing: bool) -> None:
        """A request that was sent at that time was answered as a member's."""
        self.known_at_s = sent_at_s
        if not rebalancing:
            self.settled_at_s = sent_at_s

    def holds(self, now_s: float) -> bool:
        """Whether the group can't have dropped this worker yet."""
        known, settled = now_s - self.known_at_s, now_s - self.settled_at_s
        return known < SHARE * self.session_s and settled < SHARE * self.rebalance_s


def now_s() -> float:
    """Seconds on a clock that counts the time in which the machine is suspended, where there is one."""
    return time.clock_gettime(_CLOCK)


_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
