"""A broker of several dies: others take over, or too few copies are left of what is written."""

import time

from tests.bench.ground import Broker
from tests.failure.stage import Stage, fault

BROKERS = COPIES = 3
SETTLE_S = 3.0
"""By then what was acknowledged before is committed as well."""
STOPPED_S = 120.0


@fault(brokers=BROKERS)
def leader_dies(stage: Stage) -> None:
    """`kill -9` of a broker that leads some partitions; others lead them, and it comes back."""
    kafka = stage.settings.kafka
    topic = stage.dice.choice([*kafka.topics.inputs, kafka.changelog, kafka.topics.recommendations])
    node = stage.cluster.leader_of(topic, stage.dice.randrange(kafka.partitions))
    stage.say(f"kill broker {node.number}, a leader of {topic}")
    node.kill()
    time.sleep(stage.dice.uniform(0.0, 15.0))  # it is missed after 6 s
    node.restart()
    _wait_in_sync(stage)


@fault(brokers=BROKERS)
def not_enough_replicas(stage: Stage) -> None:
    """The changelog's writes need more copies than there are: workers stop, and commit nothing until they do."""
    kafka, cluster = stage.settings.kafka, stage.cluster
    node = stage.dice.choice(cluster.nodes)
    stage.leave_alone()
    cluster.require_in_sync(kafka.changelog, COPIES)
    stage.say(f"kill broker {node.number}, of which a copy of each state is needed")
    node.kill()
    cluster.wait_in_sync([kafka.changelog], COPIES - 1)
    time.sleep(SETTLE_S)
    broker = Broker(kafka.bootstrap)
    before = broker.committed(kafka.group)
    stage.until_all_have_stopped(f"Kafka did not take records for {kafka.changelog}[", STOPPED_S)
    after = broker.committed(kafka.group)
    if after != before:
        raise AssertionError(f"offsets were committed past refused writes: {before} became {after}")
    stage.say("all workers have stopped, nothing is committed")
    cluster.require_in_sync(kafka.changelog, COPIES - 1)
    node.restart()
    stage.start_all()
    _wait_in_sync(stage)


def _wait_in_sync(stage: Stage) -> None:
    kafka = stage.settings.kafka
    stage.cluster.wait_in_sync([*kafka.topics.inputs, kafka.changelog, kafka.topics.recommendations], COPIES)
