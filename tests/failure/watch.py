"""Reads versions in Redis all the time: none may ever go backwards, and none may vanish unless Redis was emptied."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import redis

from tests.failure.background import Background

EVERY_S = 0.03
Reading = tuple[int, int]
"""Generation and version."""


class Versions:
    """What was seen so far of each user. `may_vanish`: somebody empties Redis."""

    def __init__(self, may_vanish: bool = False) -> None:
        self._may_vanish = may_vanish
        self.latest: dict[str, Reading] = {}
        self.regressed: list[str] = []
        self.readings = 0

    def see(self, readings: Mapping[str, Reading | None]) -> None:
        """One look at some users; None where Redis has no version."""
        self.readings += len(readings)
        for user, now in readings.items():
            before = self.latest.get(user)
            if before is not None and (not self._may_vanish if now is None else now < before):
                self.regressed.append(f"{user}: {before} became {now}")
            if now is not None:
                self.latest[user] = now
            elif self._may_vanish:
                self.latest.pop(user, None)  # it is refilled from the state table, which may be a moment behind


class Watcher(Background):
    """A thread that looks at a sample of users, as a context manager."""

    def __init__(self, url: str, users: Sequence[str], may_vanish: bool = False) -> None:
        super().__init__()
        self.versions = Versions(may_vanish)
        self._url, self._users = url, users

    def _run(self) -> None:
        with redis.Redis.from_url(self._url) as client:
            while not self._over.wait(EVERY_S):
                with suppress(redis.RedisError):  # Redis may be away; it is looked at again when it is back
                    self.versions.see(read_versions(client, self._users))


def read_versions(client: redis.Redis, users: Sequence[str]) -> dict[str, Reading | None]:
    """As another service would read them."""
    pipeline = client.pipeline(transaction=False)
    for user in users:
        pipeline.hmget(f"interest:{{{user}}}", "generation", "version")
    rows = pipeline.execute()
    return {user: None if row[1] is None else (int(row[0]), int(row[1])) for user, row in zip(users, rows, strict=True)}
