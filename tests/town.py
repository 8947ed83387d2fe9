"""Users and items in a real Redis, written by the same code as in production."""

import asyncio
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from model_store.state.layout import DIM, WINDOWS
from model_store.state.windows import WindowCounts
from stream_app.catalog.sinks import ItemHashes
from stream_app.contracts import recommendations as wire
from stream_app.contracts.knowledge import Knowledge, deleted
from stream_app.contracts.pseudonyms import naming
from stream_app.contracts.recommendations import Item, Reason, Recommendation, Trigger
from stream_app.contracts.redis_layout import FACETS, ModelCard
from stream_app.settings import Settings
from stream_app.sinks.redis import RedisSink
from tests.views import random_views

TOPICS = ("Drama", "War", "Crime", "Comedy")
NOW_MS = 1_790_000_000_000


@dataclass
class Town:
    """Writes where the settings say."""

    settings: Settings
    _versions: dict[str, int] = field(default_factory=dict)

    def user(
        self, user: str, topics: Mapping[str, float], *items: Item, clicks: int = 0, follows: int = 0, version: int = 0
    ) -> int:
        """A user as of one more event, with recommendations if there are items; returns the version."""
        name = self._name(user)
        version = self._versions[user] = version or self._versions.get(user, 0) + 1
        outputs = np.zeros((1, len(FACETS) * DIM + len(TOPICS)), np.float32)
        outputs[0, len(FACETS) * DIM :] = [topics.get(topic, 0.0) for topic in TOPICS]
        latest = Recommendation(
            wire.recommendation_id(name, 0, version), name, NOW_MS, Trigger("click", "e", NOW_MS), "model-7", [*items]
        )
        self._write(
            name,
            version,
            outputs=outputs,
            topics=TOPICS,
            windows=_counts(clicks, follows),
            recommendations={0: wire.encode(latest)} if items else {},
        )
        return version

    def erase(self, user: str) -> None:
        version = self._versions[user] = self._versions[user] + 1
        self._write(self._name(user), version, erased=np.ones(1, np.bool_))

    def items(self, **titles: str) -> None:
        with closing(ItemHashes(self.settings)) as hashes:
            hashes.write([Knowledge(item, NOW_MS, title, "hash", "hashing:3") for item, title in titles.items()])

    def withdraw(self, *items: str) -> None:
        with closing(ItemHashes(self.settings)) as hashes:
            hashes.write([deleted(item, NOW_MS) for item in items])

    def _name(self, user: str) -> str:
        return naming(self.settings.pseudonym_key.get_secret_value())(user.encode()).decode()

    def _write(self, name: str, version: int, **changes: object) -> None:
        async def write() -> None:
            sink = RedisSink(self.settings.redis)
            await sink.open()
            try:
                await sink.announce(ModelCard("model-7", TOPICS, generation=1), NOW_MS)
                await sink.write(random_views([name], version, **changes))
            finally:
                await sink.close()

        asyncio.run(write())


def recommended(item: str, topic: str | None = None, because: str | None = None) -> Item:
    return Item(item, 0.5, Reason("behaviour", topic, because))


def _counts(clicks: int, follows: int) -> WindowCounts:
    nothing = np.zeros((1, len(WINDOWS)), np.int64)
    return WindowCounts(nothing + clicks, nothing, nothing, nothing, nothing + follows)
