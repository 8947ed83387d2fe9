"""What is said about topics that are not as they must be."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from stream_app.reaching import KafkaUnreachableError, reaching
from stream_app.settings import Settings, load
from stream_app.topics import ActualTopic, judge, wanted


def as_wanted(settings: Settings) -> dict[str, ActualTopic]:
    """Topics just as the settings want them."""
    return {
        topic.name: ActualTopic(topic.name, topic.partitions, topic.replication, dict(topic.configs))
        for topic in wanted(settings)
    }


@pytest.fixture
def settings() -> Settings:
    return load(kafka={"partitions": 6})


def test_right_topics_have_no_findings(settings: Settings) -> None:
    assert judge(wanted(settings), as_wanted(settings)) == []


def test_inputs_and_changelog_are_bound_to_the_partition_count_and_others_are_not(settings: Settings) -> None:
    bound = {topic.name for topic in wanted(settings) if topic.exact_partitions}
    assert bound == {*settings.kafka.topics.inputs, settings.kafka.changelog}


def test_missing_topic_asks_for_create(settings: Settings) -> None:
    found = as_wanted(settings)
    del found["interest.items"]
    (finding,) = judge(wanted(settings), found)
    assert finding.topics == ("interest.items",)
    assert finding.mend == "interest topics create"


def test_partition_counts_that_differ_from_each_other_come_first(settings: Settings) -> None:
    found = as_wanted(settings)
    found["interest.ratings"] = replace(found["interest.ratings"], partitions=8)
    first, second = judge(wanted(settings), found)
    assert "interest.clicks 6" in first.problem
    assert "interest.ratings 8" in first.problem
    assert "for life" in first.mend
    assert second.topics == ("interest.ratings",)


def test_one_count_everywhere_but_not_the_settings_names_the_setting(settings: Settings) -> None:
    found = {name: replace(topic, partitions=12) for name, topic in as_wanted(settings).items()}
    (finding,) = judge(wanted(settings), found)
    assert "INTEREST_KAFKA__PARTITIONS=12" in finding.mend
    assert len(finding.topics) == 5


def test_same_problem_of_several_topics_is_said_once(settings: Settings) -> None:
    assert [finding.problem for finding in judge(wanted(settings), {})] == ["does not exist"]


@pytest.mark.parametrize(("value", "findings"), [("0.1", 0), ("0.10", 0), ("0.5", 1), ("", 1)])
def test_configurations_are_compared_as_numbers_where_they_are(settings: Settings, value: str, findings: int) -> None:
    found = as_wanted(settings)
    changelog = found[settings.kafka.changelog]
    found[changelog.name] = replace(changelog, configs={**changelog.configs, "min.cleanable.dirty.ratio": value})
    assert len(judge(wanted(settings), found)) == findings


def test_three_replicas_ask_for_two_in_sync(settings: Settings) -> None:
    assert all("min.insync.replicas" not in topic.configs for topic in wanted(settings))
    replicated = load(kafka={"replication": 3})
    assert all(topic.configs["min.insync.replicas"] == "2" for topic in wanted(replicated))


def test_too_few_replicas_is_a_finding_and_more_are_not(settings: Settings) -> None:
    two = load(kafka={"partitions": 6, "replication": 2})
    (finding,) = judge(wanted(two), as_wanted(settings))
    assert "replication factor is 1" in finding.problem
    assert judge(wanted(settings), as_wanted(two)) == []


@pytest.mark.parametrize(("topic", "stops"), [("interest.clicks", True), ("interest.dead-letters", False)])
def test_no_worker_starts_on_an_input_that_is_compacted(settings: Settings, topic: str, stops: bool) -> None:
    """All events of a user have one key."""
    found = as_wanted(settings)
    found[topic] = replace(found[topic], configs={**found[topic].configs, "cleanup.policy": "compact,delete"})
    (finding,) = judge(wanted(settings), found)
    assert finding.stops == stops
    assert "cleanup.policy is compact,delete, should be delete" in finding.problem


REFUSED = "[Error 58] SaslAuthenticationFailedError: SaslAuthenticationFailedError: Authentication failed"
HUNG_UP = "KafkaConnectionError: socket disconnected"
AWAY = "KafkaConnectionError: [Errno 111] Connection refused"
NO_TRUST = "KafkaConnectionError: Handshake failed: certificate verify failed: certificate has expired"


def attempt(bootstrap: str, problems: Sequence[str], made: list[str]) -> None:
    """Attempts that fail as kafka-python logs them, until it is told to end them."""
    security = {"protocol": "SASL_SSL", "username": "worker", "password": "of the worker"}
    with reaching(load(kafka={"bootstrap": bootstrap, "security": security}), TimeoutError):
        for problem in problems:
            made.append(problem)
            line = "Bootstrap connection to %s failed: %s (backoff %.2f secs)"
            logging.getLogger("kafka.net.manager").warning(line, "bootstrap-0", problem, 0.05)
        raise TimeoutError


@pytest.mark.parametrize(
    ("bootstrap", "problems", "says", "attempts"),
    [
        ("k:1", (REFUSED, REFUSED), "does not accept worker by SCRAM-SHA-512", 1),
        ("k:1", (AWAY, REFUSED, AWAY), "does not accept worker by SCRAM-SHA-512", 2),
        ("k:1", (HUNG_UP, HUNG_UP), "does not accept worker by SCRAM-SHA-512", 2),
        ("k:1", (HUNG_UP, AWAY), "no Kafka answers at k:1", 2),
        ("k:1", (NO_TRUST, NO_TRUST), "certificate has expired", 1),
        ("k:1,k:2", (NO_TRUST, AWAY), "certificate has expired", 2),  # another broker may have a better one
    ],
)
def test_who_is_turned_away_hears_it_at_once(
    bootstrap: str, problems: tuple[str, ...], says: str, attempts: int
) -> None:
    made: list[str] = []
    with pytest.raises(KafkaUnreachableError, match=says):
        attempt(bootstrap, problems, made)
    assert len(made) == attempts
