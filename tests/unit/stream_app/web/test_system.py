"""Processes that go by one name, against real pages on addresses of loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import generate_latest

from stream_app.observability import WorkerMetrics
from stream_app.web.system import Service, System, addresses_of

ONE, TWO = "127.0.0.1", "127.0.0.2"


@asynccontextmanager
async def page(address: str, port: int, users: int, hosts: list[str] | None = None) -> AsyncIterator[int]:
    """A worker's `/metrics` at that address; its port. `hosts`: takes what it was called by."""
    metrics = WorkerMetrics()
    metrics.users.set(users)

    async def answer(request: web.Request) -> web.Response:
        if hosts is not None:
            hosts.append(request.host)
        return web.Response(body=generate_latest(metrics.registry))

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class Names:
    """What a name stands for, until it changes."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: Sequence[str] = addresses
        self.fails = False

    async def __call__(self, _host: str) -> Sequence[str]:
        if self.fails:
            raise OSError("nobody answers")
        return self.addresses


def workers_in(document: dict[str, Any]) -> dict[str, float]:
    """Users in memory of those that answer."""
    return {one["where"]: one["users"] for one in document["processes"] if not one["away"]}


def test_a_name_of_several_stands_for_all_of_them() -> None:
    async def main() -> None:
        names, hosts = Names(ONE, TWO), list[str]()
        async with page(ONE, 0, 3) as port, page(TWO, port, 4, hosts), aiohttp.ClientSession() as client:
            seen = System([f"http://workers:{port}/metrics"], resolve=names)
            await seen.look(client, 10.0)
            await seen.look(client, 20.0)
            assert workers_in(seen.document()) == {f"{ONE}:{port}": 3, f"{TWO}:{port}": 4}
            assert seen.document()["flow"]["users"] == 7
            assert hosts == [f"workers:{port}"] * 2

            names.fails = True  # what was known stays
            await seen.look(client, 30.0)
            assert len(workers_in(seen.document())) == 2

            names.fails, names.addresses = False, (TWO, "127.0.0.3")
            await seen.look(client, 40.0)
            assert workers_in(seen.document()) == {f"{TWO}:{port}": 4}
            assert [one["where"] for one in seen.document()["processes"]] == [f"{TWO}:{port}", f"127.0.0.3:{port}"]

    asyncio.run(main())


def test_a_name_of_one_goes_by_the_name() -> None:
    async def main() -> None:
        async with page(ONE, 0, 3) as port, aiohttp.ClientSession() as client:
            service = Service(f"http://localhost:{port}/metrics", Names(ONE))
            await service.look(client, 10.0)
            [scraper] = service.scrapers
            assert scraper.where == f"localhost:{port}"
            assert scraper.span.last.one("interest_users") == 3

    asyncio.run(main())


def test_one_process_with_addresses_of_both_kinds_is_one() -> None:
    async def main() -> None:
        assert await addresses_of("localhost") == [ONE]
        assert await addresses_of("::1") == ["::1"]
        with pytest.raises(socket.gaierror):
            await addresses_of("nobody.invalid")

    asyncio.run(main())
