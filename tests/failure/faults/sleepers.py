"""Workers that are stopped for longer than the group waits (SIGSTOP), and then go on from where they were.

A worker may be held before a step before it sleeps, so that the step is the first thing it does when it wakes, or so
that it comes to it when it has heard that it is no member any more.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.failure.crew import READY_S, Member
from tests.failure.service import wait_for
from tests.failure.stage import Stage, fault
from tests.failure.wounds import AT_WORK, HELD, RECOVERY, RECOVERY_ENDS, REVOCATION


@fault()
def freeze(stage: Stage) -> None:
    """SIGSTOP of one worker for longer than the group waits, then SIGCONT."""
    member = stage.pick()
    stage.say(f"freeze {member.name}")
    member.pause()
    _outlast_session(stage)
    _wake(stage, member)
    member.wait_ready()


@fault()
def freeze_at_step(stage: Stage) -> None:
    """A worker sleeps right before a step of a cycle or a flush, which is what it does first when it wakes."""
    member, step = stage.pick(), stage.dice.choice(AT_WORK)
    with _holding(stage, member, step) as held:
        member.wait_ready()
        held.hold()
        held.freeze()
        _outlast_session(stage)
        held.let_go()
        _wake(stage, member)
        member.wait_ready()


@fault()
def freeze_during_revocation(stage: Stage) -> None:
    """A worker sleeps while its partitions are taken, and goes on with what it had to end when others have them."""
    slow, other = stage.dice.sample(list(stage.members), 2)
    with _holding(stage, slow, REVOCATION) as held:
        stage.wait_ready()
        held.hold()
        stage.leave(other)
        held.freeze()
        other.start()
        _outlast_session(stage)
        held.let_go()
        _wake(stage, slow)
        stage.wait_ready()


@fault()
def freeze_during_recovery(stage: Stage) -> None:
    """A worker sleeps while it recovers, and goes on with it when it has been told that the group has dropped it."""
    for step in (RECOVERY_ENDS, stage.dice.choice(RECOVERY)):
        slow, other = stage.dice.sample(list(stage.members), 2)
        with _holding(stage, slow, step, from_start=True) as held:
            held.freeze()
            _outlast_session(stage)
            other.pause()  # a member that the group waits for now: the slow one is a member of nothing meanwhile
            _wake(stage, slow)
            time.sleep(stage.settings.kafka.session_timeout_s / 2)
            held.let_go()
            time.sleep(stage.settings.kafka.session_timeout_s)
            other.resume()
            stage.wait_ready()


@dataclass(frozen=True)
class Held:
    """A worker that is held before a step while a file is there, and whose log is read from some place on."""

    stage: Stage
    member: Member
    step: str
    file: Path
    read_from: int

    def hold(self) -> None:
        self.file.touch()

    def let_go(self) -> None:
        self.file.unlink()

    def freeze(self) -> None:
        """Once it is held."""
        told = f"{HELD} {self.step}"
        wait_for(told, lambda: told in self.member.log_text()[self.read_from :] or None, READY_S)
        self.stage.say(f"freeze {self.member.name} before {self.step}")
        self.member.pause()


@contextmanager
def _holding(stage: Stage, member: Member, step: str, from_start: bool = False) -> Iterator[Held]:
    """A worker is started again as one that can be held, and after that as it was."""
    with tempfile.TemporaryDirectory() as folder:
        stage.leave(member)
        held = Held(stage, member, step, Path(folder) / "held", len(member.log_text()))
        if from_start:
            held.hold()
        member.start(wounds=[{"hold": step, "while": str(held.file)}])
        yield held
        stage.leave(member)
    member.start()
    stage.wait_ready()


def _outlast_session(stage: Stage) -> None:
    time.sleep(2 * stage.settings.kafka.session_timeout_s)


def _wake(stage: Stage, member: Member) -> None:
    member.resume()
    stage.say(f"{member.name} wakes")
