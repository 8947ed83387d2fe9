"""Workers that come and go as they are told, or sleep: each time the partitions change hands."""

import time
from collections.abc import Sequence

from tests.failure.crew import Member
from tests.failure.stage import Stage, fault

LINGER_S = 3.0


@fault()
def scale(stage: Stage) -> None:
    """From all workers to one, to all, to half of them, and back."""
    members = list(stage.members)
    for wanted in (1, len(members), max(1, len(members) // 2), len(members)):
        stage.say(f"scale to {wanted}")
        for member in members[wanted:]:
            _leave(stage, member)
        for member in members[:wanted]:
            if member.exit_code() is not None:
                member.start()
        _wait_ready(members[:wanted])
    _count_replays(stage, members)


@fault()
def freeze(stage: Stage) -> None:
    """SIGSTOP of one worker for longer than the group waits, then SIGCONT."""
    member = stage.pick()
    stage.say(f"freeze {member.name}")
    member.pause()
    time.sleep(2 * stage.settings.kafka.session_timeout_s)
    member.resume()
    stage.say(f"{member.name} wakes")
    _wait_ready([member])


@fault()
def three_rebalances(stage: Stage) -> None:
    """Three members leave and come back one after the other, the next one before the group has settled."""
    for number in range(3):
        member = stage.members[number % len(stage.members)]
        stage.say(f"{member.name} leaves and comes back")
        _leave(stage, member)
        member.start()
    _wait_ready(stage.members)
    _count_replays(stage, stage.members)


@fault()
def rebalance_during_flush(stage: Stage) -> None:
    """Each flush of one worker takes its time, and another leaves and comes back meanwhile."""
    _disturbed(stage, "Updater._snapshot")


@fault()
def rebalance_during_recovery(stage: Stage) -> None:
    """A worker has read its changelog and is slow to go on, and another leaves and comes back meanwhile."""
    _disturbed(stage, "SlabTable.on_recovery_completed")


def _disturbed(stage: Stage, step: str) -> None:
    slow, other = stage.dice.sample(list(stage.members), 2)
    _leave(stage, slow)
    slow.start(wounds=[{"linger": step, "seconds": LINGER_S}])
    time.sleep(LINGER_S)
    stage.say(f"{slow.name} lingers in {step}, {other.name} leaves and comes back")
    _leave(stage, other)
    other.start()
    _wait_ready(stage.members)
    _leave(stage, slow)
    slow.start()
    _wait_ready(stage.members)
    _count_replays(stage, stage.members)


def _leave(stage: Stage, member: Member) -> None:
    _count_replays(stage, [member])
    stage.terminate(member)


def _wait_ready(members: Sequence[Member]) -> None:
    for member in members:
        member.wait_ready()


def _count_replays(stage: Stage, members: Sequence[Member]) -> None:
    """Events that these workers were given again, as far as they are told from new ones."""
    for member in members:
        scrape = member.scrape() if member.exit_code() is None else None
        replays = int(scrape.total("interest_events_total", outcome="replayed")) if scrape else 0
        if replays:
            stage.struck[f"replays at {member.name}"] = replays
