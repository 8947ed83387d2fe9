"""Published to readable: probe events for users of their own, and a Redis client that sees them arrive.

The client is a service's: another connection than the worker's, told by Redis itself that a key has changed (client
tracking, RESP3), after which it reads the hash. So it costs nothing while it waits, and a probe's time ends when its
event time has been *read*. Probes go out on a fixed plan, whether earlier ones have arrived or not: a stall then
counts for every probe that it delays, not for one.
"""

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import hiredis
import numpy as np
import numpy.typing as npt
from redis.connection import parse_url

from tests.bench.load import Sender

PROBE_PREFIX = "probe-"
KEY_PREFIX = f"interest:{{{PROBE_PREFIX}"
# A user's next probe comes only after the last one has arrived or is lost, so a state is never ambiguous: at 50 probes
# a second each user's turn comes every 20 s.
PROBE_USERS = 1_000
LOST_S = 10.0


class TrackingClient:
    """One connection to Redis that is told of every change under a key prefix. Raises OSError when it breaks."""

    def __init__(self, url: str, key_prefix: str) -> None:
        where = parse_url(url)  # type: ignore[no-untyped-call]
        self._socket = socket.create_connection((where.get("host", "localhost"), where.get("port", 6379)), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader(notEnoughData=Ellipsis)
        self._changed: list[str] = []
        login = ("AUTH", where.get("username") or "default", where["password"]) if "password" in where else ()
        self._call("HELLO", "3", *login)
        self._call("SELECT", str(where.get("db", 0)))
        self._call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", key_prefix)

    def event_ts(self, key: str) -> int | None:
        """The `event_ts` that the hash at `key` holds now."""
        value = self._call("HGET", key, "event_ts")
        assert value is None or isinstance(value, bytes)
        return None if value is None else int(float(value))

    def changed(self, timeout_s: float) -> list[str]:
        """Keys that changed since the last call; waits for the first at most so long."""
        if not self._changed and select.select([self._socket], [], [], max(0.0, timeout_s))[0]:
            self._feed()
            while (message := self._reader.gets()) is not Ellipsis:
                self._push(message)
        keys, self._changed = self._changed, []
        return keys

    def close(self) -> None:
        self._socket.close()

    def _call(self, *words: str) -> object:
        self._socket.sendall(
            hiredis.pack_command(words)  # type: ignore[arg-type]  # any number of words, whatever its stub says
        )
        while True:
            message = self._reader.gets()
            if message is Ellipsis:
                self._feed()
            elif isinstance(message, hiredis.PushNotification):
                self._push(message)
            elif isinstance(message, hiredis.ReplyError):
                raise message
            else:
                return message

    def _feed(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("Redis closed the connection of the reader")
        self._reader.feed(data)

    def _push(self, message: list[object]) -> None:
        if message[0] == b"invalidate":
            keys = message[1]
            assert isinstance(keys, list), "the database was flushed during the measurement"
            self._changed += [key.decode() for key in keys]


@dataclass(slots=True)
class Probes:
    """Sends probes on their plan and takes their times. `sent_at` holds event time and clock of what is under way."""

    client: TrackingClient
    sender: Sender
    topic: str
    name: str
    sent: int = 0
    latencies_s: list[float] = field(default_factory=list)
    round_trips_s: list[float] = field(default_factory=list)
    lost: int = 0
    sent_at: dict[str, tuple[int, float]] = field(default_factory=dict)

    def run(self, rate: float, seconds: float, alive: Callable[[], object]) -> None:
        """Sends at `rate` for `seconds`, then waits for the stragglers; calls `alive` about once a second."""
        began = time.perf_counter()
        planned, checked = int(rate * seconds), began
        while self.sent < planned or self.sent_at:
            now = time.perf_counter()
            due = began + self.sent / rate if self.sent < planned else now + 0.1
            if now >= due:
                self._send(now)
            else:
                self._take(due - now)
            if now - checked > 1:
                checked = now
                alive()
                self._give_up(now)

    def once(self, timeout_s: float) -> float | None:
        """One probe; seconds, or None if it did not arrive in time."""
        self._send(time.perf_counter())
        deadline = time.perf_counter() + timeout_s
        while self.sent_at and time.perf_counter() < deadline:
            self._take(deadline - time.perf_counter())
        self.sent_at.clear()
        return self.latencies_s.pop() if self.latencies_s else None

    def seconds(self) -> npt.NDArray[np.float64]:
        return np.array(self.latencies_s)

    def _send(self, now: float) -> None:
        user = f"{PROBE_PREFIX}{self.sent % PROBE_USERS}"
        key, ts_ms = f"interest:{{{user}}}", time.time_ns() // 1_000_000
        if key in self.sent_at:
            raise RuntimeError(f"the last probe of {user} is still under way: probe more slowly")
        body = b'{"event_id":"%s-%d","user_id":"%s","item_id":"i%d","ts":%d}' % (
            self.name.encode(), self.sent, user.encode(), self.sent % 1000, ts_ms,
        )  # fmt: skip
        self.sent_at[key] = (ts_ms, now)
        self.sender.send(self.topic, user.encode(), body)
        self.sent += 1

    def _take(self, timeout_s: float) -> None:
        for key in self.client.changed(timeout_s):
            ts_ms, sent = self.sent_at.get(key, (None, 0.0))
            if ts_ms is None:
                continue
            asked = time.perf_counter()
            seen = self.client.event_ts(key)
            now = time.perf_counter()
            self.round_trips_s.append(now - asked)
            if seen is not None and seen >= ts_ms:
                self.latencies_s.append(now - sent)
                del self.sent_at[key]

    def _give_up(self, now: float) -> None:
        late = [key for key, (_, sent) in self.sent_at.items() if now - sent > LOST_S]
        for key in late:
            del self.sent_at[key]
        self.lost += len(late)
