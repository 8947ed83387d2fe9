"""The processes' `/metrics`, looked at while anybody has the system page open."""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

import aiohttp
from aiohttp import hdrs
from yarl import URL

from stream_app.web.listeners import Audience, Listener, Message
from stream_app.web.scrape import Look, Span, flow_figures, kind_of, merged, parsed, process_figures

EVERY_S = 1.0
WINDOW_S = 10.0
TIMEOUT_S = 2.0
RESOLVE_EVERY_S = 5.0
_MOST_BYTES = 4 << 20
ALL = "system"

Resolve = Callable[[str], Awaitable[Sequence[str]]]


async def addresses_of(host: str) -> list[str]:
    """Distinct addresses of a host, in order; those of IPv4 where it has any, since a process may have one of each.
    Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    families = {family: sorted({str(where[0]) for of, *_, where in found if of == family}) for family, *_ in found}
    return families.get(socket.AF_INET) or families[socket.AF_INET6]


class Scraper:
    """One process' page. `address`: in place of the URL's host, which may stand for several processes."""

    def __init__(self, url: URL, address: str | None = None) -> None:
        self._url, self._looks = url.with_host(address) if address else url, deque[Look]()
        # The certificate, and who looks at the header, are of the name.
        self._named: dict[str, Any] = {"headers": {hdrs.HOST: url.authority}} if address else {}
        if address and url.scheme == "https":
            self._named["server_hostname"] = url.host

    @property
    def where(self) -> str:
        """Host and port; what else stands in a URL may be a secret."""
        return f"{self._url.host}:{self._url.port}"

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
            async with client.get(self._url, allow_redirects=False, **self._named) as answer:
                body = await answer.content.read(_MOST_BYTES)
                return parsed(body.decode(), now_s) if answer.status == 200 else Look()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return Look()


class Service:
    """The processes behind one URL, as many as its host has addresses; looked up again every few seconds, since workers
    come and go."""

    def __init__(self, url: str, resolve: Resolve) -> None:
        self._url, self._resolve = URL(url), resolve
        self._by_address: dict[str, Scraper] = {}
        self._due_s = 0.0
        self._named = Scraper(self._url)

    @property
    def scrapers(self) -> Sequence[Scraper]:
        """By address; one that goes by the name while that has a single one, or none that is known."""
        return [*self._by_address.values()] or [self._named]

    async def look(self, client: aiohttp.ClientSession, now_s: float) -> None:
        if now_s >= self._due_s:
            self._due_s = now_s + RESOLVE_EVERY_S
            await self._look_up()
        await asyncio.gather(*(one.look(client, now_s) for one in self.scrapers))

    async def _look_up(self) -> None:
        """What was known stays where nobody answers."""
        try:
            found = await asyncio.wait_for(self._resolve(self._url.host or ""), TIMEOUT_S)
        except (OSError, TimeoutError):
            return
        several = found if len(found) > 1 else ()
        self._by_address = {
            address: self._by_address.get(address) or Scraper(self._url, address) for address in several
        }


class System:
    """Used by one event loop; `run` is its only task."""

    def __init__(
        self, urls: Sequence[str], clock: Callable[[], int] = time.time_ns, resolve: Resolve = addresses_of
    ) -> None:
        self._services, self._clock = [Service(url, resolve) for url in urls], clock
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
                await self.look(client, time.monotonic())
                self.audience.tell(ALL, Message("system", self.document()))
                if not len(self.audience):
                    self._somebody.clear()
                await asyncio.sleep(EVERY_S)

    async def look(self, client: aiohttp.ClientSession, now_s: float) -> None:
        """At all of them at once; `now_s` by a clock that does not jump."""
        await asyncio.gather(*(one.look(client, now_s) for one in self._services))

    def document(self) -> dict[str, Any]:
        """What is known now."""
        scrapers = [scraper for service in self._services for scraper in service.scrapers]
        workers = [span for span in (one.span for one in scrapers) if kind_of(span.last) == "worker"]
        return {
            "now": self._clock() // 1_000_000,
            "window_s": round(max((span.seconds for span in workers), default=0.0), 1),
            "processes": [process_figures(one.where, one.span) for one in scrapers],
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
