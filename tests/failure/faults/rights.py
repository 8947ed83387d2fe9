"""Kafka forbids what it had allowed, while workers are at work."""

from confluent_kafka.admin import AclOperation, ResourceType

from tests.failure import rights
from tests.failure.stage import Stage, fault

STOPPED_S = 120.0


@fault(alone=True)
def may_not_write_states(stage: Stage) -> None:
    """The right to write the changelog is withdrawn until the workers have stopped."""
    topic = stage.settings.kafka.changelog
    _without(stage, ResourceType.TOPIC, topic, AclOperation.WRITE, f"Kafka did not take records for {topic}[")


@fault(alone=True)
def may_not_read_events(stage: Stage) -> None:
    """The right to read an input is withdrawn until the workers have stopped."""
    topic = stage.settings.kafka.topics.clicks
    _without(stage, ResourceType.TOPIC, topic, AclOperation.READ, "this user may read")


@fault(alone=True)
def may_not_commit(stage: Stage) -> None:
    """The right to be in the group is withdrawn until the workers have stopped."""
    _without(stage, ResourceType.GROUP, stage.settings.kafka.group, AclOperation.READ, "this user may read")


def _without(stage: Stage, kind: ResourceType, name: str, operation: AclOperation, said: str) -> None:
    bootstrap = stage.settings.kafka.bootstrap
    stage.leave_alone()
    stage.say(f"nobody may {operation.name.lower()} {name}")
    rights.withdraw(bootstrap, kind, name, operation)
    try:
        stage.until_all_have_stopped(said, STOPPED_S)
    finally:
        rights.give_back(bootstrap, kind, name)
    stage.start_all()
