"""Processes that end with the one that started them, however that one ends.

A process started here runs in a session of its own, so that Ctrl-C in the terminal reaches only its owner, which then
ends it in order. Should the owner die without a word (`kill -9`), a watcher does it: a shell that holds the
reading end of a pipe and kills the process group when the owner's end closes. Linux's parent-death signal is not used,
since it fires when the starting *thread* ends, and macOS has none.
"""

import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

WATCHER = 'read -r group || exit 0; while read -r _; do :; done; kill -s KILL -- "-$group"'


class ProcessGroup(ABC):
    """A process that leads a group of its own, and whose output goes to the end of a log file.

    `pause`, `resume`, `kill` and `stop` act on the whole group and do nothing once it has ended.
    """

    log: Path

    @property
    @abstractmethod
    def pid(self) -> int: ...

    @abstractmethod
    def exit_code(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""

    @abstractmethod
    def wait(self, timeout_s: float) -> int:
        """Exit status. Raises `subprocess.TimeoutExpired`."""

    @property
    def running(self) -> bool:
        return self.exit_code() is None

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self.wait(10)

    def stop(self, grace_s: float) -> int:
        """Ask it to end, and insist after `grace_s`. Returns the exit status."""
        self.resume()
        self._signal(signal.SIGTERM)
        try:
            return self.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.wait(1)

    def log_tail(self, lines: int = 15) -> str:
        return tail(self.log, lines)

    def _signal(self, number: int) -> None:
        if self.running:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)


class LeashedProcess(ProcessGroup):
    """One child process and its watcher."""

    def __init__(self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        watcher = _spawn(["/bin/sh", "-c", WATCHER], None, None)
        try:
            self._process = _spawn(argv, log, env)
        except BaseException:
            _end_watcher(watcher)
            raise
        assert watcher.stdin is not None
        watcher.stdin.write(f"{self._process.pid}\n".encode())
        watcher.stdin.flush()
        self._watcher = watcher
        self.log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        code = self._process.poll()
        if code is not None:
            _end_watcher(self._watcher)
        return code

    def wait(self, timeout_s: float) -> int:
        code = self._process.wait(timeout_s)
        _end_watcher(self._watcher)
        return code


def tail(path: Path, lines: int) -> str:
    """Last lines of a text file; empty where there is none."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _spawn(argv: Sequence[str], log: Path | None, env: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    """A process in a session of its own; the watcher (`log` None) gets a pipe, the others nothing to read."""
    if log is None:
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    with log.open("ab") as out:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env, start_new_session=True
        )


def _end_watcher(watcher: subprocess.Popen[bytes]) -> None:
    """Before its pipe closes, so that it never signals a group whose number another process has taken since."""
    watcher.kill()
    watcher.wait()
    if watcher.stdin is not None:
        watcher.stdin.close()
