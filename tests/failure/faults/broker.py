"""The Kafka broker goes away, and comes back."""

import resource
import time

from tests.failure.cluster import nodes_of
from tests.failure.stage import Stage, fault

NOTICED_S = 30.0


@fault()
def broker_pause_1(stage: Stage) -> None:
    """The broker answers nothing for 1 s (SIGSTOP)."""
    _pause(stage, 1)


@fault()
def broker_pause_10(stage: Stage) -> None:
    """The broker answers nothing for 10 s: longer than the session timeout."""
    _pause(stage, 10)


@fault(exits=True)
def broker_pause_60(stage: Stage) -> None:
    """The broker answers nothing for 60 s: longer than a write may take."""
    _pause(stage, 60)


@fault()
def broker_kill(stage: Stage) -> None:
    """`kill -9` of the broker, which comes back on the same data."""
    stage.say("kill the broker")
    stage.kafka.kill()
    time.sleep(stage.dice.uniform(0.0, 1.0))
    stage.kafka.restart()


@fault()
def broker_disk_full(stage: Stage) -> None:
    """A broker can write nothing more, ends over it, and comes back when there is room."""
    node = stage.dice.choice(nodes_of(stage.kafka))
    stage.say("no room for the broker")
    # To the broker the file system refuses each write, which takes no rights here.
    _, most = resource.prlimit(node.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (1, most))
    until_s = time.monotonic() + NOTICED_S
    while node.running:
        if time.monotonic() > until_s:
            raise AssertionError(f"the broker goes on after {NOTICED_S:.0f} s without room: {node.log}")
        time.sleep(0.1)
    time.sleep(stage.dice.uniform(0.0, 3.0))
    node.restart()


def _pause(stage: Stage, seconds: int) -> None:
    stage.say(f"pause the broker for {seconds} s")
    stage.kafka.pause()
    try:
        time.sleep(seconds)
    finally:
        stage.kafka.resume()
