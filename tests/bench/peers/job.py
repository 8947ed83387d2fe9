"""The job that every peer does, in the parts that do not depend on the framework.

The same code as in our worker, called the way a framework lets its users call it: one event, or the few that it hands
out together. An event changes a user's state (`advance`); states are read out by the same model, and written to Redis
through the same layout and guard. Left out, in the peers' favour: checks of the events, dead letters, recommendations
and metrics.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from pydantic import SecretStr

from model_store.encoder.columns import shown
from model_store.state import windows
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.codec import decode, encode
from model_store.state.features import features
from model_store.state.followees import followee
from model_store.state.hashing import hash_id
from model_store.state.layout import Kind
from stream_app.contracts.events import EVENT_OF_KIND, Click, Event, Follow, Rating
from stream_app.contracts.views import InterestViews
from stream_app.settings import Redis as RedisSettings
from stream_app.sinks.redis import RedisSink
from tests.bench.model import current_model
from tests.bench.peers.spec import Spec

_ROW = np.zeros(1, np.int64)
_DECODERS = {kind: msgspec.json.Decoder(event) for kind, event in EVENT_OF_KIND.items()}


class User:
    """One user's state, from how the framework keeps it (None: a new user) and back."""

    def __init__(self, key: bytes, saved: bytes | None) -> None:
        self.key = key
        self.arena = Arena(1)
        self.arena.rows_of([key])
        if saved is not None:
            self.arena.records[:] = decode([saved])

    def encoded(self) -> bytes:
        return bytes(encode(self.arena.records, _ROW)[0])


@dataclass(frozen=True, slots=True)
class Taken:
    """One event as `advance` wants it; see `EventBatch` for the columns."""

    kind: Kind
    offset: int
    ts_ms: int
    event: int
    item: int
    value: float


def taken(kind: Kind, raw: bytes, offset: int) -> Taken:
    """Decodes one event."""
    event: Event = _DECODERS[kind].decode(raw)
    item, value = _item_and_value(event)
    return Taken(kind, offset, event.ts, hash_id(event.event_id), hash_id(item), value)


def _item_and_value(event: Event) -> tuple[str, float]:
    match event:
        case Click():
            return event.item_id, event.dwell_ms or 0.0
        case Rating():
            return event.item_id, float("nan") if event.rating is None else event.rating / event.scale_max
        case Follow():
            return followee(event.target_type, event.target_id), float(event.action == "follow")
        case _:
            raise TypeError(f"{type(event).__name__} is not part of the job")


def as_batch(keys: list[bytes], events: Sequence[Taken]) -> EventBatch:
    """The events as columns, in their order."""
    return EventBatch(
        keys=keys,
        kind=np.array([one.kind for one in events], np.int8),
        offset=np.array([one.offset for one in events], np.int64),
        ts_ms=np.array([one.ts_ms for one in events], np.int64),
        event=np.array([one.event for one in events], np.uint64),
        item=np.array([one.item for one in events], np.uint64),
        value=np.array([one.value for one in events], np.float32),
        region=np.zeros(len(events), np.uint8),
        event_ids=[],
    )


class Job:
    """Model and Redis of one peer's process."""

    def __init__(self, spec: Spec) -> None:
        self._model = current_model(spec.model_url, Path(spec.folder))
        self._sink = RedisSink(RedisSettings(url=SecretStr(spec.redis_url)))
        self._runner = asyncio.Runner()

    def event(self, kind: Kind, raw: bytes | None, offset: int) -> Taken:
        return taken(kind, raw or b"", offset)

    def advance(self, user: User, events: Sequence[Taken]) -> None:
        """Changes the user by one event or a few, in their order."""
        batch = as_batch([user.key] * len(events), events)
        advance(user.arena, np.zeros(len(events), np.int64), batch, self._model.writes, self._model.decays)

    def views(self, users: Sequence[User]) -> InterestViews:
        """What Redis is to hold of the users: one call of the model, whatever their number."""
        records = users[0].arena.records if len(users) == 1 else np.concatenate([user.arena.records for user in users])
        rows, now_ms = np.arange(len(users)), time.time_ns() // 1_000_000
        return InterestViews(
            keys=[user.key for user in users],
            version=records["version"].copy(),
            outputs=shown(self._model.readout.any(features(records, rows))),
            topics=self._model.topics,
            windows=windows.read(records, rows, np.full(len(users), now_ms)),
            event_ts_ms=records["event_ts_ms"].copy(),
            events=records["events"].copy(),
            updated_at_ms=now_ms,
            model_version=self._model.version,
            erased=np.zeros(len(users), np.bool_),
            generation=self._model.generation,
        )

    async def write_async(self, users: Sequence[User]) -> None:
        """One readout and one round trip, for a framework with an event loop."""
        await self._sink.write(self.views(users))

    def write(self, users: Sequence[User]) -> None:
        """The same for a framework without one."""
        self._runner.run(self.write_async(users))
