"""Commands take a scenario where they take a data set."""

import os
from pathlib import Path

import numpy as np
import pytest

from model_store.training.datasets import DataSetError
from stream_app.commands.data import SCENARIO_NAMES, load_data
from stream_app.commands.replay import open_source
from stream_app.scenarios.known import SCENARIOS


def test_commands_know_the_scenarios_that_there_are() -> None:
    assert set(SCENARIO_NAMES) == set(SCENARIOS)


def test_training_takes_the_early_part_and_a_replay_the_late_one(tmp_path: Path) -> None:
    early, source = load_data("news", None, tmp_path), open_source("news", None, "run", True, tmp_path)
    story = SCENARIOS["news"].story()
    assert np.array_equal(early.ts_ms, story.early().ts_ms)
    assert list(source.records()) == list(story.whole("run").records())
    assert early.ts_ms.max() < story.late_ms


def test_a_folder_of_that_name_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataSetError, match="no data set"):
        load_data("shop", None, Path(os.devnull))
