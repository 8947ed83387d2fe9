"""The pages as one application. Importing does nothing."""

import time
import traceback

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from stream_app.settings import Settings
from stream_app.web.answers import IS_STREAM, OUTCOME, Refusal, harden, json_response
from stream_app.web.door import Door
from stream_app.web.explanation import ExplanationPage
from stream_app.web.files import Files, Login
from stream_app.web.live import LivePages
from stream_app.web.metrics import WebMetrics
from stream_app.web.past_page import PastPage
from stream_app.web.what_if import WhatIf
from stream_app.words.explainer import Explainer

log = structlog.get_logger(__name__)


BODY_BYTES = 16 << 10


def app_of(
    settings: Settings, explainer: Explainer, live: LivePages, what_if: WhatIf, past: PastPage, metrics: WebMetrics
) -> web.Application:
    """Every page; what they need is given, and closed by who gave it."""
    door, files = Door(settings.web), Files()
    middlewares = [_counted(metrics), _refusals(files), _guarded(door)]
    app = web.Application(middlewares=middlewares, client_max_size=BODY_BYTES)
    app.on_response_prepare.append(harden)
    login = Login(door, files)
    for path, name, handler in (
        ("/", "page", files.index),
        ("/static/{name}", "static", files.static),
        ("/login", "login", login.show),
        ("/users/{id:[^/]+}/explanation", "explanation", ExplanationPage(explainer, metrics, settings.web.at_once).get),
        ("/api/about", "about", live.about),
        ("/api/users", "users", live.users),
        ("/api/users/{id:[^/]+}/events", "user_stream", live.user),
        ("/api/users/{id:[^/]+}/past", "past", past.get),
        ("/api/system/events", "system_stream", live.system),
        ("/api/map", "map", live.map),
        ("/api/items", "items", live.items),
        ("/healthz", "healthz", _healthz),
        ("/metrics", "metrics", _exposed(metrics)),
    ):
        app.router.add_get(path, handler, name=name, allow_head=False)
    app.router.add_post("/api/users/{id:[^/]+}/what-if", what_if.post, name="what_if")
    app.router.add_post("/login", login.enter)
    app.router.add_post("/logout", login.leave, name="logout")
    return app


async def _healthz(_request: web.Request) -> web.Response:
    """Who reads this knows that the loop turns; Redis may be away, and comes back."""
    return json_response({"ok": True})


def _exposed(metrics: WebMetrics) -> Handler:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    return page


def _refusals(files: Files) -> Middleware:
    """Every refusal as JSON, and nothing of the request in it or in the log: paths name users. A person without a token
    is shown where to type it."""

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await _answered(request, handler)
        if response.status == 401 and request.path == "/":
            return files.login(401)
        return response

    return refuse


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        request[OUTCOME] = refusal.outcome
        return refusal.response()
    except web.HTTPException as error:
        request[OUTCOME] = {404: "not_found", 413: "too_large"}.get(error.status, "bad_request")
        allowed = {name: value for name, value in error.headers.items() if name == "Allow"}
        return json_response({"error": request[OUTCOME], "says": error.reason}, error.status, allowed)
    except Exception as error:
        request[OUTCOME] = "failed"
        where = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        log.error("a page failed", error=type(error).__name__, where=where[-3:])
        return json_response({"error": "failed", "says": "this is a defect; the log says where"}, 500)


def _guarded(door: Door) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        door.check(request)
        return await handler(request)

    return guard


def _counted(metrics: WebMetrics) -> Middleware:
    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        page, started_s = request.match_info.route.name or "other", time.perf_counter()
        response = await handler(request)
        metrics.pages.labels(page, request.get(OUTCOME, "answered")).inc()
        if IS_STREAM not in request:  # that is as long as a person looks on
            metrics.seconds.labels(page).observe(time.perf_counter() - started_s)
        return response

    return count
