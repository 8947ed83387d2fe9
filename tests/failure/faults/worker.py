"""Workers that end without warning, or are told to."""

import signal
import subprocess
import time

from tests.failure.stage import Stage, fault
from tests.failure.wounds import RARE

CROSSED_S = 10.0
LATE = 40
"""Crossings of a boundary after which the last fail-points strike."""


@fault()
def kill(stage: Stage) -> None:
    """`kill -9` of one worker at any moment."""
    member = stage.pick()
    stage.say(f"kill {member.name}, {'at work' if member.is_ready() else 'not ready'}")
    member.kill()
    stage.count("kill")
    time.sleep(stage.dice.uniform(0.0, 1.0))
    member.start()


@fault()
def kill_all(stage: Stage) -> None:
    """`kill -9` of all workers at once, as when the power fails."""
    stage.say("kill all")
    for member in stage.members:
        member.kill()
        stage.count("kill")
    for member in stage.members:
        member.start()


@fault()
def kill_at_step(stage: Stage) -> None:
    """`kill -9` of one worker at the boundary of a step, which it reaches after its start."""
    member, point = stage.pick(), next(stage.points)
    at = 1 if point.split()[1] in RARE else round(LATE ** stage.dice.random())
    member.kill()
    stage.count("kill")
    member.start(wounds=[{"kill": point, "at": at}])
    try:
        code = member.wait_exit(CROSSED_S)
        if code != -signal.SIGKILL:
            stage.ended(member, code)
        stage.say(f"kill {member.name}, {point}, crossing {at}")
        stage.count(point)
    except subprocess.TimeoutExpired:
        member.kill()
        stage.say(f"kill {member.name}, which did not cross {point} {at} times")
    stage.count("kill")
    member.start()


@fault()
def term(stage: Stage) -> None:
    """SIGTERM to one worker."""
    member = stage.pick()
    stage.say(f"term {member.name}")
    stage.terminate(member)
    time.sleep(stage.dice.uniform(0.0, 1.0))
    member.start()
