"""Workers that come and go as they are told: each time the partitions change hands."""

import time

from tests.failure.stage import Stage, fault

LINGER_S = 3.0


@fault()
def scale(stage: Stage) -> None:
    """From all workers to one, to all, to half of them, and back."""
    members = list(stage.members)
    for wanted in (1, len(members), max(1, len(members) // 2), len(members)):
        stage.say(f"scale to {wanted}")
        for member in members[wanted:]:
            stage.leave(member)
        for member in members[:wanted]:
            if member.exit_code() is not None:
                member.start()
        stage.wait_ready(members[:wanted])
    stage.count_replays()


@fault()
def three_rebalances(stage: Stage) -> None:
    """Three members leave and come back one after the other, the next one before the group has settled."""
    for number in range(3):
        member = stage.members[number % len(stage.members)]
        stage.say(f"{member.name} leaves and comes back")
        stage.leave(member)
        member.start()
    stage.wait_ready()
    stage.count_replays()


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
    stage.leave(slow)
    slow.start(wounds=[{"linger": step, "seconds": LINGER_S}])
    time.sleep(LINGER_S)
    stage.say(f"{slow.name} lingers in {step}, {other.name} leaves and comes back")
    stage.leave(other)
    other.start()
    stage.wait_ready()
    stage.leave(slow)
    slow.start()
    stage.wait_ready()
    stage.count_replays()
