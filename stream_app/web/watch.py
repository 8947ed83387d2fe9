"""Redis looked at for everybody whose page is open: one round trip for all of them, and a word only of who changed."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NoReturn

import structlog
from redis import RedisError

from stream_app.client import AsyncInterestReader, Interest, LayoutError
from stream_app.contracts.recommendations import Recommendation
from stream_app.web.library import Library
from stream_app.web.listeners import Audience, Listener, Message
from stream_app.web.portrait import because_items, item_ids, portrait

log = structlog.get_logger(__name__)

AWAY_S = 1.0
"""How long Redis is left alone after it did not answer."""
_USERS, _CLICKS = 1_000, 20

Stand = tuple[int, int, int]
_UNREADABLE: Stand = (0, 0, 0)


class Clicked:
    """The items clicked of late, as far as the reasons of recommendations that went by here name them."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, list[str]] = OrderedDict()

    def of(self, user_id: str) -> list[str]:
        """Newest first, about."""
        return self._of.get(user_id, [])

    def note(self, user_id: str, items: list[str]) -> list[str]:
        """Those of the latest recommendation; returns all that are known."""
        known = self._of[user_id] = list(dict.fromkeys([*items, *self.of(user_id)]))[:_CLICKS]
        self._of.move_to_end(user_id)
        if len(self._of) > _USERS:
            self._of.popitem(last=False)
        return known

    def forget(self, user_id: str) -> None:
        self._of.pop(user_id, None)


class Watch:
    """Polls while anybody listens. Used by one event loop; `run` is its only task."""

    def __init__(
        self,
        reader: AsyncInterestReader,
        library: Library,
        poll_s: float,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`clock`: nanoseconds since 1970."""
        self._reader, self._library, self._poll_s, self._clock = reader, library, poll_s, clock
        self.audience: Audience[str] = Audience()
        self.clicked = Clicked()
        self._told: dict[str, Stand | None] = {}
        self._somebody = asyncio.Event()
        self._away = False

    def listening(self, user_id: str) -> "_Listening":
        """A context manager that gives a Listener: `interest`, `unknown`, `unreadable`, `away`."""
        return _Listening(self, user_id)

    async def run(self) -> NoReturn:
        """Look again and again."""
        while True:
            await self._somebody.wait()
            started_s = time.monotonic()
            try:
                await self.look()
                self._away = False
            except (RedisError, TimeoutError, OSError) as error:
                self._be_away(error)
                await asyncio.sleep(AWAY_S)
            await asyncio.sleep(max(0.0, self._poll_s - (time.monotonic() - started_s)))

    async def look(self) -> None:
        """Tell of all who changed since they were told of. Raises `redis.RedisError`."""
        users = self.audience.keys()
        if not users:
            self._told.clear()
            self._somebody.clear()
            return
        found = await self._read(users)
        stands = {user: _stand(found[user]) if user in found else None for user in users}
        changed = [user for user in users if user not in self._told or self._told[user] != stands[user]]
        new = [interest for user in changed if isinstance(interest := found.get(user), Interest)]
        for message in await self._portraits(new):
            self.audience.tell(message.data["user"], message)
        for user in changed:
            self._told[user] = stands[user]
            if user not in found:
                self.clicked.forget(user)
                self.audience.tell(user, Message("unknown", {"user": user}))
            elif found[user] is None:
                self.audience.tell(user, Message("unreadable", {"user": user}))
        self._told = {user: stand for user, stand in self._told.items() if user in self.audience}

    async def _read(self, users: list[str]) -> dict[str, Interest | None]:
        """None for one whose hash no worker wrote; those whom Redis does not have are left out."""
        try:
            return dict(await self._reader.get_many(users))
        except LayoutError:
            found = await asyncio.gather(*map(self._read_one, users))
            return {user: interest for user, is_there, interest in found if is_there}

    async def _read_one(self, user_id: str) -> tuple[str, bool, Interest | None]:
        try:
            interest = await self._reader.get(user_id)
        except LayoutError:
            return user_id, True, None
        return user_id, interest is not None, interest

    async def _portraits(self, interests: list[Interest]) -> list[Message]:
        made = await asyncio.gather(*(self._recommendations(interest.user_id) for interest in interests))
        told = [
            (interest, latest, self.clicked.note(interest.user_id, because_items(latest)))
            for interest, latest in zip(interests, made, strict=True)
        ]
        asked = [item for _, latest, clicked in told for item in item_ids(latest, clicked)]
        titles = await self._library.titles(asked)
        atlas, edition, now_ms = self._library.atlas, self._library.edition, self._clock() // 1_000_000
        return [
            Message("interest", portrait(interest, latest, clicked, titles, atlas, edition, now_ms))
            for interest, latest, clicked in told
        ]

    async def _recommendations(self, user_id: str) -> Recommendation | None:
        try:
            return await self._reader.recommendations(user_id)
        except LayoutError:
            return None

    def _be_away(self, error: Exception) -> None:
        if not self._away:
            log.warning("Redis does not answer; open pages say so", why=type(error).__name__)
        self._away = True
        self._told.clear()
        self.audience.tell_all(Message("away", {"what": "Redis"}))

    def _begin(self, user_id: str) -> None:
        if user_id not in self.audience:
            self._told.pop(user_id, None)
        self._somebody.set()


class _Listening:
    def __init__(self, watch: Watch, user_id: str) -> None:
        self._watch, self._user, self._open = watch, user_id, watch.audience.listening(user_id)

    def __enter__(self) -> Listener:
        self._watch._begin(self._user)
        return self._open.__enter__()

    def __exit__(self, *_: object) -> None:
        self._open.__exit__(None, None, None)


def _stand(interest: Interest | None) -> Stand:
    return (interest.generation, interest.version, interest.updated_at_ms) if interest else _UNREADABLE
