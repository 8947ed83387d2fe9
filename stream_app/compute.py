"""Where numeric work runs: small work inline, large work in a thread of its own, so that the event loop never waits."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from stream_app.contracts.errors import StopWorker

P = ParamSpec("P")
T = TypeVar("T")


class Bench:
    """One worker thread; what is handed to it runs in order.

    `stall_s`: longest that anything may take. The event loop goes on turning while the thread hangs, so nobody else
    would notice.
    """

    def __init__(self, name: str, stall_s: float) -> None:
        self._name, self._stall_s = name, stall_s
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, inline: bool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work(*args, **kwargs)`; `inline` runs it in the caller, where a hand-over would cost more.

        Raises StopWorker if the thread does not come back.
        """
        if inline:
            return work(*args, **kwargs)
        try:
            async with asyncio.timeout(self._stall_s):
                return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*args, **kwargs))
        except TimeoutError as error:
            what = getattr(work, "__qualname__", repr(work))
            raise StopWorker(
                f"the {self._name} thread has not come back from {what} for {self._stall_s:g} s. Nothing is lost: the"
                " worker resumes when it is started again."
            ) from error
