"""A process that reads states and computes, so that the pages neither wait nor hold TensorFlow."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from aiohttp import hdrs

from stream_app.settings import Settings
from stream_app.web.answers import Refusal
from stream_app.web.what_if_process import begin

AT_ONCE = 4
"""Who asks while so many wait is told to come again."""
ANSWER_S = 90.0
"""The first answer of all waits for TensorFlow and the model."""

Q = TypeVar("Q")
A = TypeVar("A")


class Aside:
    """Used by one event loop; close it. The process begins with the first question, and answers one after the other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: ProcessPoolExecutor | None = None
        self._free = AT_ONCE

    def close(self) -> None:
        """What is computed is not waited for."""
        if self._pool:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
            self._pool.shutdown(wait=True, cancel_futures=True)

    async def ask(self, answered: Callable[[Q], A | str], question: Q) -> A:
        """`answered`, a function of `what_if_process`, there; a text says why there is no answer. Raises Refusal."""
        if self._free <= 0:
            raise Refusal(503, "busy", "too many ask at once", {hdrs.RETRY_AFTER: "2"})
        self._free -= 1
        try:
            answer = await self._answer(answered, question)
        finally:
            self._free += 1
        if isinstance(answer, str):
            raise Refusal(503, "what_if_away", answer)
        return answer

    async def _answer(self, answered: Callable[[Q], A | str], question: Q) -> A | str:
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.run_in_executor(self._process(), answered, question), ANSWER_S)
        except TimeoutError:
            return f"there was no answer within {ANSWER_S:.0f} s"
        except BrokenProcessPool:
            self._pool = None
            return "the process that computes has ended; ask again"

    def _process(self) -> ProcessPoolExecutor:
        if self._pool is None:
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, begin, (self._settings,))
        return self._pool
