"""Users of late, so that somebody who knows no id has whom to click: a bounded look through Redis' keys, continued at
each call, of which those written last are kept."""

import heapq
import time
from typing import Any

from redis.exceptions import NoPermissionError

from stream_app.client import AsyncInterestReader, Interest, LayoutError
from stream_app.contracts.redis_layout import everybody, user_of

SHOWN = 12
REST_S = 2.0
_SCANS, _KEYS, _KEPT = 4, 250, 64


class UsersOfLate:
    """Used by one event loop. With pseudonyms, in a Redis Cluster, and where the rights leave out SCAN, only those are
    found whose pages were opened here."""

    def __init__(self, reader: AsyncInterestReader, client: Any, scans: bool) -> None:
        self._reader, self._client, self._scans = reader, client, scans
        self._cursor, self._looked_s = 0, float("-inf")
        self._known: dict[str, int] = {}  # wall-clock ms of the last write
        self._latest: list[Interest] = []

    def met(self, user_id: str) -> None:
        """Somebody's page was opened."""
        self._known.setdefault(user_id, 0)

    async def latest(self) -> list[Interest]:
        """At most `SHOWN`, those written last first. Raises `redis.RedisError`."""
        if time.monotonic() - self._looked_s >= REST_S:
            self._looked_s = time.monotonic()
            await self._look()
        return self._latest

    async def _look(self) -> None:
        found = dict.fromkeys([*self._known, *await self._some()])
        try:
            interests = await self._reader.get_many(found)
        except LayoutError:
            interests = {}
        newest = heapq.nlargest(_KEPT, interests.values(), key=lambda interest: interest.updated_at_ms)
        self._known = {interest.user_id: interest.updated_at_ms for interest in newest}
        self._latest = newest[:SHOWN]

    async def _some(self) -> list[str]:
        if not self._scans:
            return []
        pattern, users = everybody(await self._reader.generation()), []
        try:
            for _ in range(_SCANS):
                self._cursor, keys = await self._client.scan(self._cursor, match=pattern, count=_KEYS)
                users += [user_of(key).decode(errors="replace") for key in keys]
                if self._cursor == 0:
                    break
        except NoPermissionError:
            self._scans = False
        return users
