"""How often the same is said: the first times of a minute as they come, then the number of the others."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

WINDOW_S = 60.0
SHOWN = 5
"""Of a window; the others are counted."""
MOST_KEYS = 1_000
"""What is said in ever new words can't fill the memory: of the oldest, what was counted is told."""

T = TypeVar("T")


@dataclass(slots=True)
class _Window(Generic[T]):
    began_s: float
    said: int = 0
    last: T | None = None

    @property
    def held_back(self) -> int:
        return max(0, self.said - SHOWN)


class Repeats(Generic[T]):
    """Decides for each saying whether it is shown. `tell(last, times, seconds)` hears how many were not, once a window
    is over: by the next saying of anything, or by `tell_due`. Not safe to be called from two threads at once."""

    def __init__(self, tell: Callable[[T, int, float], None]) -> None:
        self._tell = tell
        self._windows: OrderedDict[Hashable, _Window[T]] = OrderedDict()  # by their beginning

    def is_shown(self, key: Hashable, saying: T, now_s: float) -> bool:
        """Whether this one is; `now_s` is any monotonic clock."""
        self.tell_due(now_s)
        window = self._windows.setdefault(key, _Window(now_s))
        window.said += 1
        window.last = saying
        while len(self._windows) > MOST_KEYS:
            self._end(next(iter(self._windows)), now_s)
        return window.held_back == 0

    def tell_due(self, now_s: float) -> None:
        """End the windows that are over."""
        while self._windows:
            key, oldest = next(iter(self._windows.items()))
            if now_s - oldest.began_s < WINDOW_S:
                return
            self._end(key, now_s)

    def tell_all(self, now_s: float) -> None:
        """End all windows."""
        while self._windows:
            self._end(next(iter(self._windows)), now_s)

    @property
    def holds_back(self) -> bool:
        """Whether there is something to be told later."""
        return any(window.held_back for window in self._windows.values())

    def _end(self, key: Hashable, now_s: float) -> None:
        window = self._windows.pop(key)
        if window.held_back and window.last is not None:
            self._tell(window.last, window.held_back, now_s - window.began_s)


class Later:
    """Calls something once, a window from now, from a thread of its own, however often it is asked for meanwhile."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._timer: threading.Timer | None = None

    def ask(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(WINDOW_S, self._ring)
            self._timer.daemon = True
            self._timer.start()

    def _ring(self) -> None:
        self._timer = None
        self._call()
