"""What the page asks for: streams of what changes, and JSON of what does not."""

from typing import Any

from aiohttp import hdrs, web
from redis import RedisError

from stream_app.client import Interest
from stream_app.contracts.validity import id_fault
from stream_app.web.answers import Refusal, json_response
from stream_app.web.library import Library
from stream_app.web.portrait import named
from stream_app.web.streams import Streams
from stream_app.web.system import System
from stream_app.web.users import UsersOfLate
from stream_app.web.watch import Watch

_LONGEST_SEARCH = 100


class LivePages:
    """Handlers; each may raise Refusal."""

    def __init__(
        self,
        watch: Watch,
        system: System,
        users: UsersOfLate,
        library: Library,
        streams: Streams,
        about: dict[str, Any],
    ) -> None:
        """`about`: what the page is to know of this server."""
        self._watch, self._system, self._users = watch, system, users
        self._library, self._streams, self._about = library, streams, about

    async def about(self, _request: web.Request) -> web.Response:
        return json_response(self._about)

    async def user(self, request: web.Request) -> web.StreamResponse:
        """`interest`, `unknown`, `unreadable` or `away`, as soon as it is so."""
        user_id = request.match_info["id"]
        if is_no_id(user_id):
            raise Refusal(404, "unknown_user", "no event can have this id")
        await self._library.look()
        self._users.met(user_id)
        with self._watch.listening(user_id) as listener:
            return await self._streams.serve(request, listener)

    async def system(self, request: web.Request) -> web.StreamResponse:
        """`system`, every second."""
        with self._system.listening() as listener:
            return await self._streams.serve(request, listener)

    async def users(self, _request: web.Request) -> web.Response:
        """Some users whom workers wrote of late."""
        try:
            latest = await self._users.latest()
        except (RedisError, TimeoutError, OSError):
            raise _away() from None
        return json_response({"users": [_line(interest) for interest in latest]})

    async def map(self, _request: web.Request) -> web.Response:
        """The items on the plane; without any where nothing is known of them."""
        await self._library.look()
        atlas = self._library.atlas
        if atlas is None:
            return json_response({"edition": 0, "source": "", "topics": [], "items": []})
        rows = zip(atlas.item_ids, atlas.titles, atlas.points.tolist(), atlas.topic.tolist(), strict=True)
        items = [
            [*(round(value, 4) for value in point), topic, named(item, {item: title})["title"]]
            for item, title, point, topic in rows
        ]
        return json_response(
            {"edition": self._library.edition, "source": atlas.source, "topics": atlas.topics, "items": items}
        )

    async def items(self, request: web.Request) -> web.Response:
        """Items by words of their titles."""
        await self._library.look()
        words = request.query.get("q", "")[:_LONGEST_SEARCH]
        found = self._library.atlas.search(words) if self._library.atlas else []
        return json_response({"items": [named(item, {item: title}) for item, title in found]})


def _line(interest: Interest) -> dict[str, Any]:
    return {
        "user": interest.user_id,
        "events": interest.events,
        "updated_at": interest.updated_at_ms,
        "topics": [[name, round(weight, 3)] for name, weight in list(interest.topics.items())[:2]],
    }


def is_no_id(user_id: str) -> bool:
    """Whether no event can have it."""
    try:
        return id_fault("user_id", user_id) is not None
    except UnicodeEncodeError:
        return True


def _away() -> Refusal:
    return Refusal(503, "redis_away", "Redis does not answer", {hdrs.RETRY_AFTER: "5"})
