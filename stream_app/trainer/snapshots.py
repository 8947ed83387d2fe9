"""What the trainer goes on from after a crash: weights, counts, states and offsets, all of the same moment.

    <folder>/<number>/progress.json      offsets, the version that learning began with, what was published last
                      learner.npz        weights, optimizer, counts, replay buffer
                      held-out.npz       clicks that versions are judged on
                      states-<p>.npz     users' states of partition p
                      manifest.json      checksums; written last, and a snapshot without it does not exist

Whatever was read after a snapshot is read again, and learnt once: the weights that had learnt it are gone as well.
"""

import fcntl
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import structlog

from model_store import manifest
from model_store.manifest import ModelError
from model_store.state import codec
from model_store.state.arena import Arena
from model_store.training.online.examples import Clicks

log = structlog.get_logger(__name__)

KEPT = 2
_SEPARATOR = b"\xff"  # in no UTF-8


class Progress(msgspec.Struct, frozen=True):
    """Where the trainer stands.

    Attributes:
        base: the version that learning began with.
        promoted: the version that the trainer promoted last; the base, if none was.
        offsets: topic -> for each partition, the offset of the next record.
    """

    base: str
    promoted: str
    offsets: dict[str, dict[int, int]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of the trainer."""

    progress: Progress
    learner: Mapping[str, npt.NDArray[Any]]
    held_out: Clicks
    states: Mapping[int, Arena]


class Snapshots:
    """Snapshots of one trainer, in a folder of its own, which is locked: two trainers would overwrite each other."""

    def __init__(self, folder: Path) -> None:
        """Raises `ModelError` while another trainer uses the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise ModelError(
                f"another trainer works in {folder}: stop it, or give this one another INTEREST_DATA_DIR"
            ) from error

    def latest(self) -> Snapshot | None:
        """The last whole one; damaged ones are passed over, and said."""
        for number in reversed(self._numbers()):
            folder = self._folder / str(number)
            try:
                manifest.verify(folder)
                return _read(folder)
            except (ModelError, OSError, ValueError, KeyError, msgspec.MsgspecError) as error:
                log.warning("a snapshot cannot be used, an earlier one is taken", folder=str(folder), why=str(error))
        return None

    def write(self, snapshot: Snapshot) -> None:
        """Keep it; it appears whole or not at all. Older ones than the last `KEPT` go."""
        number = max(self._numbers(), default=0) + 1
        partial = self._folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        _write(snapshot, partial)
        manifest.write(partial, f"snapshot-{number}")
        partial.rename(self._folder / str(number))
        for old in self._numbers()[:-KEPT]:
            shutil.rmtree(self._folder / str(old))

    def clear(self) -> None:
        """Begin anew."""
        for number in self._numbers():
            shutil.rmtree(self._folder / str(number))

    def close(self) -> None:
        """Let another trainer have the folder."""
        self._lock.close()

    def _numbers(self) -> list[int]:
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdigit())


def _write(snapshot: Snapshot, folder: Path) -> None:
    (folder / "progress.json").write_bytes(msgspec.json.encode(snapshot.progress))
    _save(folder / "learner.npz", snapshot.learner)
    _save(folder / "held-out.npz", {name: getattr(snapshot.held_out, name) for name in Clicks.__slots__})
    for partition, arena in snapshot.states.items():
        _save(folder / f"states-{partition}.npz", _packed(arena))


def _read(folder: Path) -> Snapshot:
    progress = msgspec.json.decode((folder / "progress.json").read_bytes(), type=Progress)
    states = {int(path.stem.removeprefix("states-")): _unpacked(_load(path)) for path in folder.glob("states-*.npz")}
    return Snapshot(progress, _load(folder / "learner.npz"), Clicks(**_load(folder / "held-out.npz")), states)


def _packed(arena: Arena) -> dict[str, npt.NDArray[Any]]:
    """The states under the keys that they have in a changelog: ids of erased users are let go of."""
    arena.take_dirty()
    rows = np.array([row for row, key in enumerate(arena.keys) if key], np.int64)
    keys, _ = arena.log_keys(rows)
    values, ends = codec.encode(arena.records, rows)
    arena.conceal()
    return {
        "keys": np.frombuffer(_SEPARATOR.join(keys), np.uint8),
        "values": np.frombuffer(values, np.uint8),
        "ends": ends,
    }


def _unpacked(arrays: Mapping[str, npt.NDArray[Any]]) -> Arena:
    arena, values, ends = Arena(), arrays["values"].tobytes(), arrays["ends"].tolist()
    if len(ends) > 1:
        states = [values[start:stop] for start, stop in pairwise(ends)]
        arena.put(arrays["keys"].tobytes().split(_SEPARATOR), codec.decode(states))
    return arena


def _save(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's other options are not arrays


def _load(path: Path) -> dict[str, npt.NDArray[Any]]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
