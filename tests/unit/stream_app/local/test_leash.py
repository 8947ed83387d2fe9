"""Processes on a leash, tried on sleepers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stream_app.local import LeashedProcess

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
FAMILY = "sleep 60 & echo $!; wait"


def started(script: str, log: Path) -> LeashedProcess:
    """Running, and past its first line of output."""
    process = LeashedProcess(["/bin/sh", "-c", script], log)
    deadline = time.monotonic() + 10
    while not process.log_tail() and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def test_polite_stop_is_enough_for_most(tmp_path: Path) -> None:
    process = started("echo ready; exec sleep 60", tmp_path / "log")
    assert process.stop(grace_s=10) == -signal.SIGTERM
    assert not process.running


def test_stop_insists(tmp_path: Path) -> None:
    process = started(STUBBORN, tmp_path / "log")
    assert process.stop(grace_s=0.2) == -signal.SIGKILL


def test_paused_process_can_be_stopped(tmp_path: Path) -> None:
    process = started("echo ready; exec sleep 60", tmp_path / "log")
    process.pause()
    assert process.stop(grace_s=10) == -signal.SIGTERM


def test_kill_takes_the_children_too(tmp_path: Path) -> None:
    process = started(FAMILY, tmp_path / "log")
    child = psutil.Process(int(process.log_tail()))
    process.kill()
    child.wait(10)
    assert process.exit_code() == -signal.SIGKILL


def test_signals_after_the_end_do_nothing(tmp_path: Path) -> None:
    process = LeashedProcess(["/bin/true"], tmp_path / "log")
    assert process.wait(10) == 0
    process.pause()
    process.resume()
    assert process.stop(1) == 0


def test_log_grows_over_runs_and_tail_is_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for word in ("one", "two"):
        LeashedProcess(["/bin/echo", word], log).wait(10)
    process = LeashedProcess(["/bin/echo", "three"], log)
    process.wait(10)
    assert process.log_tail(2) == "two\nthree"


def test_program_that_is_not_there_leaves_no_watcher(tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(FileNotFoundError):
        LeashedProcess([str(tmp_path / "absent")], tmp_path / "log")
    assert {child.pid for child in psutil.Process().children()} <= before


def test_killed_owner_takes_the_process_along(tmp_path: Path) -> None:
    owner_code = (
        "import sys, time; from pathlib import Path; from stream_app.local import LeashedProcess;"
        "print(LeashedProcess(['/bin/sleep', '60'], Path(sys.argv[1])).pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", owner_code, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    sleeper = psutil.Process(int(owner.stdout.readline()))
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    sleeper.wait(10)
