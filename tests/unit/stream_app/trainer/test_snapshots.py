"""Snapshots: whole or not there, and what comes back is what went in."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model_store.manifest import MANIFEST, ModelError
from model_store.state.advance import advance
from model_store.state.arena import Arena, mark_key
from model_store.state.batch import EventBatch
from model_store.state.layout import Kind
from model_store.state.memory import Decays
from model_store.state.writes import empty_table
from model_store.training.online.examples import Clicks, observe
from stream_app.trainer.snapshots import Progress, Snapshot, Snapshots

NOW_MS = 1_700_000_000_000


def _batch(kind: Kind, users: list[str], first: int) -> EventBatch:
    number = first + np.arange(len(users))
    return EventBatch(
        [user.encode() for user in users],
        np.full(len(users), kind, np.int8),
        number,
        NOW_MS + number,
        (number + 1).astype(np.uint64),
        np.where(kind == Kind.ERASURE, 0, number % 5 + 1).astype(np.uint64),
        np.zeros(len(users), np.float32),
        np.zeros(len(users), np.uint8),
        [""] * len(users),
    )


@pytest.fixture
def snapshots(tmp_path: Path) -> Iterator[Snapshots]:
    one = Snapshots(tmp_path / "s")
    yield one
    one.close()


@pytest.fixture
def snapshot() -> Snapshot:
    arena, users = Arena(), [f"ü{number % 7}" for number in range(40)]
    clicks = observe(arena, _batch(Kind.CLICK, users, 0), empty_table(), Decays())
    advance(arena, arena.rows_of(["ü3".encode()]), _batch(Kind.ERASURE, ["ü3"], 100), empty_table(), Decays())
    progress = Progress("v1", "online-1", {"clicks": {0: 40, 1: 7}})
    return Snapshot(
        progress, {"weights": np.arange(6.0).reshape(2, 3)}, clicks.take(np.arange(5)), {0: arena, 3: Arena()}
    )


def test_what_comes_back_is_what_went_in(snapshots: Snapshots, snapshot: Snapshot) -> None:
    assert snapshots.latest() is None
    snapshots.write(snapshot)
    found = snapshots.latest()
    assert found is not None
    assert found.progress == snapshot.progress
    np.testing.assert_array_equal(found.learner["weights"], snapshot.learner["weights"])
    for name in Clicks.__slots__:
        np.testing.assert_array_equal(getattr(found.held_out, name), getattr(snapshot.held_out, name))
    assert set(found.states) == {0, 3}
    before, after = snapshot.states[0], found.states[0]
    for user in (f"ü{number}".encode() for number in (0, 1, 2, 4, 5, 6)):
        assert after.records[after.row(user)].tobytes() == before.records[before.row(user)].tobytes()


def test_of_an_erased_user_only_the_mark_is_left(tmp_path: Path, snapshots: Snapshots, snapshot: Snapshot) -> None:
    erased = "ü3".encode()
    snapshots.write(snapshot)
    found = snapshots.latest()
    assert found is not None
    arena = found.states[0]
    assert arena.row(erased) is None
    assert arena.row(mark_key(erased)) is not None
    assert arena.knows(erased)
    assert not any(erased in path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file())


def test_an_incomplete_or_damaged_one_is_passed_over(tmp_path: Path, snapshots: Snapshots, snapshot: Snapshot) -> None:
    snapshots.write(snapshot)
    second = Snapshot(Progress("v1", "online-2", {}), {}, snapshot.held_out, {})
    snapshots.write(second)
    assert snapshots.latest().progress.promoted == "online-2"  # type: ignore[union-attr]
    path = tmp_path / "s" / "2" / "learner.npz"
    path.write_bytes(path.read_bytes()[:-1])
    assert snapshots.latest().progress.promoted == "online-1"  # type: ignore[union-attr]
    (tmp_path / "s" / "1" / MANIFEST).unlink()
    assert snapshots.latest() is None
    snapshots.write(second)  # goes on counting from what is there
    assert snapshots.latest().progress.promoted == "online-2"  # type: ignore[union-attr]


def test_the_last_two_are_kept(tmp_path: Path, snapshots: Snapshots, snapshot: Snapshot) -> None:
    for _ in range(4):
        snapshots.write(snapshot)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["3", "4", "lock"]
    snapshots.clear()
    assert snapshots.latest() is None


def test_one_trainer_at_a_time(tmp_path: Path, snapshots: Snapshots) -> None:
    with pytest.raises(ModelError, match="another trainer works in"):
        Snapshots(tmp_path / "s")
    snapshots.close()
    Snapshots(tmp_path / "s").close()
