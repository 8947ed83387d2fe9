"""The processes' `/metrics`, looked at while anybody has the system page open."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import aiohttp
from yarl import URL

from stream_app.web.listeners import Audience, Listener, Message
from stream_app.web.scrape import Look, Span, flow_figures, kind_of, merged, parsed, process_figures

EVERY_S = 1.0
WINDOW_S = 10.0
TIMEOUT_S = 2.0
_MOST_BYTES = 4 << 20
ALL = "system"


class Scraper:
    """One process' page."""

    def __init__(self, url: str) -> None:
        self._url, self._looks = url, deque[Look]()

    @property
    def where(self) -> str:
        """Host and port; what else stands in a URL may be a secret."""
        url = URL(self._url)
        return f"{url.host}:{url.port}"

    async def look(self, client: aiohttp.ClientSession, now_s: float) -> None:
        """Remembers an empty look where nobody answers, and begins anew then."""
        found = await self._asked(client, now_s)
        if not found:
            self._looks.clear()
        self._looks.append(found)
        while len(self._looks) > 2 and self._looks[1].at_s <= now_s - WINDOW_S:
            self._looks.popleft()

    @property
    def span(self) -> Span:
        """Of the last seconds. The first look after nobody answered has no span yet."""
        if not self._looks:
            return Span(Look(), Look())
        first = next((look for look in self._looks if look), self._looks[-1])
        return Span(first, self._looks[-1])

    async def _asked(self, client: aiohttp.ClientSession, now_s: float) -> Look:
        try:
            async with client.get(self._url, allow_redirects=False) as answer:
                body = await answer.content.read(_MOST_BYTES)
                return parsed(body.decode(), now_s) if answer.status == 200 else Look()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return Look()


class System:
    """Used by one event loop; `run` is its only task."""

    def __init__(self, urls: Sequence[str], clock: Callable[[], int] = time.time_ns) -> None:
        self._scrapers, self._clock = [Scraper(url) for url in urls], clock
        self.audience: Audience[str] = Audience()
        self._somebody = asyncio.Event()

    def listening(self) -> "_Listening":
        """A context manager that gives a Listener: `system`."""
        return _Listening(self)

    async def run(self) -> NoReturn:
        """Look again and again."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as client:
            while True:
                await self._somebody.wait()
                await asyncio.gather(*(one.look(client, time.monotonic()) for one in self._scrapers))
                self.audience.tell(ALL, Message("system", self.document()))
                if not len(self.audience):
                    self._somebody.clear()
                await asyncio.sleep(EVERY_S)

    def document(self) -> dict[str, Any]:
        """What is known now."""
        spans = [one.span for one in self._scrapers]
        workers = [span for span in spans if kind_of(span.last) == "worker"]
        return {
            "now": self._clock() // 1_000_000,
            "window_s": round(max((span.seconds for span in workers), default=0.0), 1),
            "processes": [process_figures(one.where, one.span) for one in self._scrapers],
            "flow": flow_figures(merged(workers)) if workers else None,
        }

    def _begin(self) -> None:
        self._somebody.set()


class _Listening:
    def __init__(self, system: System) -> None:
        self._system, self._open = system, system.audience.listening(ALL)

    def __enter__(self) -> Listener:
        self._system._begin()
        return self._open.__enter__()

    def __exit__(self, *_: object) -> None:
        self._open.__exit__(None, None, None)
