"""Joins the parts of the pages and serves them until told to stop."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import structlog
import uvloop
from aiohttp import web

from stream_app.settings import Settings
from stream_app.web.app import app_of
from stream_app.web.aside import Aside
from stream_app.web.library import Library
from stream_app.web.live import LivePages
from stream_app.web.metrics import WebMetrics
from stream_app.web.past_page import PastPage
from stream_app.web.redis import reader_of, redis_client
from stream_app.web.streams import Streams
from stream_app.web.system import System
from stream_app.web.users import UsersOfLate
from stream_app.web.watch import Watch
from stream_app.web.what_if import WhatIf
from stream_app.words.explainer import explaining

log = structlog.get_logger(__name__)

STOP_S = 5.0
"""How long requests that are under way are waited for."""


def run_web(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError for a port that is taken, MisconfiguredError, `SettingsError`."""
    uvloop.run(_until_told(settings))


async def _until_told(settings: Settings) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(settings) as url:
        log.info("pages are served", url=url, wording=settings.words.model or "template")
        await stop.wait()
        log.info("stopping")


@asynccontextmanager
async def serving(settings: Settings, metrics: WebMetrics | None = None) -> AsyncIterator[str]:
    """The pages on their port; the URL that they are at. Raises what `run_web` raises."""
    metrics = metrics or WebMetrics()
    async with explaining(settings, metrics) as explainer, _living(settings, metrics) as (live, what_if, past, streams):
        app = app_of(settings, explainer, live, what_if, past, metrics)
        app.on_shutdown.append(_ending(streams))
        # aiohttp's own log would quote requests, and requests name users.
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=_silent(),
            keepalive_timeout=settings.web.idle_s,
            shutdown_timeout=STOP_S,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.web.host, settings.web.port).start()
            host, port = runner.addresses[0][:2]
            yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        finally:
            await runner.cleanup()


@asynccontextmanager
async def _living(
    settings: Settings, metrics: WebMetrics
) -> AsyncIterator[tuple[LivePages, WhatIf, PastPage, Streams]]:
    """What looks at Redis and at `/metrics` for open pages."""
    client = redis_client(settings)
    async with reader_of(settings) as reader:
        library = Library(settings, reader, client)
        watch = Watch(reader, library, settings.web.poll_ms / 1000)
        system = System(settings.web.metrics_urls)
        scans = not settings.redis.cluster and not settings.pseudonym_key.get_secret_value()
        streams = Streams(settings.web.streams, metrics)
        pages = LivePages(watch, system, UsersOfLate(reader, client, scans), library, streams, _about(settings))
        aside = Aside(settings)
        what_if, past = WhatIf(settings, reader, watch, library, aside), PastPage(settings, reader, library, aside)
        tasks = [asyncio.create_task(one.run()) for one in (watch, system, library)]
        for task in tasks:
            task.add_done_callback(_told)
        try:
            yield pages, what_if, past, streams
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(aside.close)
            await client.aclose()


def _about(settings: Settings) -> dict[str, Any]:
    return {"what_if": settings.web.what_if, "login": bool(settings.web.token.get_secret_value())}


def _told(task: "asyncio.Task[NoReturn]") -> None:
    """A task that has ended is a defect, and must not go unseen."""
    if not task.cancelled() and task.exception():
        log.error("open pages are not told of anything any more: a defect", exc_info=task.exception())


def _ending(streams: Streams) -> Callable[[web.Application], Awaitable[None]]:
    async def end(_app: web.Application) -> None:
        streams.end()

    return end


def _silent() -> logging.Logger:
    logger = logging.getLogger("stream_app.web.aiohttp")
    logger.disabled = True
    return logger
