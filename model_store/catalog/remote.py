"""Services that speak OpenAI's HTTP protocol, asked within limits: of time, of size, of attempts.

What goes wrong comes back sorted by what the caller does (`errors.py`), and without the key: neither in a message, nor
in a representation, nor in a cause that a traceback would print.
"""

import asyncio
import email.utils
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from tenacity.stop import stop_base

from model_store.catalog.errors import MisconfiguredError, RefusedError, UnavailableError
from model_store.catalog.installed import missing

T = TypeVar("T")

EXTRA = "llm"

_LARGEST_ANSWER = 64 << 20  # bytes: a thousand vectors of 3,072 numbers in JSON
_NO_KEY = "none"  # the client insists on one, and servers without keys ignore it
_KEY_REFUSED = (401, 403, 404)
_BUSY = (408, 409, 425, 429)
_CLOSING_S = 5.0


class BusyError(UnavailableError):
    """Asks to wait `retry_after_s` first; 0 where it has not said."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Access:
    """Where a service is and what it is asked for.

    Attributes:
        base_url: up to and with `/v1`.
        timeout_s: of one request, from connecting to the last byte of the answer.
    """

    base_url: str
    model: str
    api_key: str = field(default="", repr=False)
    timeout_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Retries:
    """Asking again what is unavailable, after exponentially longer waits with jitter.

    A service that asks for a wait of at most `longest_wait_s` gets it; one that asks for more is not asked again now.
    """

    attempts: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    sleep: Callable[[float], None] = time.sleep

    def call(self, ask: Callable[[], T]) -> T:
        """Raises what the last attempt raised."""
        retrying = Retrying(
            retry=retry_if_exception_type(UnavailableError),
            stop=stop_after_attempt(self.attempts) | _WaitTooLong(self.longest_wait_s),
            wait=self._wait_s,
            sleep=self.sleep,
            reraise=True,
        )
        return retrying(ask)

    def _wait_s(self, state: RetryCallState) -> float:
        backoff = wait_random_exponential(multiplier=self.first_wait_s, max=self.longest_wait_s)
        return max(backoff(state), _asked_s(state))


class _WaitTooLong(stop_base):
    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s

    def __call__(self, retry_state: RetryCallState) -> bool:
        return _asked_s(retry_state) > self._longest_s


def _asked_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after_s if isinstance(error, BusyError) else 0.0


class Closing(ABC):
    """Something to be closed, by hand or by a `with`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Let go of what it holds."""


class Remote(Closing):
    """One service. Thread-safe; close it, or use it in a `with`.

    Requests run in an event loop of its own, since only a task can be ended at any point: a socket's timeout starts
    anew with every byte, and a server that sends one now and then would be waited for without an end.
    """

    def __init__(self, access: Access) -> None:
        """Does not connect. Raises MisconfiguredError without the extra `llm`, and for an URL that is none."""
        self.access = access
        self._client = _client(access)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="remote", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Requests that are under way fail as unavailable. May be called twice."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._closed(), self._loop).result(_CLOSING_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSING_S)
        self._loop.close()

    def ask(self, request: Callable[[Any], Any]) -> bytes:
        """Body of the answer to one request. Blocks for `timeout_s` at most.

        `request`: from an `openai.AsyncOpenAI` to the context of a streamed answer. Raises UnavailableError,
        RefusedError and MisconfiguredError.
        """
        if self._loop.is_closed():
            raise UnavailableError(f"{self.access.model}: closed")
        try:
            asked = asyncio.run_coroutine_threadsafe(self._bounded(request), self._loop)
            return asked.result(self.access.timeout_s + _CLOSING_S)  # a loop that was just closed answers nobody
        except CancelledError:
            raise UnavailableError(f"{self.access.model}: closed") from None
        except TimeoutError:
            raise UnavailableError(f"{self.access.model}: no answer within {self.access.timeout_s} s") from None
        except Exception as error:  # what a server makes a client raise is no short list, and all of it is sorted
            sorted_error = _sorted(error, self.access)
        raise sorted_error  # outside, so that the client's error, which may quote the key, is no part of it

    async def _bounded(self, request: Callable[[Any], Any]) -> bytes:
        async with asyncio.timeout(self.access.timeout_s), request(self._client) as answer:
            body = bytearray()
            async for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > _LARGEST_ANSWER:
                    raise RefusedError(f"{self.access.model}: an answer of more than {_LARGEST_ANSWER} bytes")
            return bytes(body)

    async def _closed(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.close()


def _client(access: Access) -> Any:
    try:
        from openai import AsyncOpenAI
    except ImportError:
        raise missing("openai", EXTRA) from None
    if not access.base_url.startswith(("http://", "https://")):
        raise MisconfiguredError(f"{access.base_url!r} is no URL of a service: it begins with https:// or http://")
    key = access.api_key or _NO_KEY
    client = AsyncOpenAI(base_url=access.base_url, api_key=key, timeout=access.timeout_s, max_retries=0)
    _ = client.chat.completions, client.embeddings  # imported on first use, which would be within a request's timeout
    return client


def _sorted(error: Exception, access: Access) -> Exception:
    """The error by what the caller does."""
    import openai

    if isinstance(error, UnavailableError | RefusedError | MisconfiguredError):
        return error
    if isinstance(error, openai.APIStatusError):
        return _of_status(error.status_code, dict(error.response.headers), _said(error, access))
    # Not reached, or cut off; also a body that is no HTTP, a redirect without an end, an encoding that is broken.
    return UnavailableError(f"{access.model}: {type(error).__name__}")


def _of_status(status: int, headers: dict[str, str], said: str) -> Exception:
    if status in _KEY_REFUSED:
        return MisconfiguredError(said)
    if status in _BUSY or status >= 500:
        return BusyError(said, retry_after_s(headers.get("retry-after", ""), time.time()))
    return RefusedError(said)


def retry_after_s(header: str, now_s: float) -> float:
    """Seconds that a `Retry-After` header asks to wait, as a number or a date; 0 for one that cannot be read."""
    try:
        asked = float(header)
    except ValueError:
        asked = _until(header, now_s)
    return max(0.0, asked) if math.isfinite(asked) else 0.0


def _until(date: str, now_s: float) -> float:
    try:
        return email.utils.parsedate_to_datetime(date).timestamp() - now_s
    except (ValueError, OverflowError, TypeError):
        return 0.0


def _said(error: Any, access: Access) -> str:
    """What a server said, without the key, which some quote."""
    said = " ".join(str(error.message).split())
    return (
        f"{access.model}: status {error.status_code}: "
        + (said.replace(access.api_key, "***") if access.api_key else said)[:300]
    )
