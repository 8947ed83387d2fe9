"""Target `http`: garbage, half and oversized requests to a worker's pages, which go on answering."""

import contextlib
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from stream_app.observability import WorkerMetrics
from stream_app.settings import Metrics
from tests.fuzz.mutate import garbage, mutated
from tests.fuzz.target import Cases, Check, Target

_GOOD = [
    f"{method} {path} HTTP/{version}\r\nHost: x\r\n{more}\r\n".encode()
    for method in ("GET", "POST", "HEAD", "\x00")
    for path in ("/metrics", "/healthz", "/readyz", "/../etc/passwd", "/%00", "/metrics?name[]=x", "//", "*")
    for version in ("1.1", "1.0", "9.9")
    for more in (
        "",
        "Accept: application/openmetrics-text\r\n",
        "Content-Length: -1\r\n",
        "Transfer-Encoding: chunked\r\n",
    )
]
_HUGE = [b"GET /" + b"a" * 70_000, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300, b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000]
_ANSWER_S = 30.0


def make(dice: Random, count: int) -> Cases:
    """What is sent, and whether the client then waits for an answer or hangs up."""
    return [[_request(dice), dice.random() < 0.3] for _ in range(count)]


def _request(dice: Random) -> bytes:
    chance, good = dice.random(), dice.choice(_GOOD)
    if chance < 0.2:
        return good
    if chance < 0.65:
        return mutated(dice, good)
    if chance < 0.8:
        return good[: int(dice.random() * len(good))]
    return garbage(dice, 200) if chance < 0.97 else dice.choice(_HUGE)


@contextmanager
def given() -> Iterator[Check]:
    """A worker's pages, and a dozen clients that never finish their request."""
    port = WorkerMetrics().serve(Metrics(port=0))
    with contextlib.ExitStack() as stack:
        for _ in range(12):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            slow.sendall(b"GET /metrics HT")

        def check(cases: Cases) -> int:
            for request, waits in cases:
                _send(port, request, waits)
            for path, status in (("metrics", {200}), ("healthz", {200, 503}), ("nothing", {404})):
                assert _status(port, path) in status, path
            return len(cases)

        yield check


def _send(port: int, request: bytes, waits: bool) -> None:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_S) as client,
        contextlib.suppress(ConnectionError),
    ):
        client.sendall(request)
        if waits:
            client.shutdown(socket.SHUT_WR)
            while client.recv(65_536):
                pass


def _status(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=_ANSWER_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


TARGETS = [Target("http", make, given, batch=50)]
