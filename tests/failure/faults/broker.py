"""The Kafka broker goes away, and comes back."""

import time

from tests.failure.stage import Stage, fault


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


def _pause(stage: Stage, seconds: int) -> None:
    stage.say(f"pause the broker for {seconds} s")
    stage.kafka.pause()
    try:
        time.sleep(seconds)
    finally:
        stage.kafka.resume()
