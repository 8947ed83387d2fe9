"""Who is told of what changes: each listener has room for the latest message, and never more."""

import asyncio
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Message:
    """`event`: its kind; `data`: what JSON can say."""

    event: str
    data: Any


class Listener:
    """One stream's end. A message that was not taken before the next one came is never seen: only the latest counts."""

    def __init__(self) -> None:
        self._news, self._message = asyncio.Event(), Message("", None)

    def put(self, message: Message) -> None:
        """Never waits."""
        self._message = message
        self._news.set()

    async def take(self, patience_s: float) -> Message | None:
        """The latest message that was not taken yet; None if none comes for so long."""
        try:
            if not self._news.is_set():  # or no patience would be too little for what is there already
                await asyncio.wait_for(self._news.wait(), patience_s)
        except TimeoutError:
            return None
        self._news.clear()
        return self._message


@dataclass(slots=True)
class Audience(Generic[Key]):
    """Listeners by what they listen to, and the last message about each: who comes later begins with it."""

    _of: dict[Key, list[Listener]] = field(default_factory=dict)
    _last: dict[Key, Message] = field(default_factory=dict)

    def __contains__(self, key: Key) -> bool:
        return key in self._of

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def keys(self) -> list[Key]:
        """What anybody listens to."""
        return list(self._of)

    @contextmanager
    def listening(self, key: Key) -> Iterator[Listener]:
        listener = Listener()
        self._of.setdefault(key, []).append(listener)
        if key in self._last:
            listener.put(self._last[key])
        try:
            yield listener
        finally:
            self._of[key].remove(listener)
            if not self._of[key]:
                del self._of[key]
                self._last.pop(key, None)

    def tell(self, key: Key, message: Message) -> None:
        """Everybody who listens to that."""
        if key in self._of:
            self._last[key] = message
            for listener in self._of[key]:
                listener.put(message)

    def tell_all(self, message: Message) -> None:
        for key in self.keys():
            self.tell(key, message)
