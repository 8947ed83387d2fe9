"""Streams to browsers that do not read, and listeners that are told more than they take."""

import asyncio
import socket

import pytest
from aiohttp import web

from stream_app.web import streams
from stream_app.web.listeners import Audience, Listener, Message
from stream_app.web.metrics import WebMetrics
from stream_app.web.streams import Streams


def test_who_does_not_read_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SLOW_S", 0.2)
    metrics = WebMetrics()

    async def main() -> bool:
        listener, one = Listener(), Streams(1, metrics)

        async def handler(request: web.Request) -> web.StreamResponse:
            return await one.serve(request, listener)

        app = web.Application()
        app.router.add_get("/", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        with socket.create_connection(runner.addresses[0][:2]) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(60):
                while not metrics.dropped._value.get():
                    listener.put(Message("interest", "x" * 1_000_000))
                    await asyncio.sleep(0.01)
        await runner.cleanup()
        return True

    assert asyncio.run(main())


def test_a_listener_takes_the_latest_message_alone() -> None:
    async def main() -> list[Message | None]:
        audience: Audience[str] = Audience()
        audience.tell("user", Message("interest", 0))  # nobody listens
        with audience.listening("user") as one:
            nothing = await one.take(0)
            for number in (1, 2, 3):
                audience.tell("user", Message("interest", number))
            with audience.listening("user") as late:
                return [nothing, await one.take(0), await one.take(0), await late.take(0)]

    latest = Message("interest", 3)
    assert asyncio.run(main()) == [None, latest, None, latest]


def test_whom_nobody_listens_to_is_forgotten() -> None:
    audience: Audience[str] = Audience()
    with audience.listening("a"), audience.listening("a"), audience.listening("b"):
        assert (audience.keys(), len(audience)) == (["a", "b"], 3)
    assert (audience.keys(), len(audience)) == ([], 0)
