"""Server-sent events: a listener's messages on their way to a browser."""

import asyncio

import msgspec
from aiohttp import hdrs, web

from stream_app.web.answers import IS_STREAM, Refusal
from stream_app.web.listeners import Listener, Message
from stream_app.web.metrics import WebMetrics

BEAT_S = 10.0
"""A comment is sent when there has been nothing to say for so long; so it is noticed that a browser has gone."""
SLOW_S = 5.0
"""Who does not take a message in that time is hung up on; a browser comes again by itself."""
_BEAT = b": beat\n\n"


class Streams:
    """At most `most` at a time; who comes then is told to come again."""

    def __init__(self, most: int, metrics: WebMetrics) -> None:
        self._free, self._metrics = most, metrics
        self._ending = asyncio.Event()

    def end(self) -> None:
        """All of them, soon."""
        self._ending.set()

    async def serve(self, request: web.Request, listener: Listener) -> web.StreamResponse:
        """Returns when the browser has gone, or was too slow. Raises Refusal."""
        if self._free <= 0:
            raise Refusal(503, "busy", "too many pages are open at once", {hdrs.RETRY_AFTER: "5"})
        self._free -= 1
        request[IS_STREAM] = True
        try:
            with self._metrics.streams.track_inprogress():
                return await self._served(request, listener)
        finally:
            self._free += 1

    async def _served(self, request: web.Request, listener: Listener) -> web.StreamResponse:
        response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        try:
            while not self._ending.is_set():
                message = await self._next(listener)
                await asyncio.wait_for(response.write(_lines(message) if message else _BEAT), SLOW_S)
        except ConnectionError:
            pass
        except TimeoutError:
            self._metrics.dropped.inc()
            if request.transport:
                request.transport.abort()
        return response

    async def _next(self, listener: Listener) -> Message | None:
        taking, ending = asyncio.ensure_future(listener.take(BEAT_S)), asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait((taking, ending), return_when=asyncio.FIRST_COMPLETED)
            return taking.result() if taking.done() else None
        finally:
            taking.cancel()
            ending.cancel()


def _lines(message: Message) -> bytes:
    """JSON has no line breaks of its own."""
    return b"event: %b\ndata: %b\n\n" % (message.event.encode(), msgspec.json.encode(message.data))
