"""Whoever looks at a worker: `interest web` with open pages, Prometheus, and open dashboards; a process of its own.

    nice -n 19 python -m tests.bench.watched.onlookers --worker HOST:PORT --folder FOLDER --pages 20

At the lowest priority, which what it starts inherits: in earnest these run on other machines, and the cores that they
take are no cost of the worker's. It writes what it has seen into `FOLDER/seen.json`, every second.
"""

import asyncio
import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import aiohttp
import typer

from stream_app.local import LeashedProcess
from stream_app.local.server import free_port
from stream_app.settings import environment, load
from tests.failure.service import wait_for
from tests.operate.expressions import asked_by_dashboards
from tests.operate.prometheus import LocalPrometheus, watching

SEEN = "seen.json"
REFRESH_S, SPAN_S, STEP_S = 10.0, 3600, 15
TELL_S, START_S = 1.0, 60.0


class Onlookers:
    """Reads pages and asks dashboards' questions; counts what it gets."""

    def __init__(self, page: str, pages: int, prometheus: LocalPrometheus, seen: Path) -> None:
        self._page, self._pages, self._prometheus, self._seen = page, pages, prometheus, seen
        self._messages = self._answers = 0

    async def look(self) -> None:
        """Until this process is ended."""
        await asyncio.gather(self._read_pages(), self._ask_dashboards(), self._tell())

    async def _read_pages(self) -> None:
        paths = [f"/api/users/u{at}/events" if at % 2 else "/api/system/events" for at in range(self._pages)]
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as client:
            await asyncio.gather(*(self._read(client, self._page + path) for path in paths))

    async def _read(self, client: aiohttp.ClientSession, url: str) -> None:
        async with client.get(url) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                self._messages += line.startswith(b"data:")

    async def _ask_dashboards(self) -> None:
        """Each panel's expression as Grafana does it: a range, and a step."""
        expressions = [asked.filled_in for asked in asked_by_dashboards()]
        while True:
            for expr in expressions:
                await asyncio.to_thread(self._ask, expr)
            await asyncio.sleep(REFRESH_S)

    def _ask(self, expr: str) -> None:
        now = time.time()
        self._prometheus.ask("query_range", query=expr, start=f"{now - SPAN_S}", end=f"{now}", step=f"{STEP_S}")
        self._answers += 1

    async def _tell(self) -> None:
        while True:
            self._seen.write_text(json.dumps({"messages": self._messages, "answers": self._answers}))
            await asyncio.sleep(TELL_S)


def main(
    worker: Annotated[str, typer.Option(help="HOST:PORT of its /metrics.")],
    folder: Annotated[Path, typer.Option(help="Where logs and what was seen go.")],
    pages: Annotated[int, typer.Option(help="Open ones.")],
) -> None:
    """Look until told to end. The environment says where Redis and the rest are."""
    with ExitStack() as stack:
        port = free_port()
        settings = load(web={"port": port, "metrics_urls": (f"http://{worker}/metrics",)})
        command = [sys.executable, "-m", "stream_app", "web"]
        web = LeashedProcess(command, folder / "web.log", environment(settings, os.environ))
        stack.callback(web.stop, 10)
        targets = {"interest-worker": [worker], "interest-web": [f"127.0.0.1:{port}"]}
        prometheus = stack.enter_context(watching(folder / "prometheus", targets))
        wait_for("the pages to be scraped", lambda: prometheus.values('up{job="interest-web"} == 1') or None, START_S)
        asyncio.run(Onlookers(f"http://127.0.0.1:{port}", pages, prometheus, folder / SEEN).look())


if __name__ == "__main__":
    typer.run(main)
