"""A training that was stopped goes on as if it had not been; nothing else is ever gone on with."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from model_store.model import ModelParts
from model_store.training.checkpoints import ABANDONED_S, Checkpoints, Stopped, fingerprint, remove_abandoned
from model_store.training.harness import Report
from model_store.training.interactions import Interactions, ItemFacts, Log, assemble
from model_store.training.train import Progress, Recipe, train

USERS, ITEMS, LENGTH = 30, 20, 8
RECIPE = Recipe(epochs=3, tokens=64, rate=1e-2, dropout=0.3)


@pytest.fixture(scope="module")
def data() -> Interactions:
    rng = np.random.default_rng(0)
    count = USERS * LENGTH
    log = Log(
        [f"u{user}" for user in rng.integers(0, USERS, count)],
        [f"i{item}" for item in rng.integers(0, ITEMS, count)],
        1_700_000_000_000 + np.arange(count, dtype=np.int64) * 60_000,
        rng.integers(1, 6, count).astype(np.float32),
        5.0,
    )
    return assemble("random", "none", log, ItemFacts({}, {f"i{item}": [f"t{item % 3}"] for item in range(ITEMS)}))


@pytest.fixture(scope="module")
def uninterrupted(data: Interactions) -> ModelParts:
    return train(data, RECIPE)


class Run:
    """Trainings that share a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said, self.steps = folder, list[str](), list[Progress]()

    def train(self, data: Interactions, recipe: Recipe = RECIPE, report: Report | None = None) -> ModelParts:
        checkpoints = Checkpoints(self.folder / fingerprint(data, recipe), self.said.append, 0.0)
        return train(data, recipe, report=report or self.steps.append, checkpoints=checkpoints)

    def stopped_at(self, step: int, data: Interactions, by: Callable[[], None]) -> None:
        def report(now: Progress) -> None:
            if now.step == step:
                by()

        with pytest.raises((Stopped, CrashError)):
            self.train(data, report=report)


class CrashError(Exception):
    """Comes between any two steps."""


def crash() -> None:
    raise CrashError


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def assert_same(one: ModelParts, other: ModelParts) -> None:
    """But for last bits, which depend on the order of sums; Adam makes more of them where a gradient is next to 0."""
    assert apart(one.writes.vectors, other.writes.vectors) < 1e-5
    assert apart(one.index.bias, other.index.bias) < 1e-5
    pairs = zip(one.network.trainable_variables, other.network.trainable_variables, strict=True)
    for mine, theirs in pairs:
        assert apart(mine.numpy(), theirs.numpy()) < 1e-5
    assert one.made["loss_by_epoch"] == pytest.approx(other.made["loss_by_epoch"], abs=1e-5)


def apart(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Root mean square of the difference."""
    return float(np.sqrt(np.mean(np.square(one - other)))) if one.size else 0.0


def test_a_stopped_training_goes_on_as_if_it_had_not_been(
    run: Run, data: Interactions, uninterrupted: ModelParts
) -> None:
    stops = {1: signal.SIGINT, 6: signal.SIGTERM}  # in two epochs, one after the other
    before = [signal.getsignal(number) for number in stops.values()]
    for step, number in stops.items():
        run.stopped_at(step, data, partial(signal.raise_signal, number))
    assert [signal.getsignal(number) for number in stops.values()] == before
    assert_same(run.train(data), uninterrupted)
    steps = run.steps[-1].steps
    assert run.said == [f"going on at step {step} of {steps}" for step in stops]
    assert [now.step for now in run.steps] == list(range(7, steps + 1))
    assert run.steps[0].began == 6
    assert run.steps[-1].left == 0


def test_a_crash_costs_what_came_after_the_last_checkpoint(
    run: Run, data: Interactions, uninterrupted: ModelParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_store.training.checkpoints.EVERY_S", 0.0)
    run.stopped_at(7, data, crash)  # before the checkpoint of step 7 is written
    assert_same(run.train(data), uninterrupted)
    assert run.said == [f"going on at step 6 of {run.steps[-1].steps}"]


def test_a_training_that_ended_is_not_made_again_until_it_is_forgotten(run: Run, data: Interactions) -> None:
    first = run.train(data)
    done = len(run.steps)
    assert_same(run.train(data), first)
    assert len(run.steps) == done
    Checkpoints(run.folder / fingerprint(data, RECIPE), run.said.append, 0.0).remove()
    assert not any(run.folder.iterdir())


def test_it_is_kept_every_minute(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run", print, began_s=100.0)
    kept = []
    for step, now_s in enumerate((101.0, 159.0, 160.0, 161.0, 219.9, 220.1, 221.0), start=1):
        checkpoints.after(step, 7, lambda step=step: {"step": np.array(step)}, now_s)
        latest = checkpoints.latest({"step": np.array(0)})
        kept.append(int(latest["step"]) if latest else None)
    assert kept == [None, None, 3, 3, 3, 6, 6]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint.npz"]


def test_what_nobody_goes_on_from_is_forgotten_after_a_month(tmp_path: Path) -> None:
    for name, age_s in (("fresh", ABANDONED_S - 10), ("old", ABANDONED_S + 10)):
        Checkpoints(tmp_path / name, print, 0.0).keep({"weights": np.zeros(3)})
        os.utime(tmp_path / name / "checkpoint.npz", (0, 1e9 - age_s))
    remove_abandoned(tmp_path, 1e9)
    assert [path.name for path in tmp_path.iterdir()] == ["fresh"]
    remove_abandoned(tmp_path / "absent", 1e9)


def test_a_file_that_is_cut_off_or_changed_is_passed_over_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    checkpoints = Checkpoints(tmp_path, said.append, 0.0)
    weights = np.arange(1000.0)
    like = {"weights": np.zeros(1000)}
    assert checkpoints.latest(like) is None
    assert said == []
    checkpoints.keep({"weights": weights})
    file = tmp_path / "checkpoint.npz"
    whole = file.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (b"", whole[:1], whole[:middle], whole[:-1], flipped):
        file.write_bytes(damaged)
        assert checkpoints.latest(like) is None
        assert "training begins again" in said.pop()
    file.write_bytes(whole)
    for other in ({"weights": np.zeros(999)}, {"heights": np.zeros(1000)}, {}):
        assert checkpoints.latest(other) is None
        assert "another network" in said.pop()
    latest = checkpoints.latest(like)
    assert latest is not None
    np.testing.assert_array_equal(latest["weights"], weights)


def test_other_data_and_another_recipe_have_another_fingerprint(data: Interactions) -> None:
    rating = data.rating.copy()
    rating[5] = np.nan
    bare = replace(data, topics=(), item_topics=np.zeros((len(data.items), 0), np.float32))
    shorter, renamed = (
        data.take(np.arange(len(data) - 1)),
        replace(data, items=tuple(f"x{item}" for item in data.items)),
    )
    others = [fingerprint(one, RECIPE) for one in (data, bare, shorter, renamed, replace(data, rating=rating))]
    recipes = replace(RECIPE, seed=1), replace(RECIPE, epochs=4), replace(RECIPE, dropout=0.2)
    others += [fingerprint(data, recipe) for recipe in recipes]
    assert len(set(others)) == len(others)
    assert fingerprint(data, replace(RECIPE)) == others[0]
