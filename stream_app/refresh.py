"""From touched users to what the world is told: interest views, and recommendations for those who are due one."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from model_store.catalog.index import Picks
from model_store.encoder.columns import FACETS
from model_store.model import InterestModel
from model_store.state import offers, windows
from model_store.state.arena import Arena
from model_store.state.features import features
from model_store.state.windows import WindowCounts
from stream_app.compute import Bench
from stream_app.contracts import recommendations as wire
from stream_app.contracts.recommendations import Recommendation, recommendation_id
from stream_app.contracts.views import InterestViews
from stream_app.observability import WorkerMetrics
from stream_app.pending import Pending, Touched
from stream_app.settings import ModelStore, Recommend
from stream_app.states import States

Rows = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

GATHER_USERS = 2048
"""Users read under the state lock in one go: about 5 ms."""
INLINE_OFFERS = 16
"""Users whose offers are made in the event loop: about 0.5 ms."""
RECOMMEND_USERS = 512
"""Users whose recommendations are made in one go: their wording takes the event loop about 10 ms."""


@dataclass(slots=True)
class Offer:
    """What is to be written."""

    pending: Pending
    views: list[InterestViews] = field(default_factory=list)
    recommendations: list[Recommendation] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Reading:
    """The states of n users of one partition, as they stood at one moment."""

    rows: Rows
    features: Float32
    version: Rows
    events: Rows
    event_ts_ms: Rows
    erased: npt.NDArray[np.bool_]
    windows: WindowCounts


class Refresher:
    """Reads states out through the model. Holds the state lock only while it reads or notes an offer."""

    def __init__(
        self,
        model: InterestModel,
        states: States,
        lock: asyncio.Lock,
        bench: Bench,
        models: ModelStore,
        recommend: Recommend,
        metrics: WorkerMetrics,
    ) -> None:
        self.model = model
        self._states, self._lock, self._metrics = states, lock, metrics
        self._recommend = recommend
        self._bench = bench
        self._readout_bench = Bench("readout")
        self._inline_users = models.inline_users
        self._large_batch = models.large_batch_users

    async def refresh(self, pending: Pending, now_ms: int) -> Offer:
        """Views of all touched users, and the recommendations that are due, which are noted in the states."""
        offer = Offer(pending)
        for partition, touched in pending.touched().items():
            for part in _parts(touched, self._large_batch):
                await self._refresh_part(partition, part, now_ms, offer)
        return offer

    async def _refresh_part(self, partition: int, touched: Touched, now_ms: int, offer: Offer) -> None:
        arena = self._states[partition]
        reading = await self._read(arena, touched.rows)
        with self._metrics.stage.labels("readout").time():
            outputs = await self._read_out(reading.features)
        views = self._views(arena, reading, outputs, now_ms)
        if self._recommend.enabled:
            with self._metrics.stage.labels("recommend").time():
                await self._add_recommendations(arena, touched, outputs, now_ms, views, offer)
        offer.views.append(views)

    async def _read(self, arena: Arena, rows: Rows) -> _Reading:
        readings = []
        for start in range(0, len(rows), GATHER_USERS):
            chunk = rows[start : start + GATHER_USERS]
            async with self._lock:
                readings.append(
                    await self._bench.run(len(chunk) <= self._inline_users, _read_states, arena.records, chunk)
                )
        return readings[0] if len(readings) == 1 else _joined(readings)

    async def _read_out(self, rows: Float32) -> Float32:
        readout = self.model.readout
        small = len(rows) <= self._inline_users
        return await self._readout_bench.run(small, readout.small if small else readout.large, rows)

    def _views(self, arena: Arena, reading: _Reading, outputs: Float32, now_ms: int) -> InterestViews:
        return InterestViews(
            keys=[arena.keys[row] for row in reading.rows.tolist()],
            version=reading.version,
            outputs=outputs,
            topics=self.model.topics,
            windows=reading.windows,
            event_ts_ms=reading.event_ts_ms,
            events=reading.events,
            updated_at_ms=now_ms,
            model_version=self.model.version,
            erased=reading.erased,
            generation=self.model.generation,
        )

    # -- recommendations

    async def _add_recommendations(
        self, arena: Arena, touched: Touched, outputs: Float32, now_ms: int, views: InterestViews, offer: Offer
    ) -> None:
        users, ignored = await self._due(arena, touched, outputs, views, now_ms)
        for start in range(0, len(users), RECOMMEND_USERS):
            part = slice(start, start + RECOMMEND_USERS)
            await self._recommend_to(arena, touched, users[part], ignored[part], outputs, now_ms, views, offer)
            await asyncio.sleep(0)

    async def _due(
        self, arena: Arena, touched: Touched, outputs: Float32, views: InterestViews, now_ms: int
    ) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Indices of the users that are due a recommendation, and whether each ignored the last one."""
        users = np.flatnonzero((touched.event >= 0) & ~views.erased)
        async with self._lock:
            decided = self._decide(arena, touched.rows[users], outputs[users], now_ms)
        return users[decided.due], decided.ignored[decided.due]

    async def _recommend_to(
        self,
        arena: Arena,
        touched: Touched,
        users: Rows,
        ignored: npt.NDArray[np.bool_],
        outputs: Float32,
        now_ms: int,
        views: InterestViews,
        offer: Offer,
    ) -> None:
        # Without the lock: an item clicked in this very millisecond may still be offered.
        rows, vectors = touched.rows[users], outputs[users]
        picks = await self._readout_bench.run(
            len(users) <= INLINE_OFFERS, self._pick, arena.records, rows, vectors, ignored
        )
        async with self._lock:
            self._note(arena, rows, vectors, picks, ignored, now_ms)
            identities = arena.records[["erased_at_ms", "rec_seq"]][rows].tolist()
        for place, user in enumerate(users.tolist()):
            made = self._made(picks, place, touched, user, views.keys[user], identities[place], now_ms)
            if made is not None:
                offer.recommendations.append(made)
                views.recommendations[user] = wire.encode(made)

    def _decide(self, arena: Arena, rows: Rows, outputs: Float32, now_ms: int) -> offers.Due:
        policy = self._recommend
        interval_ms = int(policy.min_interval_s * 1000)
        return offers.decide(arena.records, rows, outputs, now_ms, interval_ms, policy.min_drift)

    def _pick(
        self, records: npt.NDArray[np.void], rows: Rows, outputs: Float32, ignored: npt.NDArray[np.bool_]
    ) -> Picks:
        return self.model.index.recommend(records, rows, outputs, self._recommend.items, ignored)

    def _note(
        self,
        arena: Arena,
        rows: Rows,
        outputs: Float32,
        picks: Picks,
        ignored: npt.NDArray[np.bool_],
        now_ms: int,
    ) -> None:
        items = np.where(picks.item >= 0, self.model.index.hashes[picks.item], np.uint64(0))
        offers.note(arena, rows, outputs, items, ignored, now_ms)

    def _made(
        self,
        picks: Picks,
        place: int,
        touched: Touched,
        user: int,
        key: bytes,
        identity: tuple[int, int],
        now_ms: int,
    ) -> Recommendation | None:
        trigger = touched.trigger(user)
        if trigger is None:
            return None
        user_id = key.decode()
        return Recommendation(
            event_id=recommendation_id(user_id, *identity),
            user_id=user_id,
            generated_at=now_ms,
            trigger=trigger,
            model_version=self.model.version,
            items=tuple(self._items(picks, place)),
        )

    def _items(self, picks: Picks, place: int) -> Iterator[wire.Item]:
        index, topics = self.model.index, self.model.topics
        for item, score, facet, topic, because in zip(
            picks.item[place].tolist(),
            picks.score[place].tolist(),
            picks.facet[place].tolist(),
            picks.topic[place].tolist(),
            picks.because[place].tolist(),
            strict=True,
        ):
            if item >= 0:
                reason = wire.Reason(
                    facet=cast(Literal["behaviour", "social", "content"], FACETS[facet]),
                    topic=topics[topic] if topic >= 0 else None,
                    because_item=index.item_ids[because] if because >= 0 else None,
                )
                yield wire.Item(index.item_ids[item], round(score, 4), reason)


def _read_states(records: npt.NDArray[np.void], rows: Rows) -> _Reading:
    event_ts_ms = records["event_ts_ms"][rows]
    events = records["events"][rows]
    return _Reading(
        rows=rows,
        features=features(records, rows),
        version=records["version"][rows],
        events=events,
        event_ts_ms=event_ts_ms,
        erased=(events == 0) & (records["erased_at_ms"][rows] > 0),
        windows=windows.read(records, rows, event_ts_ms),
    )


def _joined(readings: list[_Reading]) -> _Reading:
    def together(name: str) -> npt.NDArray[np.generic]:
        return np.concatenate([getattr(reading, name) for reading in readings])

    counts = [reading.windows for reading in readings]
    return _Reading(
        rows=cast(Rows, together("rows")),
        features=cast(Float32, together("features")),
        version=cast(Rows, together("version")),
        events=cast(Rows, together("events")),
        event_ts_ms=cast(Rows, together("event_ts_ms")),
        erased=cast(npt.NDArray[np.bool_], together("erased")),
        windows=WindowCounts(
            *(
                np.concatenate([getattr(count, name) for count in counts])
                for name in ("clicks", "dwell_ms", "ratings", "rating_sum", "follows")
            )
        ),
    )


def _parts(touched: Touched, size: int) -> Iterator[Touched]:
    for start in range(0, len(touched.rows), size):
        part = slice(start, start + size)
        yield Touched(touched.rows[part], touched.batch[part], touched.event[part], touched.batches)
