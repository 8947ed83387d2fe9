"""`GET /users/{id}/explanation`."""

from aiohttp import hdrs, web
from redis import RedisError

from stream_app.client import LayoutError
from stream_app.web.answers import Refusal, json_response
from stream_app.web.languages import preferred
from stream_app.web.live import is_no_id
from stream_app.web.metrics import WebMetrics
from stream_app.words.explainer import Explained, Explainer
from stream_app.words.explanation import TEMPLATE
from stream_app.words.phrases import Language


class ExplanationPage:
    """At most `at_once` are made at a time; who comes then is told to come again."""

    def __init__(self, explainer: Explainer, metrics: WebMetrics, at_once: int) -> None:
        self._explainer, self._metrics, self._free = explainer, metrics, at_once

    async def get(self, request: web.Request) -> web.Response:
        """Raises Refusal."""
        language = preferred(request.headers.get(hdrs.ACCEPT_LANGUAGE, ""))
        found = await self._explained(request.match_info["id"], language)
        explanation = found.explanation
        self._metrics.made.labels("template" if explanation.made_by == TEMPLATE else "model").inc()
        headers: dict[str, str] = {hdrs.CONTENT_LANGUAGE: language, hdrs.VARY: hdrs.ACCEPT_LANGUAGE}
        return json_response(explanation.document(), headers=headers)

    async def _explained(self, user_id: str, language: Language) -> Explained:
        if self._free <= 0:
            raise Refusal(503, "busy", "too many explanations are asked for at once", {hdrs.RETRY_AFTER: "1"})
        self._free -= 1
        try:
            with self._metrics.at_once.track_inprogress():
                found = None if is_no_id(user_id) else await self._explainer.explain(user_id, language)
        except (RedisError, TimeoutError):
            raise Refusal(503, "redis_away", "Redis does not answer", {hdrs.RETRY_AFTER: "5"}) from None
        except LayoutError:  # its words name the key, and so the user
            raise Refusal(500, "unreadable", "Redis holds what no worker wrote: interest explain says where") from None
        finally:
            self._free += 1
        if found is None:
            raise Refusal(404, "unknown_user", "no event of this user was applied, or they were forgotten")
        return found
