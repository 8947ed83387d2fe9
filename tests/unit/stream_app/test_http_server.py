"""No client keeps the others from being answered."""

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from stream_app import http_server
from stream_app.http_server import HEAD_BYTES, MAX_CLIENTS, serve

GOOD = b"GET / HTTP/1.1\r\n\r\n"


def _page(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"here"]


@pytest.fixture
def port() -> int:
    return serve(_page, "127.0.0.1", 0)


@pytest.fixture
def clients(port: int) -> Iterator[list[socket.socket]]:
    """More than are served at once, none of which ends its request."""
    with ExitStack() as stack:
        many = [stack.enter_context(_connected(port)) for _ in range(3 * MAX_CLIENTS)]
        for client in many[: MAX_CLIENTS + 1]:
            client.sendall(b"GET / HT")
        yield many


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def _ask(port: int, request: bytes) -> bytes:
    with _connected(port) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65_536), b""))


def test_who_asks_at_once_is_answered_however_many_idle(port: int, clients: list[socket.socket]) -> None:
    for _ in range(3):
        assert _ask(port, GOOD).endswith(b"here")
    assert sum(thread.name.startswith("Thread-") for thread in threading.enumerate()) <= 2 * MAX_CLIENTS


def test_the_first_that_came_is_hung_up_on_for_the_next(port: int, clients: list[socket.socket]) -> None:
    assert clients[0].recv(1) == b""
    clients[-1].sendall(GOOD)
    assert clients[-1].recv(8) == b"HTTP/1.0"


def test_a_request_has_its_time_as_a_whole(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """However often something comes."""
    monkeypatch.setattr(http_server._Handler, "timeout", 0.3)
    with _connected(port) as client, pytest.raises(ConnectionError):  # noqa: PT012
        while True:
            client.sendall(b"G")
            time.sleep(0.05)


def test_a_half_request_is_hung_up_on(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(http_server._Handler, "timeout", 0.1)
    with _connected(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost")
        assert client.recv(1_000) == b""


@pytest.mark.parametrize("more", [b"a" * HEAD_BYTES, b"a: b\r\n" * (HEAD_BYTES // 6)])
def test_a_head_that_is_too_long_is_refused(port: int, more: bytes) -> None:
    with _connected(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + more + b"a" * 2_000)
        assert client.recv(1_000).startswith(b"HTTP/1.0 431 ")


def test_a_head_may_come_in_pieces_and_end_as_unix_lines_do(port: int) -> None:
    for request in (GOOD, b"GET / HTTP/1.1\nA: b\n\n"):
        with _connected(port) as client:
            for i in range(len(request)):
                client.sendall(request[i : i + 1])
            assert client.recv(8) == b"HTTP/1.0"
