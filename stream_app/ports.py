"""What the updater asks of the outside: one to three methods each, so that a test can stand in for any of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from stream_app.contracts.recommendations import Encoded
from stream_app.contracts.slab import Slab
from stream_app.contracts.validity import Rejected
from stream_app.contracts.views import InterestViews


class Clock(Protocol):
    """Wall-clock time in milliseconds, UTC."""

    def __call__(self) -> int: ...


class SlabSource(Protocol):
    """Where slabs come from. Called in the event loop's thread; never blocks."""

    @property
    def epoch(self) -> int:
        """Slabs of an earlier epoch are void: they will be delivered again, to their owner."""

    def taken(self, events: int) -> None:
        """This many events left the inbox: more may be fetched."""

    def done(self, slabs: Iterable[Slab]) -> None:
        """The effects of these slabs are durable: their offsets may be committed."""

    async def is_member(self) -> bool:
        """Whether what was taken in is still this worker's to write; asked before each write to the outside.

        Waits while the group has not answered for so long that it may have dropped this worker. False once it has:
        then another writes. Raises StopWorker if no answer comes.
        """

    def lag(self) -> Mapping[str, int]:
        """For each input topic, events after the committed offset."""


class InterestSink(Protocol):
    async def write(self, views: InterestViews) -> object:
        """Returns when readers see the views, or newer ones. Retries for as long as settings allow, then raises
        StopWorker. May be repeated harmlessly."""

    async def write_again(self, views: InterestViews) -> object:
        """Likewise, of users whose versions have not changed: who has another version there keeps it."""

    async def name_followees(self, names: Mapping[int, bytes | None], /) -> None:
        """Keep the names of followed users, by the hashes that states have of them; None: no more. Retries likewise."""

    async def followee_names(self, targets: Sequence[int], /) -> Sequence[bytes | None]:
        """The users behind hashes; None where nobody is named. Raises what the client raises, without a second try."""

    async def vectors(self, users: Sequence[bytes], generation: int, /) -> Sequence[bytes | None]:
        """Their vectors, little-endian float32; None of who has none. Raises likewise."""


class RecommendationSink(Protocol):
    async def publish(self, recommendations: Sequence[Encoded]) -> None:
        """Returns when Kafka has acknowledged all of them; raises StopWorker if it does not."""


class DeadLetterSink(Protocol):
    async def publish(self, rejected: Sequence[Rejected]) -> None:
        """Returns when Kafka has acknowledged all of them; raises StopWorker if it does not."""


class Changelog(Protocol):
    async def write(
        self, partition: int, keys: Sequence[bytes], values: memoryview, ends: npt.NDArray[np.int64], /
    ) -> int:
        """Append n states (value i is `values[ends[i]:ends[i + 1]]`). Returns the offset of the last one once Kafka
        has acknowledged all of them; raises StopWorker if it does not."""
