"""Workers that start in a second: forked from a process that has imported TensorFlow and Faust and done nothing else.

    python -m tests.failure.nursery

Each child runs `interest worker` from its first line, in a session of its own, wounded as its environment says
(`wounds.py`). A kill of it is a kill of a real worker; only the three seconds of imports are shared. Orders come as
JSON lines on standard input, news of births and deaths go out on standard output. When the input ends, so do all.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from stream_app.local.leash import ProcessGroup

BIRTH_S = 60.0


class ForkedProcess(ProcessGroup):
    """One child of the nursery."""

    def __init__(self, nursery: "Nursery", pid: int, log: Path) -> None:
        self._nursery, self._pid, self.log = nursery, pid, log

    @property
    def pid(self) -> int:
        return self._pid

    def exit_code(self) -> int | None:
        return self._nursery.exits.get(self.pid)

    def wait(self, timeout_s: float) -> int:
        deadline = time.monotonic() + timeout_s
        while (code := self.exit_code()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(["worker", str(self.pid)], timeout_s)
            time.sleep(0.01)
        return code


class Nursery:
    """The process that has children, as a context manager. `exits`: pid -> exit status of those that have ended."""

    def __init__(self) -> None:
        self.exits: dict[int, int] = {}
        self._births: list[int] = []
        self._born = threading.Condition()

    def __enter__(self) -> Self:
        argv = [sys.executable, "-m", "tests.failure.nursery"]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
        )
        self._thread = threading.Thread(target=self._listen, name="nursery", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._thread.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def launch(self, log: Path, env: Mapping[str, str]) -> ForkedProcess:
        """A new worker. Raises TimeoutError if the nursery does not answer."""
        order = json.dumps({"log": str(log), "env": dict(env)})
        with self._born:
            assert self._process.stdin is not None
            self._process.stdin.write(order + "\n")
            if not self._born.wait_for(lambda: self._births, BIRTH_S):
                raise TimeoutError(f"the nursery bore no worker within {BIRTH_S:.0f} s")
            return ForkedProcess(self, self._births.pop(), log)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            news = json.loads(line)
            if "code" in news:
                self.exits[news["pid"]] = news["code"]
            else:
                with self._born:
                    self._births.append(news["pid"])
                    self._born.notify()


def main() -> None:
    """Serve orders until standard input ends."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the command sets it, before numpy is loaded
    _import_all()
    children: set[int] = set()
    unread = b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.02)
        if ready:
            received = os.read(0, 1 << 20)
            if not received:
                break
            *orders, unread = (unread + received).split(b"\n")
            for order in orders:
                children.add(_birth(json.loads(order)))
        _bury(children)
    for pid in children:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _import_all() -> None:
    """Importing starts no threads that a fork would miss; using TensorFlow would."""
    import faust  # noqa: F401
    import tensorflow  # noqa: F401

    import stream_app.app
    import stream_app.cli
    import stream_app.topics  # noqa: F401


def _birth(order: Mapping[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        _live(order)
    _tell(pid=pid)
    return pid


def _live(order: Mapping[str, Any]) -> NoReturn:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(order["env"])
    code = 1
    try:
        from stream_app.cli import main as interest
        from tests.failure.wounds import inflict

        inflict()
        sys.argv = ["interest", "worker"]
        interest()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _bury(children: set[int]) -> None:
    for pid in list(children):
        gone, status = os.waitpid(pid, os.WNOHANG)
        if gone:
            children.discard(pid)
            _tell(pid=pid, code=os.waitstatus_to_exitcode(status))


def _tell(**news: int) -> None:
    os.write(1, (json.dumps(news) + "\n").encode())


if __name__ == "__main__":
    main()
