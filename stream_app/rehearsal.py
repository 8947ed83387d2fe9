"""A dry run of the whole way, before the worker joins its group.

Compiles (or loads) every kernel and touches every code path once, so that the first real events meet warm code and the
event loop is never held up by a compiler. Uses an updater of its own, whose sinks write nowhere.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from model_store.model import InterestModel
from model_store.state.hashing import partition_of
from stream_app.contracts.recommendations import Encoded
from stream_app.contracts.slab import Slab
from stream_app.contracts.validity import Rejected
from stream_app.contracts.views import InterestViews
from stream_app.observability import WorkerMetrics
from stream_app.settings import Settings
from stream_app.sinks.interest_blob import pack
from stream_app.states import States
from stream_app.updater import Updater

NOW_MS = 1_760_000_000_000
COMPILE_S = 600.0
USERS = 80  # more than are read out inline, so that both ways are walked


def rehearse(settings: Settings, model: InterestModel) -> None:
    """Run events of every kind through an updater; takes a second, or half a minute the first time ever."""
    asyncio.run(_rehearse(settings, model))


async def _rehearse(settings: Settings, model: InterestModel) -> None:
    scene = _Scene(settings, model)
    updater = scene.updater
    stages = updater.advance_forever, updater.refresh_forever, updater.write_forever, updater.publish_forever
    tasks = [asyncio.ensure_future(stage()) for stage in stages]
    for users in (1, USERS):
        for slab in scene.slabs(users):
            scene.updater.put(slab)
        await asyncio.sleep(0)
        await scene.settled()
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class _Scene:
    """An updater, its stage, and the slabs it is given."""

    def __init__(self, settings: Settings, model: InterestModel) -> None:
        self._settings = settings
        self._stage = _Stage()
        patient = settings.cycle.model_copy(update={"stall_s": COMPILE_S})
        settings = settings.model_copy(update={"cycle": patient})
        self.updater = Updater(settings, model, self._stage, self._stage, WorkerMetrics(), lambda: NOW_MS)
        self.updater.source = self._stage
        self._item = model.index.item_ids[0] if len(model.index) else "item"
        self._sent = 0

    def slabs(self, users: int) -> Iterable[Slab]:
        """One of each input topic, one partition, the same users in each."""
        bodies: tuple[dict[str, object], ...] = (
            {"item_id": self._item, "dwell_ms": 1000},
            {"target_id": "somebody", "target_type": "user", "action": "follow"},
            {"item_id": self._item, "rating": 4},
            {},
        )
        keys = self._keys(users)
        for topic, body in zip(self._settings.kafka.topics.inputs, bodies, strict=True):
            yield Slab(topic, 0, [self._record(topic, key, body) for key in keys[: None if body else 1]], 0)
        self._sent += 1

    def _keys(self, users: int) -> list[bytes]:
        """User ids that belong to partition 0."""
        partitions = self._settings.kafka.partitions
        numbers = range(partitions * (users + 20) * 4)
        keys = (b"rehearsal-%d" % number for number in numbers)
        return [key for key in keys if partition_of(key, partitions) == 0][:users]

    def _record(self, topic: str, key: bytes, body: dict[str, object]) -> "_Record":
        self._stage.offset += 1
        event = {"event_id": str(self._stage.offset), "user_id": key.decode(), "ts": NOW_MS, **body}
        return _Record(topic, self._stage.offset, key, msgspec.json.encode(event))

    async def settled(self) -> None:
        """Everything given was applied, written and logged."""
        await self._stage.written.wait()
        self._stage.written.clear()
        await self.updater.flush()


@dataclass(slots=True)
class _Stage:
    """Source, sinks, changelog and flood guard that lead nowhere (`ports.SlabSource`, `updater.Sinks`)."""

    epoch: int = 0
    offset: int = 0
    written: asyncio.Event = field(default_factory=asyncio.Event)
    log: "_Log" = field(default_factory=lambda: _Log())

    @property
    def interests(self) -> "_Stage":
        return self

    @property
    def recommendations(self) -> "_Nowhere":
        return _Nowhere()

    @property
    def dead_letters(self) -> "_Nowhere":
        return _Nowhere()

    @property
    def changelog(self) -> "_Log":
        return self.log

    def taken(self, events: int) -> None:
        """Nothing waits for room."""

    def done(self, slabs: Iterable[Slab]) -> None:
        """Nothing is committed."""

    async def is_member(self) -> bool:
        """Of nothing, but nothing is written either."""
        return True

    def lag(self) -> Mapping[str, int]:
        """Nothing waits."""
        return {}

    def check(self, _now_s: float, _events: int, _rejected: int, _latest: Sequence[Rejected]) -> None:
        """No flood here."""

    async def write_again(self, views: InterestViews) -> None:
        """Nobody is quiet here."""

    async def name_followees(self, names: Mapping[int, bytes | None]) -> None:
        """Not kept."""

    async def followee_names(self, targets: Sequence[int]) -> list[bytes | None]:
        """Nobody is known."""
        return [None] * len(targets)

    async def vectors(self, users: Sequence[bytes], _generation: int) -> list[bytes | None]:
        """Nobody has one."""
        return [None] * len(users)

    async def write(self, views: InterestViews) -> None:
        pack(views, 0, len(views))
        self.written.set()


class _Nowhere:
    async def publish(self, items: Sequence[Encoded] | Sequence[Rejected]) -> None:
        """Not published."""


class _Log:
    """Counts offsets like a changelog that nobody else writes to, and is read back as recovery does it."""

    def __init__(self) -> None:
        self._ends: Counter[int] = Counter()

    async def write(
        self, partition: int, keys: Sequence[bytes], values: memoryview, ends: npt.NDArray[np.int64]
    ) -> int:
        if len(values):
            States().restore(partition, [_Record("", 0, keys[0], bytes(values[ends[0] : ends[1]]))], read_to=1)
        self._ends[partition] += len(keys)
        return self._ends[partition] - 1


@dataclass(frozen=True, slots=True)
class _Record:
    """A record as Kafka would deliver it."""

    topic: str
    offset: int
    key: bytes
    value: bytes
    partition: int = 0
    timestamp: int = NOW_MS
    headers: Sequence[tuple[str, bytes]] = field(default=())
