"""What the pages know of items: titles, and the atlas. Both come from Redis where the catalogue service has put them
there, and else from the served model's files."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np
import structlog
from redis import RedisError
from redis.exceptions import NoPermissionError

from model_store.items import load_items
from model_store.manifest import ModelError
from model_store.registry import ModelRegistry
from model_store.state.hashing import hash_ids
from stream_app.client import AsyncInterestReader, ItemKnowledge, LayoutError
from stream_app.contracts.redis_layout import ModelCard, item_key, user_of
from stream_app.settings import Settings
from stream_app.web.atlas import Atlas

log = structlog.get_logger(__name__)

REST_S = 60.0
"""The atlas is not made anew more often."""
MOST_ITEMS = 2_000
NAMES_REST_S, MOST_NAMES = 5.0, 100_000
_SCAN_KEYS, _ASKED = 1_000, 500
_ENOUGH = 50
"""Items with a place in Redis, from which on the atlas is of those."""


class Library:
    """Used by one event loop.

    Attributes:
        atlas: None where nothing is known of any item.
        edition: of the atlas, another number for another one.
    """

    def __init__(self, settings: Settings, reader: AsyncInterestReader, client: Any) -> None:
        """`client`: a redis.asyncio one, for SCAN."""
        self._settings, self._reader, self._client = settings, reader, client
        self.atlas: Atlas | None = None
        self.edition = 0
        self._made_s, self._making = float("-inf"), asyncio.Lock()
        self._version, self._in_use = "", False
        self._id_by_hash: dict[int, str] = {}
        self._named_s = float("-inf")

    async def titles(self, item_ids: Iterable[str]) -> Mapping[str, str]:
        """Of those items of which one is known. Raises `redis.RedisError`."""
        self._in_use = True
        ids = list(dict.fromkeys(item_ids))
        found = await self._items(ids)
        own = {item: self.atlas.title_of(item) for item in ids} if self.atlas else {}
        return own | {item: knowledge.title for item, knowledge in found.items()}

    async def ids_of(self, hashes: Iterable[int]) -> dict[int, str]:
        """Of the items in Redis that have these hashes, as states know items; Redis is looked through again, at most
        every few seconds, where one is not known. Raises `redis.RedisError`."""
        wanted = list(hashes)
        if not all(one in self._id_by_hash for one in wanted) and time.monotonic() - self._named_s >= NAMES_REST_S:
            self._named_s = time.monotonic()
            ids = await self._item_ids(MOST_NAMES)
            self._id_by_hash = dict(zip(hash_ids(ids).hash.tolist(), ids, strict=True))
        return {one: self._id_by_hash[one] for one in wanted if one in self._id_by_hash}

    async def run(self) -> NoReturn:
        """Look again and again, while anybody asks for titles."""
        while True:
            await asyncio.sleep(REST_S)
            if self._in_use:
                self._in_use = False
                await self.look()

    async def look(self) -> None:
        """Make the atlas anew, if it is old and there is anything new. What fails leaves it as it is."""
        async with self._making:
            if time.monotonic() - self._made_s < REST_S:
                return
            self._made_s = time.monotonic()
            try:
                await self._make()
            except (RedisError, LayoutError, ModelError, OSError, ValueError) as error:
                log.warning("the map of items cannot be made now", why=f"{type(error).__name__}: {error}"[:300])

    async def _make(self) -> None:
        generation = await self._reader.generation()
        card = await self._reader.model(generation)
        items = await self._told_items()
        if len(items) >= _ENOUGH:
            self._show(await asyncio.to_thread(_atlas_of_items, items, card))
        elif card is not None and card.version != self._version:
            self._show(await asyncio.to_thread(_atlas_of_model, self._settings, card.version))
            self._version = card.version

    def _show(self, atlas: Atlas | None) -> None:
        if atlas is not None:
            self.atlas, self.edition = atlas, self.edition + 1

    async def _told_items(self) -> list[ItemKnowledge]:
        """A bounded number of those that have a place."""
        ids = await self._item_ids(MOST_ITEMS)
        found: list[ItemKnowledge] = []
        for start in range(0, len(ids), _ASKED):
            asked = await self._items(ids[start : start + _ASKED])
            found += [item for item in asked.values() if item.place is not None]
        return found

    async def _items(self, ids: list[str]) -> dict[str, ItemKnowledge]:
        try:
            return await self._reader.items(ids)
        except LayoutError:
            return {}

    async def _item_ids(self, most: int) -> list[str]:
        if self._settings.redis.cluster:
            return []
        try:
            return await self._scanned(most)
        except NoPermissionError:
            return []  # then the model's files tell

    async def _scanned(self, most: int) -> list[str]:
        found: dict[bytes, None] = {}
        cursor, rounds = 0, 0
        while len(found) < most and rounds < 20 * most // _SCAN_KEYS:
            cursor, keys = await self._client.scan(cursor, match=item_key(b"*"), count=_SCAN_KEYS)
            found.update(dict.fromkeys(keys))
            rounds += 1
            if cursor == 0:
                break
        return [user_of(key).decode(errors="replace") for key in list(found)[:most]]


def _atlas_of_items(items: list[ItemKnowledge], card: ModelCard | None) -> Atlas:
    topics = card.topics if card else tuple(sorted({next(iter(item.topics), "") for item in items}))
    number = {name: place for place, name in enumerate(topics)}
    topic = np.array([number.get(next(iter(item.topics), ""), -1) for item in items], np.int16)
    vectors = np.stack([item.place.vector for item in items if item.place])
    return Atlas.of("Redis", [item.item_id for item in items], [item.title for item in items], topics, topic, vectors)


def _atlas_of_model(settings: Settings, version: str) -> Atlas | None:
    """Blocks."""
    side = load_items(ModelRegistry(settings.models.url).fetch(version, settings.local_copies / version))
    index = side.index
    if not len(index):
        return None
    rows = np.argsort(-index.bias, kind="stable")[:MOST_ITEMS]
    ids, titles = [index.item_ids[row] for row in rows], [index.titles[row] for row in rows]
    return Atlas.of(version, ids, titles, side.topics, index.topic[rows], index.vectors[rows])
