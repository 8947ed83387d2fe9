"""An address that stays while the server behind it changes: what a DNS name, a virtual IP or a proxy is to clients."""

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType

from stream_app.local.server import HOST
from tests.failure.background import Background

CHUNK_BYTES = 1 << 16
LOOK_S = 0.1


class Vip(Background):
    """Passes TCP connections on to a port of this machine, as a context manager.

    Attributes:
        target: the port behind; changing it leads new connections elsewhere, `cut` ends the old ones.
        delay_s: added to whatever goes either way.
    """

    def __init__(self, target: int) -> None:
        super().__init__()
        self.target, self.delay_s = target, 0.0
        self._listening = socket.create_server((HOST, 0))
        self._listening.settimeout(LOOK_S)
        self._open: set[socket.socket] = set()
        self._serving: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self._listening.getsockname()[1]}/0"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        self._listening.close()
        self.cut()
        for one in self._serving:
            one.join(10)

    def move(self, target: int) -> None:
        """Fail over: everybody is cut off, and finds the other server."""
        self.target = target
        self.cut()

    def cut(self) -> None:
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listening.accept()
            except TimeoutError:
                continue
            try:
                server = socket.create_connection((HOST, self.target), 5)
            except OSError:
                client.close()
                continue
            serving = threading.Thread(target=self._serve, args=(client, server), daemon=True)
            self._serving.append(serving)
            serving.start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            for one in (client, server):
                one.settimeout(None)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open |= {client, server}
            asking = threading.Thread(target=self._pass_on, args=(client, server), daemon=True)
            asking.start()
            self._pass_on(server, client)
            asking.join()
            self._open -= {client, server}

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                if self.delay_s:
                    time.sleep(self.delay_s)
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
