"""The command line: help, usage, exit codes, and that help is quick because nothing heavy is imported for it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

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
    ["topics"],
    ["topics", "create"],
    ["topics", "check"],
    ["replay"],
    ["rebuild-redis"],
    ["show"],
    ["train"],
    ["models"],
    ["models", "list"],
    ["models", "promote"],
    ["models", "roll-back"],
    ["generations"],
    *(["generations", name] for name in ("list", "compare", "promote", "roll-back", "drop")),
    ["bench"],
    ["doctor"],
]
HEAVY = ("tensorflow", "faust", "kafka", "redis", "numba", "aiokafka", "pydantic", "numpy")
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
        (["worker", "--kafka", NOWHERE], 1, "no Kafka answers at 127.0.0.1:1"),
        (["models", "promote", "absent"], 1, "absent"),
        (["models", "roll-back"], 1, "no earlier version"),
        (["replay", "absent"], 1, "neither a folder"),
        (["replay", "."], 1, "no data set"),
        (["replay", "synthetic", "--events", "1", "--kafka", NOWHERE], 1, "no Kafka answers"),
        (["replay", "synthetic", "--rate", "1", "--speedup", "1"], 2, "not both"),
        (["worker", "--log-level", "loud"], 2, "loud"),
        (["worker", "--config", "absent.toml"], 2, "absent.toml"),
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


def test_benchmarks_are_the_modules_that_can_be_run(tmp_path: Path) -> None:
    (tmp_path / "speed.py").write_text('"""How fast.\n\nMore."""\nif __name__ == "__main__":\n    print(1)\n')
    (tmp_path / "helper.py").write_text('"""No benchmark."""\n')
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "__main__.py").write_text('"""Side by side."""\n')
    assert benchmarks(tmp_path) == {"speed": "How fast.", "many": "Side by side."}
