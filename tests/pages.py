"""The pages of `interest web`, served in this process by a thread of their own, and a browser that sees them."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from stream_app.settings import Settings
from stream_app.web.metrics import WebMetrics
from stream_app.web.start import serving

BEGIN_S, ANSWER_S = 60.0, 100.0
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)


class Pages:
    """A context manager; `url` is where they are."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.metrics, self.url = settings, WebMetrics(), ""
        self._began: Future[str] = Future()
        self._thread = threading.Thread(target=self._run, name="pages", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = self._began.result(BEGIN_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with serving(self.settings, self.metrics) as url:
                self._began.set_result(url)
                await self._stop.wait()
        except BaseException as error:
            if self._began.done():
                raise
            self._began.set_exception(error)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def ask(url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """Status and JSON; a body is sent by POST, as JSON."""
    data = None if body is None else json.dumps(body).encode()
    given = {"Content-Type": "application/json"} if data else {}
    try:
        with urlopen(Request(url, data, {**given, **(headers or {})}), timeout=ANSWER_S) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@contextmanager
def stream(url: str) -> Iterator["Events"]:
    """Server-sent events of that address."""
    with urlopen(url, timeout=ANSWER_S) as answer:
        yield Events(answer)


class Events:
    def __init__(self, answer: Any) -> None:
        self.headers, self._lines = answer.headers, answer

    def until(self, kind: str, so: Callable[[Any], bool] = lambda _: True) -> Any:
        """Data of the next event of that kind that is as wanted. Raises TimeoutError."""
        event, ends_s = "", time.monotonic() + ANSWER_S
        for line in self._lines:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                event = value
            elif name == "data" and event == kind:
                data = json.loads(value)
                if so(data):
                    return data
            if time.monotonic() > ends_s:
                break
        raise TimeoutError(f"no such {kind} came")


@contextmanager
def chromium() -> Iterator[Any]:
    """A real one. Until it is closed its driver's event loop runs in this thread, where nobody can start another."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no {CHROMIUM}: install Debian's package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()
