"""The model or the code around it goes wrong in a worker at work."""

import tempfile
from pathlib import Path

from stream_app.faust_slab.fatal import EXIT_STOPPED
from tests.failure.stage import Stage, fault

END_S = 90.0
"""The watchdogs wait 30 s."""


@fault()
def tensorflow_raises(stage: Stage) -> None:
    """An exception out of TensorFlow."""
    _go_wrong(stage, "tensorflow-raises")


@fault()
def tensorflow_gives_nan(stage: Stage) -> None:
    """NaN out of TensorFlow."""
    _go_wrong(stage, "tensorflow-gives-nan")


@fault()
def tensorflow_stalls(stage: Stage) -> None:
    """TensorFlow does not come back."""
    _go_wrong(stage, "tensorflow-stalls")


@fault()
def advance_raises(stage: Stage) -> None:
    """An exception out of `advance`, after it has changed states."""
    _go_wrong(stage, "advance-raises")


@fault()
def loop_hangs(stage: Stage) -> None:
    """The event loop does not turn."""
    _go_wrong(stage, "loop-hangs")


def _go_wrong(stage: Stage, plant: str) -> None:
    """A worker is replaced by one with a fault in it, which must stop itself and say so, and is started again well."""
    member = stage.pick()
    with tempfile.TemporaryDirectory() as folder:
        now = Path(folder) / "now"
        member.kill()
        stage.count("kill")
        member.start(wounds=[{"plant": plant, "when": str(now)}])
        member.wait_ready()
        now.touch()
        stage.say(f"{plant} in {member.name}")
        code = member.wait_exit(END_S)
    if code != EXIT_STOPPED:
        raise AssertionError(f"{member.name} ended with {code} after {plant}: {member.log_text()[-1500:]}")
    member.start()
