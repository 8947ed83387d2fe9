"""What a training run goes on from after it was stopped: weights, optimizer and losses of one moment.

    <folder>/<fingerprint>/checkpoint.npz

The fingerprint is of data and recipe, so a run never goes on from another one's checkpoint. The file appears whole or
not at all, and each array in it has a checksum (zip's).
"""

import hashlib
import os
import shutil
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from model_store.state.content import ItemContent
from model_store.training.interactions import Interactions

EVERY_S = 60.0
ABANDONED_S = 30 * 24 * 3_600.0
_FORMAT = 1
_FILE = "checkpoint.npz"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_COLUMNS = ("user", "item", "ts_ms", "rating", "item_topics")

Arrays = Mapping[str, npt.NDArray[Any]]


class Stopped(Exception):  # noqa: N818  # nothing went wrong
    """A signal stopped training, which can be gone on with. The message says where it stands."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class Checkpoints:
    """The last checkpoint of one training run. Times are seconds of a clock that never goes back."""

    def __init__(self, folder: Path, say: Callable[[str], None], began_s: float) -> None:
        """`folder`: of this run alone. `say` takes what a person is to know."""
        self._folder, self._say = folder, say
        self._written_s = began_s
        self._signal = 0

    def latest(self, like: Arrays) -> Arrays | None:
        """What was kept, if it can be read and has the names and shapes of `like`."""
        path = self._folder / _FILE
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return _checked(dict(arrays), like)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            self._say(f"{path} cannot be used ({str(error)[:200]}): training begins again")
            return None

    def going_on(self, step: int, steps: int) -> None:
        """Say that a run goes on after `step`."""
        self._say(f"going on at step {step:,} of {steps:,}")

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Meanwhile SIGINT and SIGTERM stop the run after its present step; a second one does what it always does."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: Any) -> None:
        self._signal = number
        for each in _SIGNALS:
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)

    def after(self, step: int, steps: int, state: Callable[[], Arrays], now_s: float) -> None:
        """Keep the state after this step if it is time to. Raises `Stopped` once it is kept, if the run is to stop."""
        if self._signal or now_s - self._written_s >= EVERY_S:
            self.keep(state())
            self._written_s = now_s
        if self._signal:
            where = f"stopped at step {step:,} of {steps:,}"
            raise Stopped(f"{where}: the same command goes on from there", self._signal)

    def keep(self, arrays: Arrays) -> None:
        """Write what `latest` gives from now on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"{os.getpid()}.partial"
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's other options are not arrays
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._folder / _FILE)

    def remove(self) -> None:
        """Forget what was kept."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _checked(found: Arrays, like: Arrays) -> Arrays:
    shapes, wanted = ({name: array.shape for name, array in arrays.items()} for arrays in (found, like))
    if shapes != wanted:
        raise ValueError("it is of another network")
    return found


def remove_abandoned(folder: Path, now_s: float) -> None:
    """Forget the checkpoints in `folder` that nobody has gone on from for `ABANDONED_S`; `now_s` is a file's time."""
    for path in folder.glob(f"*/{_FILE}"):
        if now_s - path.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(path.parent, ignore_errors=True)


def fingerprint(data: Interactions, recipe: Any, content: ItemContent | None = None) -> str:
    """Hexadecimal digits that another data set, another recipe (a dataclass), or other content does not have."""
    digest = hashlib.sha256(msgspec.json.encode([_FORMAT, recipe, data.items, data.topics]))
    for name in _COLUMNS:
        column = getattr(data, name)
        digest.update(f"{name} {column.dtype} {column.shape}".encode())
        digest.update(np.ascontiguousarray(column).data)
    if content is not None:
        digest.update(content.space.encoder.encode())
        digest.update(np.ascontiguousarray(content.coordinates).data)
    return digest.hexdigest()[:32]


__all__ = ["Checkpoints", "Stopped", "fingerprint", "remove_abandoned"]
