"""`POST /api/users/{id}/what-if`: what would be read out of a user's state, had some clicks come or not."""

from typing import Annotated, Any

import msgspec
from aiohttp import hdrs, web
from redis import RedisError

from stream_app.client import AsyncInterestReader, Interest, LayoutError
from stream_app.settings import Settings
from stream_app.web.answers import Refusal, json_response
from stream_app.web.aside import Aside
from stream_app.web.library import Library
from stream_app.web.live import is_no_id
from stream_app.web.portrait import cosine, lie_of, named
from stream_app.web.watch import Watch
from stream_app.web.what_if_process import Answer, Lie, answered, question_of

_TOPICS = 10

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """The body: ids of items to be clicked, oldest first, and of clicks to be taken away."""

    add: Annotated[list[Id], msgspec.Meta(max_length=10)] = []
    without: Annotated[list[Id], msgspec.Meta(max_length=50)] = []


_decoder = msgspec.json.Decoder(Asked)


class WhatIf:
    """Used by one event loop."""

    def __init__(
        self, settings: Settings, reader: AsyncInterestReader, watch: Watch, library: Library, aside: Aside
    ) -> None:
        self._settings, self._reader, self._watch, self._library = settings, reader, watch, library
        self._aside = aside

    async def post(self, request: web.Request) -> web.Response:
        """Raises Refusal."""
        user_id = request.match_info["id"]
        if self._settings.web.what_if == "off":
            raise Refusal(404, "not_found", "INTEREST_WEB__WHAT_IF is off")
        asked = await _asked(request)
        interest = None if is_no_id(user_id) else await self._interest(user_id)
        if interest is None:
            raise Refusal(404, "unknown_user", "no event of this user was applied, or they were forgotten")
        clicks = tuple(reversed(self._watch.clicked.of(interest.user_id)))
        question = question_of(interest, clicks, tuple(asked.add), tuple(asked.without))
        return json_response(await self._document(await self._aside.ask(answered, question)))

    async def _interest(self, user_id: str) -> Interest | None:
        try:
            return await self._reader.get(user_id)
        except (RedisError, TimeoutError, OSError):
            raise Refusal(503, "redis_away", "Redis does not answer", {hdrs.RETRY_AFTER: "5"}) from None
        except LayoutError:
            raise Refusal(500, "unreadable", "Redis holds what no worker wrote") from None

    async def _document(self, answer: Answer) -> dict[str, Any]:
        ids = [item for item in (*answer.clicks, *answer.before.offers, *answer.after.offers) if item]
        try:
            titles = {**answer.titles, **{k: v for k, v in (await self._library.titles(ids)).items() if v}}
        except (RedisError, TimeoutError, OSError):
            titles = answer.titles
        return {
            "basis": answer.basis,
            "version": answer.version,
            "model": answer.model,
            "clicks": [named(item, titles) if item else None for item in answer.clicks],
            "before": self._lie(answer.before, titles),
            "after": self._lie(answer.after, titles),
            "cosine": cosine(answer.before.vectors["vector"], answer.after.vectors["vector"]),
        }

    def _lie(self, lie: Lie, titles: dict[str, str]) -> dict[str, Any]:
        return {
            "topics": [[name, round(weight, 4)] for name, weight in lie.topics.items()],
            "offers": [named(item, titles) for item in lie.offers],
            **lie_of(lie.vectors, self._library.atlas),
        }


async def _asked(request: web.Request) -> Asked:
    # A form of another site cannot have this type.
    if request.content_type != "application/json":
        raise Refusal(415, "bad_request", "send application/json")
    try:
        return _decoder.decode(await request.read())
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Refusal(400, "bad_request", f"not a question: {str(error)[:200]}") from None
