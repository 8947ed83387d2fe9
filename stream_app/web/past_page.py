"""`GET /api/users/{id}/past`: what a user did of late, where the pages may read the state table's changelog."""

from typing import Any

from aiohttp import hdrs, web
from redis import RedisError

from stream_app.client import AsyncInterestReader
from stream_app.settings import Settings
from stream_app.web.answers import Refusal, json_response
from stream_app.web.aside import Aside
from stream_app.web.library import Library
from stream_app.web.live import is_no_id
from stream_app.web.past import Past
from stream_app.web.portrait import named
from stream_app.web.what_if_process import remembered


class PastPage:
    """Used by one event loop."""

    def __init__(self, settings: Settings, reader: AsyncInterestReader, library: Library, aside: Aside) -> None:
        self._mode, self._reader, self._library, self._aside = settings.web.what_if, reader, library, aside

    async def get(self, request: web.Request) -> web.Response:
        """Raises Refusal."""
        user_id = request.match_info["id"]
        if self._mode != "changelog" or is_no_id(user_id):
            raise Refusal(404, "not_found", "INTEREST_WEB__WHAT_IF is not changelog, or nobody can have this id")
        try:
            generation = await self._reader.generation()
            return json_response(await self._document(await self._aside.ask(remembered, (user_id, generation))))
        except (RedisError, TimeoutError, OSError):
            raise Refusal(503, "redis_away", "Redis does not answer", {hdrs.RETRY_AFTER: "5"}) from None

    async def _document(self, past: Past) -> dict[str, Any]:
        """Of items that nobody knows by name only the number is told."""
        known = {one: item for one, (item, _) in past.titles.items()}
        known |= await self._library.ids_of(one for one in past.clicked if one not in known)
        told = await self._library.titles(known.values())
        titles = {**dict(past.titles.values()), **{item: title for item, title in told.items() if title}}
        clicked = [named(known[one], titles) for one in past.clicked if one in known]
        return {
            "version": past.version,
            "clicked": clicked,
            "unnamed": len(past.clicked) - len(clicked),
            "windows": past.windows,
        }
