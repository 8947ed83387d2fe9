"""What arrives is no event: some of it, or most."""

import itertools
import time

from tests.bench.ground import Broker
from tests.failure.poison import KINDS, Poison, Poisoner, poisons
from tests.failure.stage import Stage, fault

POISONED_USERS = 2
"""Each sort of poison in the name of each: no flood, which a thousand events a minute would have to be."""

SPREAD_S = 6.0
BURST = 200
BURST_S = 0.1
STOPPED_S = 90.0
PASSED_S = 120.0
LET_PASS = {"INTEREST_ACCEPT__FLOOD_SHARE": "1"}


@fault()
def poison(stage: Stage) -> None:
    """Bad records of every sort among the events, in the name of users who send good ones."""
    poisoner, partitions = Poisoner(stage.settings.kafka), stage.settings.kafka.partitions
    users = stage.dice.sample(stage.users, POISONED_USERS)
    every = [one for user in users for one in poisons(stage.dice, partitions, user)]
    stage.say(f"{len(every)} bad records")
    for one in every:
        poisoner.send(one)
        time.sleep(SPREAD_S / len(every))
    stage.poison |= poisoner.finish()


@fault()
def flood(stage: Stage) -> None:
    """Most events are bad until all workers have stopped; then what is in the topics is let pass, and they go on."""
    stage.leave_alone()
    stage.say("flood")
    poisoner = Poisoner(stage.settings.kafka)
    _pour(stage, poisoner)
    stage.poison |= poisoner.finish()
    _let_pass(stage)


def _pour(stage: Stage, poisoner: Poisoner) -> None:
    """Bad records into all partitions, until every worker has ended as it should."""
    partitions = stage.settings.kafka.partitions
    sorts = itertools.cycle(Poison(kind, b"x", b"{", place) for kind in KINDS for place in range(partitions))
    until_s = time.monotonic() + STOPPED_S
    while any(member.exit_code() is None for member in stage.members):
        if time.monotonic() > until_s:
            raise AssertionError(f"the workers have not stopped within {STOPPED_S:.0f} s of flood")
        for one in itertools.islice(sorts, BURST):
            poisoner.send(one)
        time.sleep(BURST_S)
    stage.until_all_have_stopped("start workers with INTEREST_ACCEPT__FLOOD_SHARE=1", STOPPED_S)


def _let_pass(stage: Stage) -> None:
    """As the workers have said; one after the other goes on as before when it is through."""
    kafka = stage.settings.kafka
    broker = Broker(kafka.bootstrap)
    ends, until_s = broker.ends(list(kafka.topics.inputs)), time.monotonic() + PASSED_S
    for member in stage.members:
        member.told = LET_PASS
        member.start()
    while left := broker.lag(kafka.group, ends):
        if time.monotonic() > until_s:
            raise AssertionError(f"{left} records of a flood that may pass have not passed within {PASSED_S:.0f} s")
        time.sleep(0.2)
    stage.say("the flood is through")
    for member in stage.members:
        stage.terminate(member)
        member.told = {}
        member.start()
        member.wait_ready()
