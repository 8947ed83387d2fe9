"""A small HTTP server in a thread of its own that no client can exhaust.

A client has `CLIENT_TIMEOUT_S` to send a request whose head has at most `HEAD_BYTES`, and as long to take its answer;
bodies are not read. Where `MAX_CLIENTS` are connected, the one that came first is hung up on for the next. So threads,
descriptors and memory are bounded, and whoever asks at once is answered, however many others idle.
"""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from io import BytesIO
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client.exposition import ThreadingWSGIServer

CLIENT_TIMEOUT_S = 5.0
HEAD_BYTES = 16_384
MAX_CLIENTS = 32

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_CHUNK_BYTES = 4_096

Page = Callable[[dict[str, Any], Any], Iterable[bytes]]
"""A WSGI application."""


def serve(page: Page, host: str, port: int) -> int:
    """Start the thread that answers with `page`; returns the port, a free one for 0. Raises OSError for a taken one."""
    server = make_server(host, port, page, _server_for(host), handler_class=_Handler)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return int(server.server_port)


def _server_for(host: str) -> type["_Server"]:
    class Server(_Server):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server


class _Server(ThreadingWSGIServer):
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self._clients: dict[socket.socket, None] = {}  # the first came first
        self._changing, self._places = threading.Lock(), threading.Semaphore(MAX_CLIENTS)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Called by the thread that accepts. The place of who is hung up on is free when its thread is done with it."""
        if not self._places.acquire(blocking=False):
            self._hang_up_on_the_first()
            self._places.acquire()
        with self._changing:
            self._clients[request] = None
        super().process_request(request, client_address)

    def _hang_up_on_the_first(self) -> None:
        with self._changing:
            first = next(iter(self._clients), None)
            if first is not None:
                del self._clients[first]
                with suppress(OSError):
                    first.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it

    def close_request(self, request: Any) -> None:
        with self._changing:  # or another connection of the same number would be hung up on
            self._clients.pop(request, None)
            super().close_request(request)
        self._places.release()


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_TIMEOUT_S

    def handle(self) -> None:
        """A client that is slow, says too much or hangs up ends its thread and nothing else."""
        with suppress(TimeoutError, ConnectionError):
            head = self._head()
            self.connection.settimeout(self.timeout)
            if head is None:
                self.requestline = self.request_version = self.command = ""
                self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return
            self.rfile.close()
            self.rfile = BytesIO(head)
            super().handle()

    def _head(self) -> bytes | None:
        """All up to the blank line, or what a client sent before it stopped sending; None where it is too much.

        Raises TimeoutError for one that takes too long.
        """
        ends_s, head, searched = time.monotonic() + self.timeout, bytearray(), 0
        while not _END_OF_HEAD.search(head, searched):
            if len(head) > HEAD_BYTES:
                return None
            searched = max(0, len(head) - 2)
            left_s = ends_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self.connection.settimeout(left_s)
            chunk = self.connection.recv(_CHUNK_BYTES)
            if not chunk:
                break
            head += chunk
        return bytes(head)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads a line for each scrape."""
