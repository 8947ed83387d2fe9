"""What open pages cost a worker: blocks of seconds with and without them, in turn, while events flow.

    interest demo --rate 500 &
    python -m tests.bench.page http://127.0.0.1:METRICS/metrics http://127.0.0.1:9180

The worker's port stands on the system page. In turn, so that what else goes on on the machine meets both alike.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import quote
from urllib.request import urlopen

import aiohttp
import numpy as np
import typer

from stream_app.web.scrape import Look, Span, parsed
from tests.bench.report import console
from tests.pages import ask

SETTLE_S = 2.0


@dataclass
class Side:
    """Blocks of one kind."""

    spans: list[Span] = field(default_factory=list)

    def line(self) -> str:
        seen = [[one for one in column if one is not None] for column in zip(*map(_latency, self.spans), strict=True)]
        p50_ms, p99_ms = (1_000 * float(np.median(column)) for column in seen)
        rate, cpu = f"{self.events_per_second:,.0f} events/s", f"{self.cpu_us:.0f} µs of CPU an event"
        return f"{rate}, p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms, {cpu}"

    @property
    def events_per_second(self) -> float:
        return float(np.median([span.rate("interest_events_total") for span in self.spans]))

    @property
    def cpu_us(self) -> float:
        """Median over blocks of the worker's CPU time by event."""
        each = [span.rate("process_cpu_seconds_total") / span.rate("interest_events_total") for span in self.spans]
        return 1e6 * float(np.median(each))


def main(
    metrics: Annotated[str, typer.Argument(help="A worker's /metrics.")],
    page: Annotated[str, typer.Argument(help="Where the page is.")],
    streams: Annotated[int, typer.Option(help="Open pages.")] = 20,
    rounds: Annotated[int, typer.Option(help="Blocks of each kind.")] = 8,
    seconds: Annotated[float, typer.Option(help="Of a block.")] = 6.0,
) -> None:
    """Print both sides, and the ratio of the worker's CPU time by event."""
    without, with_pages = Side(), Side()
    for _ in range(rounds):
        without.spans.append(_block(metrics, seconds))
        with _open(page, streams):
            with_pages.spans.append(_block(metrics, seconds))
    console.print(f"without open pages: {without.line()}")
    console.print(f"with {streams} of them: {with_pages.line()}")
    console.print(f"CPU time by event, with to without: {with_pages.cpu_us / without.cpu_us:.3f}")


def _block(metrics: str, seconds: float) -> Span:
    time.sleep(SETTLE_S)
    first = _look(metrics)
    time.sleep(seconds)
    return Span(first, _look(metrics))


def _look(metrics: str) -> Look:
    with urlopen(metrics, timeout=10) as answer:
        return parsed(answer.read().decode(), time.monotonic())


def _latency(span: Span) -> list[float | None]:
    return span.quantiles("interest_event_to_redis_seconds", (0.5, 0.99))


@contextmanager
def _open(page: str, streams: int) -> Iterator[None]:
    """Half of them users', the rest the system's, each read as it comes."""
    _, found = ask(f"{page}/api/users")
    users = [quote(one["user"], safe="") for one in found["users"]]
    paths = [f"/api/users/{users[at % len(users)]}/events" if at % 2 else "/api/system/events" for at in range(streams)]
    loop = asyncio.new_event_loop()
    reading = loop.create_task(_read([page + path for path in paths]))
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait([reading])))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(reading.cancel)
        thread.join()
        loop.close()


async def _read(urls: list[str]) -> None:
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as client:
        await asyncio.gather(*(_drain(client, url) for url in urls))


async def _drain(client: aiohttp.ClientSession, url: str) -> None:
    async with client.get(url) as answer:
        async for _ in answer.content.iter_any():
            pass


if __name__ == "__main__":
    typer.run(main)
