"""Work that may take long, or for ever, beside the loop."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """One piece of work at a time, in a thread that nobody waits for when the process ends."""

    def __init__(self) -> None:
        self._future: Future[T] | None = None

    @property
    def is_busy(self) -> bool:
        """Until `result` has given what was found."""
        return self._future is not None

    def start(self, work: Callable[[], T]) -> None:
        """Only while it is not busy."""
        future = self._future = Future[T]()
        threading.Thread(target=_run, args=(future, work), name="aside", daemon=True).start()

    def result(self, wait_s: float) -> T | None:
        """What was found, waiting no longer than that; None if nothing was found yet. Raises what the work raised."""
        future = self._future
        if future is None or not self.wait(wait_s):
            return None
        self._future = None
        return future.result()

    def wait(self, wait_s: float) -> bool:
        """Whether there is nothing that is not done, waiting no longer than that."""
        return self._future is None or bool(wait([self._future], wait_s).done)


def _run(future: Future[T], work: Callable[[], T]) -> None:
    try:
        found = work()
    except BaseException as error:  # whoever asks for the result gets it
        future.set_exception(error)
    else:
        future.set_result(found)
