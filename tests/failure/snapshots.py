"""A Redis that cannot save its snapshots, and therefore takes no writes (MISCONF)."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psutil
import redis

from stream_app.local import LocalValkey

WAIT_S = 30.0
SLOW_US = 10_000_000
T = TypeVar("T")


@contextmanager
def failing(server: LocalValkey) -> Iterator[None]:
    """Its last snapshot failed, as on a full disk; at the end there is a good one."""
    with redis.Redis.from_url(server.url) as client:
        client.config_set("save", "86400 1")
        client.config_set("rdb-key-save-delay", SLOW_US)
        client.bgsave()
        for child in _once(lambda: psutil.Process(server.pid).children()):
            child.kill()
        _once(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        client.config_set("rdb-key-save-delay", 0)
        try:
            yield
        finally:
            client.bgsave()
            _once(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok")
            client.config_set("save", "")
            (server.folder / "dump.rdb").unlink(missing_ok=True)  # it comes back empty after a `kill -9`


def _once(look: Callable[[], T]) -> T:
    """What it sees as soon as that is something. Raises TimeoutError."""
    until_s = time.monotonic() + WAIT_S
    while not (seen := look()):
        if time.monotonic() > until_s:
            raise TimeoutError(f"not within {WAIT_S:.0f} s")
        time.sleep(0.02)
    return seen
