"""Where a group stands in an input partition, and what is wrong with that.

Kafka deletes what is older than the retention whether it was read or not. Then the next record is not the one that
comes after the last: events are lost, and somebody has to know.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """Offsets of one input partition.

    Attributes:
        topic, partition: which.
        next: the one to be read next, which is the one committed unless a worker has read on.
        first: of the first record that Kafka still has.
        end: after the last one.
    """

    topic: str
    partition: int
    next: int
    first: int
    end: int

    @property
    def gone(self) -> int:
        """Records that were deleted before they were read. Transaction markers among them count as well."""
        return max(0, self.first - self.next)

    @property
    def is_beyond(self) -> bool:
        """Whether more was read than the log ever held."""
        return self.next > self.end


def fault_of(standings: Iterable[Standing]) -> str | None:
    """What keeps a worker from going on, and what to do; None if nothing does."""
    known = sorted(standings, key=lambda one: (one.topic, one.partition))
    if beyond := [one for one in known if one.is_beyond]:
        return _beyond_message(beyond)
    if gone := [one for one in known if one.gone]:
        return _gone_message(gone)
    return None


def _gone_message(gone: list[Standing]) -> str:
    places = "; ".join(
        f"{one.topic}[{one.partition}]: expected offset {one.next}, the first available is {one.first}, "
        f"{one.gone:,} gone"
        for one in gone
    )
    return (
        f"records were deleted before they were read, by retention or by hand: {places}. To go on without them, stop "
        "all workers of the group and run `interest offsets accept-loss`, which holds for these and no others. Then "
        "give the topics more retention (interest topics create --repair), or start more workers"
    )


def _beyond_message(beyond: list[Standing]) -> str:
    places = "; ".join(
        f"{one.topic}[{one.partition}]: expected offset {one.next}, the log ends at {one.end}" for one in beyond
    )
    return (
        f"the log is shorter than what was read of it: {places}. The topic was made anew, or a broker lost its end. "
        "The states know offsets that other events will get, and would take those for repeated ones: go on with a new "
        "group (INTEREST_KAFKA__GROUP), which reads all that the topics hold, and an empty Redis"
    )
