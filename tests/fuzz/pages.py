"""Targets `http` and `http-head`: hostile requests to a worker's pages, over real connections and straight to the code
that reads them."""

import io
import re
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stderr, suppress
from random import Random
from unittest import mock
from urllib.parse import unquote_to_bytes

import psutil

from stream_app import http_server
from stream_app.observability import WorkerMetrics
from stream_app.observability import pages as served_pages
from stream_app.settings import Metrics
from tests.fuzz.mutate import garbage, mutated
from tests.fuzz.target import MAX_MESSAGE, Cases, Check, Target, each

_METHODS = ("GET", "GET", "GET", "POST", "HEAD", "OPTIONS", "\x00", "get", "GÉT")
_PATHS = (
    *("/metrics", "/healthz", "/readyz", "/", "//metrics", "/../etc/passwd", "/%00", "/%6detrics", "/metrics/", "*"),
    *("/metrics?name[]=interest_users", "/metrics?name[]=" + "&name[]=x" * 300, "/healthz?%", "/" + "a" * 9_000),
    *("http://x/metrics", "/metrics#x", "/\u00e9", "/%ff%fe", "/metrics%0d%0aX: y", "/favicon.ico"),
)
_VERSIONS = (
    " HTTP/1.1",
    " HTTP/1.0",
    " HTTP/1.1",
    "",
    " HTTP/9.9",
    " HTTP/1.\u00b2",
    " HTTP/1." + "1" * 20,
    " FTP/1.0",
)
_HEADERS = (
    *("Host: x", "Host:", "Connection: keep-alive", "Connection: close", "Expect: 100-continue", "Upgrade: h2c"),
    *("Accept: application/openmetrics-text; version=1.0.0; escaping=allow-utf-8", "Accept: text/plain; escaping=dots"),
    *("Accept: ,;=;version=", "Accept: application/openmetrics-text;version=x.y;q=nan", "Accept-Encoding: gzip, gzip"),
    *("Content-Length: -1", "Content-Length: " + "9" * 400, "Content-Type: text/html; charset=\u00e9; boundary=\x01"),
    *("Transfer-Encoding: chunked", "Authorization: Basic Og==", "X: " + "y" * 15_000, "\u00e9: \u00e9", " folded"),
    *("no colon", ": no name", "Script-Name: x", "Path-Info: /etc", "Content-Type: multipart/mixed; a=(((\\"),
)
_ENDS = ("\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n", "\n\n", "\x0b", "\x00")
_HUGE = [b"GET /" + b"a" * 70_000, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300, b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000]
_MOST_BYTES = 100_000  # what a pair of sockets holds while nobody reads
_PAGES = {b"/metrics": 200, b"/healthz": 200, b"/readyz": 503}
_PIECES = 4
_SECRET = "tell-nobody"
_ANSWER_S = 30.0
_SLOW = [[[b"GET /metr", b"i", b"c", b"s"], "idle"]] * (2 * http_server.MAX_CLIENTS)
_AT_ONCE = http_server.MAX_CLIENTS + 4  # a thread lives a little longer than its connection
_WHOLE = re.compile(rb"GET (/[!-~]*) HTTP/1\.[01]\r\n((?:[A-Za-z-]+: [!-~]{0,100}\r\n){0,20})\r\n", re.DOTALL)
_STATUS = re.compile(rb"HTTP/1\.0 ([0-9]{3}) ")
_STATUSES = {200, 400, 404, 414, 431, 503, 505}


def make_requests(dice: Random, count: int) -> Cases:
    """What one client sends."""
    return [_request(dice) for _ in range(count)]


def _request(dice: Random) -> bytes:
    chance = dice.random()
    if chance < 0.02:
        return garbage(dice, 200) if dice.random() < 0.8 else dice.choice(_HUGE)
    end = "\r\n" if chance < 0.6 else dice.choice(_ENDS)
    headers = [dice.choice(_HEADERS) for _ in range(int(dice.random() * dice.random() * 8))]
    first = f"{dice.choice(_METHODS)} {dice.choice(_PATHS)}{dice.choice(_VERSIONS)}"
    whole = end.join([first, *headers, "", ""]).encode("latin-1")
    if chance > 0.9:
        return (whole * (1 + int(dice.random() * 20)))[:_MOST_BYTES]
    if chance > 0.7:
        return mutated(dice, whole)
    return whole[: int(dice.random() * len(whole))] if chance > 0.6 else whole


@contextmanager
def heads() -> Iterator[Check]:
    """The handler of a connection, without the server and its threads."""
    server = http_server._server_for("127.0.0.1")(("127.0.0.1", 0), http_server._Handler)
    metrics = WorkerMetrics()
    server.set_app(served_pages(metrics.registry, metrics.health.live, metrics.health.ready))

    def check(request: bytes) -> bool:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(_ANSWER_S)
            ours.sendall(request)
            ours.shutdown(socket.SHUT_WR)
            server.finish_request(theirs, ("127.0.0.1", 1))
            theirs.shutdown(socket.SHUT_RDWR)
            check_silence()
            return _check_answer(request, _all_of(ours))

    with closing(server.socket), _listening() as check_silence:
        yield each(check)


def make_clients(dice: Random, count: int) -> Cases:
    """For each client: the pieces in which it sends its request, and what it does then."""
    return [[_pieces(dice, _request(dice)), dice.choice(("hang up", "reset", "wait", "idle"))] for _ in range(count)]


def _pieces(dice: Random, request: bytes) -> list[bytes]:
    cuts = sorted(int(dice.random() * len(request)) for _ in range(int(dice.random() * _PIECES)))
    return [request[start:end] for start, end in zip([0, *cuts], [*cuts, len(request)], strict=True)]


@contextmanager
def served() -> Iterator[Check]:
    """A worker's pages, and more clients than it serves at once that send a byte now and then."""
    port, process = WorkerMetrics().serve(Metrics(port=0)), psutil.Process()
    threads, descriptors = threading.active_count(), process.num_fds()

    def check(cases: Cases) -> int:
        with ExitStack() as stack:
            clients = [(stack.enter_context(_connected(port)), *case) for case in [*_SLOW, *cases]]
            for turn in range(_PIECES):
                for client, pieces, _ in clients:
                    _send(client, b"".join(pieces[turn : turn + 1]))
            _check_pages(port)
            assert threading.active_count() <= threads + _AT_ONCE
            assert process.num_fds() <= descriptors + len(clients) + _AT_ONCE
            rejected = sum([_end(*client) for client in clients][len(_SLOW) :])
            _check_pages(port)
        check_silence()
        return rejected

    with _listening() as check_silence:
        yield check


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_S)


def _send(client: socket.socket, piece: bytes) -> None:
    with suppress(ConnectionError):  # it was hung up on, for the next
        client.sendall(piece)


def _end(client: socket.socket, pieces: list[bytes], ending: str) -> bool:
    if ending == "wait":
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)
        return _check_answer(b"".join(pieces), _all_of(client), may_be_missing=True)
    if ending == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if ending != "idle":
        client.close()
    return True


def _all_of(client: socket.socket) -> bytes:
    answer = bytearray()
    with suppress(ConnectionError):
        while chunk := client.recv(65_536):
            answer += chunk
    return bytes(answer)


def _check_answer(request: bytes, answer: bytes, *, may_be_missing: bool = False) -> bool:
    """A request in order has the status of its page; no other is an error of ours; no answer tells a secret."""
    assert _SECRET.encode() not in answer, "a secret is in the answer"
    if may_be_missing and not answer:
        return True
    found = _STATUS.match(answer)
    if whole := _WHOLE.match(request):
        page = unquote_to_bytes(b"/" + whole[1].partition(b"?")[0].lstrip(b"/"))
        assert found, f"no answer to {request[:200]!r}"
        assert int(found[1]) == _PAGES.get(page, 404), f"{found[1]!r} to {request[:200]!r}"
    if found:
        assert int(found[1]) in _STATUSES, f"{found[1]!r} to {request[:200]!r}"
    return found is None or found[1] != b"200"


def _check_pages(port: int) -> None:
    for page, status in (*_PAGES.items(), (b"/nothing", 404)):
        assert _status(port, page.decode()) == status, page


def _status(port: int, page: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=_ANSWER_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@contextmanager
def _listening() -> Iterator[Callable[[], None]]:
    """With a secret about; gives a check that standard error, where the tracebacks of threads go, is empty."""
    said = io.StringIO()

    def check_silence() -> None:
        text = said.getvalue()
        assert not text, text[:MAX_MESSAGE]

    with mock.patch.dict("os.environ", INTEREST_REDIS__PASSWORD=_SECRET), redirect_stderr(said):
        yield check_silence


TARGETS = [
    Target("http", make_clients, served, batch=50),
    Target("http-head", make_requests, heads),
]
