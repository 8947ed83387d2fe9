"""A user's state a second time, to be changed as nobody's is: what would be read out of it then. Nothing is written.

Runs in a process of its own, since it needs TensorFlow and the served model, which the pages do without. What it
answers from is told with the answer: the user's own state, read from the state table's changelog, or a state made from
the clicks alone that the pages know of.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from redis import RedisError

from model_store.catalog.targets import directions_of
from model_store.encoder.columns import Outputs
from model_store.manifest import ModelError
from model_store.model import InterestModel, load_model
from model_store.registry import ModelRegistry
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.features import features
from model_store.state.followees import followed
from model_store.state.hashing import hash_ids
from model_store.state.layout import USER, Kind
from model_store.state.without import without
from stream_app.contracts.redis_layout import Field, followee_key, interest_keys
from stream_app.followees import Followees
from stream_app.observability import WorkerMetrics
from stream_app.settings import Settings
from stream_app.shelf import Catalogue
from stream_app.web.logged_states import LoggedStates, Records
from stream_app.web.past import ring
from stream_app.web.redis import redis_client
from stream_app.web.what_if_process import Answer, Lie, Question, WhatIfError

Float32 = npt.NDArray[np.float32]

OFFERS = 6
_FIRST_ID = np.uint64(0x1F00_0000_0000_0000)


class Engine:
    """Answers one question at a time. Blocks."""

    def __init__(self, settings: Settings, states: LoggedStates) -> None:
        self._settings, self._states = settings, states
        self._base: InterestModel | None = None
        self._model: InterestModel | None = None
        self._catalogue: Catalogue | None = None
        self._generation, self._metrics = 0, WorkerMetrics()

    def answer(self, question: Question) -> Answer:
        """Raises `WhatIfError`, and what `LoggedStates.of` raises."""
        settings = self._settings.of_generation(question.generation)
        try:
            model = self._served(settings)
            return asyncio.run(self._answer(settings, model, question))
        except (ModelError, RedisError) as error:
            raise WhatIfError(f"{type(error).__name__}: {error}"[:400]) from error

    def _served(self, settings: Settings) -> InterestModel:
        """The served model, with what the catalogue tells."""
        registry = ModelRegistry(settings.models.url)
        version = registry.current(settings.kafka.generation)
        if version is None:
            raise WhatIfError(f"{settings.models.url} serves no model of generation {settings.kafka.generation}")
        if self._base is None or self._base.version != version:
            self._base = load_model(registry.fetch(version, settings.local_copies / version))
            self._model = None
            if self._catalogue and self._base.generation != self._generation:
                self._catalogue.feed.close()
                self._catalogue = None
            self._generation = self._base.generation
        if settings.web.what_if == "changelog":
            if self._catalogue is None:
                self._catalogue = Catalogue.follow(settings, self._base, self._metrics)
            if self._catalogue.news() or self._model is None:
                self._model = self._catalogue.put_into(self._base)
        return self._model or self._base

    async def _answer(self, settings: Settings, model: InterestModel, question: Question) -> Answer:
        from_log = settings.web.what_if == "changelog"
        record = await self._logged(question) if from_log else _of_clicks(model, question)
        clicks = clicks_of(record, model)
        changed = changed_by(record, model, question, clicks)
        states = np.concatenate([record, changed])
        social = await self._social(settings, model, states) if from_log else None
        rows = np.arange(2)
        outputs = model.readout.small(features(states, rows, social))
        before, after = (_lie(model, states, outputs, row) for row in (0, 1))
        named = {item for item in (*clicks, *before.offers, *after.offers, *question.add) if item}
        titles = dict(zip(model.index.item_ids, model.index.titles, strict=True))
        return Answer(
            "changelog" if from_log else "clicks",
            int(record["version"][0]) if from_log else 0,
            model.version,
            clicks,
            before,
            after,
            {item: titles[item] for item in named if item in titles},
        )

    async def _logged(self, question: Question) -> Records:
        record = await self._states.of(question.user_id, question.generation)
        if record is None:
            raise WhatIfError("the state table has nothing of this user yet: it is written a quarter of a second later")
        return record

    async def _social(self, settings: Settings, model: InterestModel, states: Records) -> Float32:
        """float32 [2, SOCIAL_WIDTH], as a worker would look it up now."""
        client, rows = redis_client(settings), np.arange(len(states))
        try:
            followees = Followees(_Directory(client), settings.social, settings.kafka.generation, self._metrics)
            followees.fix(directions_of(model.index, model.topics, model.creators))
            await followees.look_up(followed(states, rows), 1)
            return followees.social(states, rows)
        finally:
            await client.aclose()


class _Directory:
    """`followees.Directory`, that keeps no name alive."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def followee_names(self, targets: Sequence[int]) -> Sequence[bytes | None]:
        return await self._asked([("GET", followee_key(target)) for target in targets])

    async def vectors(self, users: Sequence[bytes], generation: int) -> Sequence[bytes | None]:
        return await self._asked([("HGET", key, str(Field.VECTOR)) for key in interest_keys(list(users), generation)])

    async def _asked(self, commands: Sequence[tuple[Any, ...]]) -> Sequence[bytes | None]:
        if not commands:
            return []
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        found: Sequence[bytes | None] = await pipeline.execute()
        return found


def clicks_of(record: Records, model: InterestModel) -> tuple[str | None, ...]:
    """The items clicked last, newest first; None where the model does not know one."""
    rows = model.index.rows_of(ring(record))
    return tuple(model.index.item_ids[row] if row >= 0 else None for row in rows.tolist())


def changed_by(record: Records, model: InterestModel, question: Question, clicks: Sequence[str | None]) -> Records:
    """`USER` [1]: a copy without some clicks, and with others. Of several clicks on an item the newest one goes."""
    ages = [clicks.index(item) for item in dict.fromkeys(question.without) if item in clicks]
    # The oldest one first: then the ages of the newer ones stay as they are.
    for age in sorted(ages, reverse=True):
        record = without(record, np.zeros(1, np.int64), np.array([age]), model.writes, model.decays)
    return clicked(record, model, question.add, question.now_ms) if question.add else record


def clicked(record: Records, model: InterestModel, items: Sequence[str], now_ms: int) -> Records:
    """`USER` [1]: a copy after clicks on these items, at that event time or after the user's erasure."""
    arena, key = Arena(2), b"user"
    rows = np.repeat(arena.rows_of([key]), len(items))
    arena.records[rows[:1]] = record
    first = int(record["next_offset"][0][Kind.CLICK])
    batch = EventBatch(
        keys=[key] * len(items),
        kind=np.full(len(items), Kind.CLICK, np.int8),
        offset=first + np.arange(len(items), dtype=np.int64),
        ts_ms=np.full(len(items), max(now_ms, int(record["erased_at_ms"][0]) + 1), np.int64),
        event=_FIRST_ID + np.uint64(first) + np.arange(len(items), dtype=np.uint64),
        item=hash_ids(list(items)).hash,
        value=np.zeros(len(items), np.float32),
        region=np.zeros(len(items), np.uint8),
        event_ids=[""] * len(items),
    )
    advance(arena, rows, batch, model.writes, model.decays)
    return arena.records[rows[:1]].copy()


def _of_clicks(model: InterestModel, question: Question) -> Records:
    empty = np.zeros(1, USER)
    return clicked(empty, model, question.clicks, question.now_ms) if question.clicks else empty


def _lie(model: InterestModel, states: Records, outputs: Float32, row: int) -> Lie:
    mine, rows = outputs[row : row + 1], np.array([row])
    split = Outputs.of(mine)
    picks = model.index.recommend(states, rows, mine, OFFERS, np.zeros(1, np.bool_))
    vectors = {name: getattr(split, name)[0] for name in ("vector", "behaviour", "social", "content")}
    weights = sorted(zip(model.topics, split.topics[0].tolist(), strict=True), key=lambda topic: -topic[1])
    offers = tuple(model.index.item_ids[item] for item in picks.item[0].tolist() if item >= 0)
    return Lie(vectors, dict(weights), offers)
