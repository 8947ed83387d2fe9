"""From touched users to what the world is told: interest views, and recommendations for those who are due one."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
import numpy.typing as npt
import structlog

from model_store.catalog.candidates import EXACT_UP_TO, is_available
from model_store.catalog.explain import CLICKS, Explainer, Int32
from model_store.catalog.index import Picks
from model_store.catalog.targets import directions_of
from model_store.encoder.columns import FACETS, shown
from model_store.encoder.readout import SMALL_LIMIT
from model_store.model import InterestModel
from model_store.state import offers, windows
from model_store.state.arena import Arena
from model_store.state.features import features
from model_store.state.followees import Directions, followed
from model_store.state.windows import WindowCounts
from stream_app.compute import Bench
from stream_app.contracts import recommendations as wire
from stream_app.contracts.errors import StopWorker
from stream_app.contracts.recommendations import Encoded, Recommendation, recommendation_id
from stream_app.contracts.views import InterestViews
from stream_app.followees import Followees
from stream_app.observability import WorkerMetrics
from stream_app.pending import Pending, Touched
from stream_app.settings import Settings
from stream_app.states import States

log = structlog.get_logger(__name__)

Rows = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

GATHER_USERS = 2048
"""Users read under the state lock in one go: about 5 ms."""
_FACETS = cast(tuple[wire.Facet, ...], FACETS)

INLINE_OFFERS = SMALL_LIMIT // CLICKS
"""Users whose offers are made in the event loop: about 0.5 ms."""
RECOMMEND_USERS = 256
"""Users whose recommendations are made in one go: their wording takes the event loop about 4 ms."""


@dataclass(slots=True)
class Offer:
    """What is to be written; `again`, of users who were not touched."""

    pending: Pending
    views: list[InterestViews] = field(default_factory=list)
    again: list[InterestViews] = field(default_factory=list)
    recommendations: list[Encoded] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Segment:
    """Users of one partition, and where their rows begin in the columns of the group they are in."""

    arena: Arena
    touched: Touched
    start: int

    @property
    def place(self) -> slice:
        return slice(self.start, self.start + len(self.touched.rows))


@dataclass(frozen=True, slots=True)
class _Reading:
    """The states of n users, as they stood at one moment: columns as in `InterestViews`, the model's features, and what
    is in them of followees (`features.features`)."""

    features: Float32
    social: Float32
    version: Rows
    events: Rows
    event_ts_ms: Rows
    erased: npt.NDArray[np.bool_]
    erased_at_ms: Rows
    windows: WindowCounts


@dataclass(frozen=True, slots=True)
class _Round:
    """One group of users on its way through the model."""

    segments: list[_Segment]
    outputs: Float32
    social: Float32
    erased_at_ms: Rows
    views: InterestViews
    now_ms: int


@dataclass(frozen=True, slots=True)
class Voice:
    """A model, what explains its picks, its ids and topics with None at the end, where Python looks for what -1 stands
    for, and what topics and creators stand for whom users follow.

    Of a large catalogue it takes a while to make, so it is not made in the event loop.
    """

    model: InterestModel
    explainer: Explainer
    ids_or_none: tuple[str | None, ...]
    topics_or_none: tuple[str | None, ...]
    targets: Directions

    @staticmethod
    def of(model: InterestModel) -> "Voice":
        """Of that model, which learns to search where its items are too many to be scored for each user, unless it can
        already."""
        if len(model.index) > EXACT_UP_TO and model.index.candidates is None:
            if is_available():
                model = model.searched()
            else:
                log.warning(
                    "all items are scored for each user, slow with so many: pip install 'interest-updater[large]'",
                    items=len(model.index),
                )
        explainer = Explainer(model.index, model.writes, model.decays)
        targets = directions_of(model.index, model.topics, model.creators)
        return Voice(model, explainer, (*model.index.item_ids, None), (*model.topics, None), targets)

    def without(self, rows: Rows) -> "Voice":
        """The same that never offers the items in these rows of the index."""
        index = self.model.index.without(rows)
        return replace(self, model=replace(self.model, index=index), explainer=replace(self.explainer, index=index))


class Refresher:
    """Reads states out through the model. Holds the state lock only while it reads, or notes what is offered."""

    def __init__(
        self,
        model: InterestModel,
        states: States,
        lock: asyncio.Lock,
        bench: Bench,
        settings: Settings,
        metrics: WorkerMetrics,
        followees: Followees,
    ) -> None:
        self._followees = followees
        self.speak_with(Voice.of(model))
        self._states, self._lock, self._metrics = states, lock, metrics
        self._recommend = settings.recommend
        self._bench = bench
        self._readout_bench = Bench("readout", settings.cycle.stall_s)
        self._inline_users = settings.models.inline_users
        self._large_batch = settings.models.large_batch_users

    def speak_with(self, voice: Voice) -> None:
        """Read out with another; between two refreshes, never during one."""
        self.voice = voice
        self._followees.fix(voice.targets)

    @property
    def model(self) -> InterestModel:
        """What is read out with now."""
        return self.voice.model

    async def refresh(self, pending: Pending, now_ms: int) -> Offer:
        """Views of all touched users, and the recommendations that are due, which are noted in the states.

        Users of all partitions go through the model together.
        """
        offer = Offer(pending)
        async for now in self._rounds(pending.touched(), now_ms):
            erased = np.flatnonzero(now.views.erased).tolist()
            offer.recommendations += [Encoded(now.views.keys[user], None) for user in erased]
            if self._recommend.enabled and self.model.index.item_ids:
                with self._metrics.timed("recommend"):
                    await self._add_recommendations(now, offer)
            offer.views.append(now.views)
        return offer

    async def views(self, rows: Mapping[int, Rows], now_ms: int) -> AsyncIterator[InterestViews]:
        """Views of users by partition, in the order of their rows (int64 [n] each). Nothing is recommended or noted."""
        async for now in self._rounds({partition: _untouched(of) for partition, of in rows.items()}, now_ms):
            yield now.views

    async def _rounds(self, touched: Mapping[int, Touched], now_ms: int) -> AsyncIterator[_Round]:
        for segments in self._groups(touched):
            await self._look_up_followees(segments, now_ms)
            reading = await self._read(segments)
            with self._metrics.timed("readout"):
                outputs = await self._read_out(reading.features)
            views = self._views(segments, reading, outputs, now_ms)
            yield _Round(segments, outputs, reading.social, reading.erased_at_ms, views, now_ms)

    def _groups(self, by_partition: Mapping[int, Touched]) -> Iterator[list[_Segment]]:
        """All touched users, in groups of at most one batch of the model."""
        group: list[_Segment] = []
        size = 0
        for partition, touched in by_partition.items():
            for part in _parts(touched, self._large_batch):
                if size + len(part.rows) > self._large_batch:
                    yield group
                    group, size = [], 0
                group.append(_Segment(self._states[partition], part, size))
                size += len(part.rows)
        if group:
            yield group

    async def _look_up_followees(self, segments: list[_Segment], now_ms: int) -> None:
        async with self._lock:
            targets = [followed(segment.arena.records, segment.touched.rows) for segment in segments]
        await self._followees.look_up(np.unique(np.concatenate(targets)), now_ms)

    async def _read(self, segments: list[_Segment]) -> _Reading:
        readings = []
        for segment in segments:
            rows = segment.touched.rows
            for start in range(0, len(rows), GATHER_USERS):
                chunk = rows[start : start + GATHER_USERS]
                async with self._lock:
                    inline = len(chunk) <= self._inline_users
                    readings.append(await self._bench.run(inline, self._read_states, segment.arena.records, chunk))
        return readings[0] if len(readings) == 1 else _joined(readings)

    def _read_states(self, records: npt.NDArray[np.void], rows: Rows) -> _Reading:
        return _states(records, rows, self._followees.social(records, rows))

    async def _read_out(self, rows: Float32) -> Float32:
        """Raises StopWorker over values that are not finite: a vector search would take them for anything."""
        readout = self.model.readout
        small = len(rows) <= self._inline_users
        outputs = await self._readout_bench.run(small, readout.small if small else readout.large, rows)
        if not np.isfinite(outputs).all():
            raise StopWorker(self._not_finite(rows, outputs))
        return outputs

    def _not_finite(self, rows: Float32, outputs: Float32) -> str:
        bad = ~np.isfinite(outputs).all(axis=1)
        states = "their states are sound" if np.isfinite(rows[bad]).all() else "their states are not finite either"
        return (
            f"model {self.model.version} gives NaN or infinity for {bad.sum()} of {len(rows)} users; {states}. Nothing"
            " of it was written. Take another version: `interest models list`, then `roll-back` or `promote VERSION`,"
            " and start the worker again."
        )

    def _views(self, segments: list[_Segment], reading: _Reading, outputs: Float32, now_ms: int) -> InterestViews:
        return InterestViews(
            keys=[segment.arena.keys[row] for segment in segments for row in segment.touched.rows.tolist()],
            version=reading.version,
            outputs=shown(outputs),
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

    async def _add_recommendations(self, now: _Round, offer: Offer) -> None:
        for segment in now.segments:
            users, decided = await self._due(now, segment)
            for start in range(0, len(users), RECOMMEND_USERS):
                part = np.arange(start, min(start + RECOMMEND_USERS, len(users)))
                await self._recommend_to(now, segment, users[part], decided.of(part), offer)

    async def _due(self, now: _Round, segment: _Segment) -> tuple[Rows, offers.Due]:
        """Indices in the segment of the users that are due a recommendation, and what was decided of them."""
        policy, place = self._recommend, segment.place
        users = np.flatnonzero((segment.touched.event >= 0) & ~now.views.erased[place])
        async with self._lock:
            decided = offers.decide(
                segment.arena.records,
                segment.touched.rows[users],
                now.outputs[place][users],
                now.erased_at_ms[place][users],
                now.now_ms,
                int(policy.min_interval_s * 1000),
                policy.min_drift,
            )
        due = np.flatnonzero(decided.due)
        return users[due], decided.of(due)

    async def _recommend_to(
        self, now: _Round, segment: _Segment, users: Rows, decided: offers.Due, offer: Offer
    ) -> None:
        arena, index = segment.arena, self.model.index
        rows, outputs = segment.touched.rows[users], now.outputs[segment.place][users]
        social = now.social[segment.place][users]
        inline = len(users) <= INLINE_OFFERS
        # Without the lock: an item clicked in this very millisecond may still be offered, and be no reason yet.
        picks, because = await self._readout_bench.run(
            inline, self._explained, inline, arena.records, rows, outputs, social, decided.ignored
        )
        hashes = np.where(picks.item >= 0, index.hashes[picks.item], np.uint64(0))
        async with self._lock:
            noted = offers.note(arena, rows, outputs, hashes, decided, now.now_ms)
            sequences = arena.records["rec_seq"][rows].tolist()
        lists = self._lists(picks, because)
        for place in np.flatnonzero(noted).tolist():
            user, identity = int(users[place]), (int(decided.erased_at_ms[place]), sequences[place])
            value = wire.encode(self._made(segment, user, identity, lists[place], now.now_ms))
            offer.recommendations.append(Encoded(now.views.keys[segment.start + user], value))
            now.views.recommendations[segment.start + user] = value
        await asyncio.sleep(0)

    def _explained(
        self,
        inline: bool,
        records: npt.NDArray[np.void],
        rows: Rows,
        outputs: Float32,
        social: Float32,
        ignored: npt.NDArray[np.bool_],
    ) -> tuple[Picks, Int32]:
        """What is picked for n users, and because of which items (int32 [n, items], rows of the index or -1)."""
        readout = self.model.readout
        picks = self._pick(records, rows, outputs, ignored)
        read_out = readout.small if inline else readout.large
        return picks, self.voice.explainer.because(records, rows, picks, read_out, social)

    def _pick(
        self, records: npt.NDArray[np.void], rows: Rows, outputs: Float32, ignored: npt.NDArray[np.bool_]
    ) -> Picks:
        """The best unseen items, other ones than last time for users who ignored those; unless there are no others."""
        index, items = self.model.index, self._recommend.items
        picks = index.recommend(records, rows, outputs, items, ignored)
        again = np.flatnonzero(ignored & (picks.item[:, 0] < 0))
        if len(again):
            picks.put(
                again, index.recommend(records, rows[again], outputs[again], items, np.zeros(len(again), np.bool_))
            )
        return picks

    def _made(
        self, segment: _Segment, user: int, identity: tuple[int, int], items: list[wire.Item], now_ms: int
    ) -> Recommendation:
        user_id = segment.arena.keys[segment.touched.rows[user]].decode()
        return Recommendation(
            event_id=recommendation_id(user_id, *identity, self.model.generation),
            user_id=user_id,
            generated_at=now_ms,
            trigger=segment.touched.trigger(user),
            model_version=self.model.version,
            items=items,
        )

    def _lists(self, picks: Picks, because: Int32) -> list[list[wire.Item]]:
        """The items of each user, in words."""
        ids, ids_or_none, topics_or_none = self.model.index.item_ids, self.voice.ids_or_none, self.voice.topics_or_none
        columns = (
            picks.item.tolist(),
            picks.score.astype(np.float64).round(4).tolist(),
            picks.facet.tolist(),
            picks.topic.tolist(),
            because.tolist(),
        )
        return [
            [
                wire.Item(ids[item], score, wire.Reason(_FACETS[facet], topics_or_none[topic], ids_or_none[reason]))
                for item, score, facet, topic, reason in zip(*user, strict=True)
                if item >= 0
            ]
            for user in zip(*columns, strict=True)
        ]


def _states(records: npt.NDArray[np.void], rows: Rows, social: Float32) -> _Reading:
    event_ts_ms, erased_at_ms = records["event_ts_ms"][rows], records["erased_at_ms"][rows]
    events = records["events"][rows]
    return _Reading(
        features=features(records, rows, social),
        social=social,
        version=records["version"][rows],
        events=events,
        event_ts_ms=event_ts_ms,
        erased=(events == 0) & (erased_at_ms > 0),
        erased_at_ms=erased_at_ms,
        windows=windows.read(records, rows, event_ts_ms),
    )


def _joined(readings: list[_Reading]) -> _Reading:
    return _Reading(
        features=np.concatenate([reading.features for reading in readings]),
        social=np.concatenate([reading.social for reading in readings]),
        version=np.concatenate([reading.version for reading in readings]),
        events=np.concatenate([reading.events for reading in readings]),
        event_ts_ms=np.concatenate([reading.event_ts_ms for reading in readings]),
        erased=np.concatenate([reading.erased for reading in readings]),
        erased_at_ms=np.concatenate([reading.erased_at_ms for reading in readings]),
        windows=WindowCounts.concat([reading.windows for reading in readings]),
    )


def _untouched(rows: Rows) -> Touched:
    none = np.full(len(rows), -1)
    return Touched(rows, none, none, [])


def _parts(touched: Touched, size: int) -> Iterator[Touched]:
    for start in range(0, len(touched.rows), size):
        part = slice(start, start + size)
        yield Touched(touched.rows[part], touched.batch[part], touched.event[part], touched.batches)
