"""The command line: help, usage, exit codes, and that help is quick because nothing heavy is imported for it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from model_store.training.checkpoints import Stopped
from model_store.training.interactions import Interactions, ItemFacts, Log, Times, assemble
from stream_app import cli
from stream_app.commands.bench import benchmarks
from stream_app.commands.errors import CommandError, explain
from stream_app.commands.options import settings_of
from stream_app.commands.serving import require_generation, served_model
from stream_app.contracts.errors import StopWorker
from stream_app.settings import load
from tests.bench.model import catalogue_model, current_model

COMMANDS = [
    [],
    ["worker"],
    ["demo"],
    ["local"],
    ["settings"],
    ["topics"],
    ["topics", "create"],
    ["topics", "check"],
    ["replay"],
    ["rebuild-redis"],
    ["show"],
    ["explain"],
    ["web"],
    ["train"],
    ["evaluate"],
    ["models"],
    ["models", "list"],
    ["models", "show"],
    ["models", "promote"],
    ["models", "roll-back"],
    ["generations"],
    *(["generations", name] for name in ("list", "compare", "promote", "roll-back", "drop")),
    ["bench"],
    ["doctor"],
]
HEAVY = ("tensorflow", "faust", "kafka", "redis", "numba", "aiokafka", "pydantic", "numpy", "matplotlib")
# Nothing listens on the port that is reserved for nothing.
NOWHERE = "127.0.0.1:1"


def interest(*arguments: str, cwd: Path, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "stream_app", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=timeout,
        env={"PYTHONPATH": str(Path(cli.__file__).parents[1]), "PATH": "/usr/bin:/bin", "HOME": str(cwd)},
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: list[str]) -> None:
    result = CliRunner().invoke(cli.app, [*command, "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, stream_app.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["topics", "check", "--kafka", NOWHERE], 1, "no Kafka answers at 127.0.0.1:1"),
        (["show", "ann", "--redis", "redis://:hunter2@127.0.0.1:1/0"], 2, "INTEREST_REDIS__PASSWORD"),
        (["show", "ann", "--redis", "nonsense"], 1, "redis://"),
        (["explain", "ann", "--redis", f"redis://{NOWHERE}/0"], 1, "start it, or name yours with --redis"),
        (["explain", "ann", "--redis", "nonsense"], 2, "redis://"),
        (["explain", "ann", "--language", "fr"], 2, "fr"),
        (["web", "--host", "0.0.0.0"], 2, "INTEREST_WEB__TOKEN"),
        (["web", "--redis", "nonsense"], 2, "redis://"),
        (["worker", "--kafka", NOWHERE], 1, "no Kafka answers at 127.0.0.1:1"),
        (["models", "promote", "absent"], 1, "absent"),
        (["models", "show", "absent"], 1, "absent"),
        (["models", "show"], 1, "serves no model"),
        (["models", "roll-back"], 1, "no earlier version"),
        (["replay", "absent"], 1, "neither a folder"),
        (["replay", "."], 1, "no data set"),
        (["replay", "synthetic", "--events", "1", "--kafka", NOWHERE], 1, "no Kafka answers"),
        (["replay", "synthetic", "--rate", "1", "--speedup", "1"], 2, "not both"),
        (["replay", "shop", "--kafka", NOWHERE], 1, "no Kafka answers"),
        (["demo", "--scenario", "bank"], 2, "bank"),
        (["demo", "--data", "absent"], 2, "neither a folder nor a file"),
        (["demo", "--data", "."], 1, "no data set"),
        (["demo", "--scenario", "shop", "--data", "."], 2, "a scenario has its own data"),
        (["worker", "--log-level", "loud"], 2, "loud"),
        (["worker", "--config", "absent.toml"], 2, "absent.toml"),
        (["evaluate", "absent"], 1, "neither a folder"),
        (["evaluate", "--prequential", "--rivals"], 2, "train a model of their own"),
        (["bench", "absent"], 2, "absent"),
        (["nonsense"], 2, "nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_errors_say_what_to_do_without_a_traceback(tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    done = interest(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_doctor_names_everything_that_is_missing(tmp_path: Path) -> None:
    done = interest("doctor", "--json", "--kafka", NOWHERE, "--redis", f"redis://{NOWHERE}/0", cwd=tmp_path)
    assert done.returncode == 1
    answers = {check["name"]: check for check in json.loads(done.stdout)}
    assert [name for name, check in answers.items() if check["ok"] is False] == [
        "Kafka reachable",
        "Redis reachable",
        "model",
    ]
    assert all(check["mend"] for check in answers.values() if check["ok"] is False)
    assert answers["clock"]["ok"] is None


def test_bad_settings_are_a_usage_error_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('[kafka]\npartitions = -3\nbootstrp = "x"\n')
    done = interest("topics", "check", "--config", "bad.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "kafka.partitions" in done.stderr
    assert "kafka.bootstrp" in done.stderr


def test_empty_model_store_is_an_empty_list(tmp_path: Path) -> None:
    done = interest("models", "list", "--json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


def test_options_win_over_environment_and_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[kafka]\nbootstrap = "file:1"\ngroup = "file"\npartitions = 3\n')
    monkeypatch.setenv("INTEREST_CONFIG", "")
    monkeypatch.setenv("INTEREST_KAFKA__GROUP", "environment")
    monkeypatch.setenv("INTEREST_KAFKA__BOOTSTRAP", "environment:1")
    kafka = settings_of(kafka="option:1", redis="redis://h/0", config=file).kafka
    assert (kafka.bootstrap, kafka.group, kafka.partitions) == ("option:1", "environment", 3)


def test_worker_without_a_model_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="interest train"):
        served_model(load(models={"url": str(tmp_path / "models")}))


def test_a_model_of_another_generation_is_refused(tmp_path: Path) -> None:
    model = current_model(catalogue_model(tmp_path / "models", 20), tmp_path / "fetched")
    require_generation(load(), model)
    with pytest.raises(CommandError, match=r"of generation 1, and the states of interest-g2 .* --generation 1"):
        require_generation(load(kafka={"generation": 2}), model)


def test_worker_that_cannot_write_to_its_folder_says_which(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    store = catalogue_model(tmp_path / "models", 20)
    with pytest.raises(CommandError, match=rf"cannot be copied .* to {taken}/fetched/.* INTEREST_DATA_DIR"):
        served_model(load(models={"url": store}, data_dir=taken))


def test_worker_that_stops_itself_exits_with_70() -> None:
    assert explain(StopWorker("why")) == ("why", 70)
    assert explain(ZeroDivisionError()) is None


def test_pictures_without_matplotlib_name_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("stream_app.commands.evaluate.find_spec", lambda _name: None)
    result = CliRunner().invoke(cli.app, ["evaluate", "--plots", str(tmp_path)])
    assert isinstance(result.exception, CommandError)
    assert "interest-updater[plots]" in str(result.exception)


def test_a_set_whose_times_are_made_up_is_no_stream(tmp_path: Path) -> None:
    (tmp_path / "ml-1m.txt").write_text("1 1\n1 2\n2 2\n")
    done = interest("evaluate", ".", "--prequential", cwd=tmp_path)
    assert done.returncode == 1
    assert "the times of ml-1m-order are made up" in " ".join(done.stderr.split())


def test_benchmarks_are_the_modules_that_can_be_run(tmp_path: Path) -> None:
    (tmp_path / "speed.py").write_text('"""How fast.\n\nMore."""\nif __name__ == "__main__":\n    print(1)\n')
    (tmp_path / "helper.py").write_text('"""No benchmark."""\n')
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "__main__.py").write_text('"""Side by side."""\n')
    assert benchmarks(tmp_path) == {"speed": "How fast.", "many": "Side by side."}


def clicks_of_one(count: int, times: Times = "recorded") -> Interactions:
    unrated = np.full(count, np.nan, np.float32)
    log = Log(["ann"] * count, ["i1"] * count, np.arange(count), unrated, 1.0, times)
    return assemble("one", "none", log, ItemFacts())


def test_a_training_that_is_for_an_empty_store_only_leaves_another_alone(tmp_path: Path) -> None:
    store = str(tmp_path / "models")
    command = ["train", "no-such-data", "--unless-served", "--models", store]
    with pytest.raises(CommandError, match="neither a folder nor"):
        CliRunner().invoke(cli.app, command, catch_exceptions=False)
    catalogue_model(Path(store), items=3)
    result = CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "nothing is trained" in result.stderr


def test_a_stopped_training_says_how_to_go_on_and_ends_as_after_a_signal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stopped(*_: Any, **given: Any) -> str:
        asked.append(given)
        raise Stopped("stopped at step 2 of 8", signal.SIGTERM)

    asked: list[dict[str, Any]] = []
    monkeypatch.setattr("stream_app.commands.data.load_data", lambda *_: clicks_of_one(3))
    monkeypatch.setattr("model_store.training.publish.train_and_publish", stopped)
    monkeypatch.setenv("INTEREST_DATA_DIR", str(tmp_path))
    result = CliRunner().invoke(cli.app, ["train", "anything", "--seed", "3", "--models", str(tmp_path / "models")])
    assert result.exit_code == 128 + signal.SIGTERM
    assert "stopped at step 2 of 8" in result.stderr
    assert asked[0]["recipe"].seed == 3
    CliRunner().invoke(cli.app, ["train", "anything", "--context", "--models", str(tmp_path / "models")])
    kept = [one["recipe"].decays.context_half_life_ms for one in asked]
    assert kept == [0, 30 * 24 * 3_600_000]


@pytest.mark.parametrize("times", ["synthetic", "reconstructed"])
def test_made_up_times_tell_no_hours(monkeypatch: pytest.MonkeyPatch, times: Times) -> None:
    monkeypatch.setattr("stream_app.commands.data.load_data", lambda *_: clicks_of_one(3, times))
    result = CliRunner().invoke(cli.app, ["train", "anything", "--context"])
    assert isinstance(result.exception, CommandError)
    assert f"the times of one are {times}" in str(result.exception)


def test_a_set_of_which_nothing_is_left_to_learn_from_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.commands.data.load_data", lambda *_: clicks_of_one(2))
    result = CliRunner().invoke(cli.app, ["train", "anything"])
    assert isinstance(result.exception, CommandError)
    assert "more than 2 interactions" in str(result.exception)


def test_matrix_products_keep_to_the_threads_that_are_set() -> None:
    """OpenBLAS counts its threads when numpy is loaded, so nothing may load it before the variable is set."""
    code = """
import os, sys
import stream_app.cli
from stream_app import logs
from stream_app.commands import serving
from stream_app.settings import load

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            print("threads", os.environ.get("OPENBLAS_NUM_THREADS"))
            raise SystemExit

sys.meta_path.insert(0, Watch())
serving.require_topics = lambda settings: None
serving.ready_model(load(models={"threads": 3}))
"""
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["threads", "3"], done.stderr
