"""What a local Kafka and a local Redis have in common: a folder, a port, a start that waits, an end that is certain."""

import atexit
import fcntl
import os
import shutil
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

from stream_app.local.errors import LocalServerError
from stream_app.local.leash import LeashedProcess, tail

HOST = "127.0.0.1"
POLL_S = 0.05
# Another process may take a free port between our look and the server's bind.
START_ATTEMPTS = 3


class LocalServer(ABC):
    """A server process on the loopback interface, with its data in `folder`.

    Use it as a context manager or by `start` and `stop`. It ends with this process, however this process ends.
    `port` 0 takes a free one, which stays the same over `restart`. The folder's data go at `stop` unless `keep`.
    """

    name: str
    start_timeout_s: float
    stop_timeout_s: float

    def __init__(self, folder: Path | str, port: int = 0, *, keep: bool = False) -> None:
        self.folder = Path(folder).resolve()
        self.keep = keep
        self._wanted_port = port
        self.port = port
        self._process: LeashedProcess | None = None
        self._lock: IO[str] | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name.lower()}.log"

    @property
    def pid(self) -> int:
        """Of the running server. Raises `LocalServerError` when there is none."""
        return self._running().pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def start(self) -> Self:
        """Start it and wait until it answers. Raises `LocalServerError` with the last lines of its log."""
        if self.running:
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take_folder()
        atexit.register(self.stop)
        for attempt in range(1, START_ATTEMPTS + 1):
            self.port = self._wanted_port or free_port()
            try:
                self._launch()
                return self
            except LocalServerError as problem:
                lost_port = not self._wanted_port and "in use" in str(problem)
                if not lost_port or attempt == START_ATTEMPTS:
                    self.stop()
                    raise
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """End it. Harmless when it does not run."""
        atexit.unregister(self.stop)
        if self._process is not None:
            self._process.stop(self.stop_timeout_s)
            self._process = None
        if self._lock is not None:
            if not self.keep:
                shutil.rmtree(self.folder, ignore_errors=True)
            self._lock.close()
            self._lock = None

    def kill(self) -> None:
        """`kill -9`. The data stay, for `restart`."""
        self._running().kill()

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing is answered."""
        self._running().pause()

    def resume(self) -> None:
        self._running().resume()

    def restart(self) -> Self:
        """Start it again on the same port and data, after `kill` or while it runs."""
        if self._process is None:
            raise LocalServerError(f"{self.name} in {self.folder} was never started: call start() first")
        self._process.stop(self.stop_timeout_s)
        self._launch()
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def _prepare(self) -> None:
        """Make what the server needs in its folder."""

    @abstractmethod
    def _argv(self) -> Sequence[str]:
        """The command that runs it."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether a real request succeeds now and it is this server that answers, not another on its port. Does not
        raise."""

    def _launch(self) -> None:
        self._prepare()
        self._process = LeashedProcess(self._argv(), self.log)
        deadline = time.monotonic() + self.start_timeout_s
        while not (port_answers(self.port) and self._answers()):
            code = self._process.exit_code()
            if code is not None:
                raise self._failed(f"ended with status {code} while starting")
            if time.monotonic() > deadline:
                self._process.kill()
                raise self._failed(f"did not answer on {self.address} within {self.start_timeout_s:.0f} s")
            time.sleep(POLL_S)

    def _failed(self, what: str) -> LocalServerError:
        return LocalServerError(f"{self.name} {what}. The end of {self.log}:\n{tail(self.log, 15)}")

    def _running(self) -> LeashedProcess:
        if self._process is None or not self._process.running:
            raise LocalServerError(f"{self.name} in {self.folder} is not running")
        return self._process

    def _take_folder(self) -> None:
        """One server to a folder, across processes; the lock ends with this process."""
        self._lock = (self.folder / ".lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip()
            self._lock.close()
            self._lock = None
            raise LocalServerError(
                f"{self.folder} is in use by the {self.name} of process {holder}: stop that one or give another folder"
            ) from None
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()


def free_port() -> int:
    """A TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_answers(port: int, host: str = HOST, timeout_s: float = 1.0) -> bool:
    try:
        with socket.create_connection((host, port), timeout_s):
            return True
    except OSError:
        return False
