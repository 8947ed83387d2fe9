"""Joins the parts of the pages and serves them until told to stop."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import uvloop
from aiohttp import web

from stream_app.settings import Settings
from stream_app.web.app import app_of
from stream_app.web.metrics import WebMetrics
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
    async with explaining(settings, metrics) as explainer:
        # aiohttp's own log would quote requests, and requests name users.
        runner = web.AppRunner(
            app_of(settings, explainer, metrics),
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


def _silent() -> logging.Logger:
    logger = logging.getLogger("stream_app.web.aiohttp")
    logger.disabled = True
    return logger
