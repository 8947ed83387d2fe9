"""What workers of one group must have in common."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from stream_app.agreement import differences, terms_of
from stream_app.settings import Accept, Cycle, Kafka, Recommend, Redis, Settings, Topics, load
from tests.bench.model import catalogue_model, current_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("agreement")
    return current_model(catalogue_model(folder / "models", 20), folder / "fetched")


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (load(kafka=Kafka(partitions=12)), "kafka.partitions is 8 here, 12 there"),
        (load(kafka=Kafka(topics=Topics(clicks="c"))), "kafka.topics.clicks is interest.clicks here, c there"),
        (load(redis=Redis(url=SecretStr("redis://u:pw@r/1"))), "redis.url is 127.0.0.1:6379/0 here, r:6379/1 there"),
        (load(recommend=Recommend(items=3)), "recommend.items is 10 here, 3 there"),
        (load(accept=Accept(erasure_memory_s=60)), "accept.erasure_memory_s is 2592000 here, 60 there"),
    ],
)
def test_a_difference_is_named_with_both_values(there: Settings, found: str, model: Any) -> None:
    assert differences(terms_of(load(), model), terms_of(there, model)) == [found]


def test_the_pseudonym_key_must_be_the_same_and_is_told_to_nobody(model: Any) -> None:
    keys = ["0123456789abcdef" * 2, "fedcba9876543210" * 2]
    mine, theirs = (terms_of(load(pseudonym_key=SecretStr(key)), model) for key in keys)
    (found,) = differences(mine, theirs)
    assert found.startswith("pseudonym_key is a key with trace ")
    assert not any(key in str(terms) for key in keys for terms in (mine, theirs))
    assert len(differences(mine, terms_of(load(), model))) == 1


def test_what_is_each_workers_own_affair_may_differ(model: Any, tmp_path: Path) -> None:
    there = load(
        cycle=Cycle(max_events=7),
        data_dir=tmp_path,
        redis=Redis(timeout_s=1.0),
        kafka=Kafka(heartbeat_s=1.0),
        accept=Accept(flood_share=1.0),
    )
    assert differences(terms_of(load(), model), terms_of(there, model)) == []


def test_another_version_of_the_generation_may_be_rolled_out(model: Any) -> None:
    mine = terms_of(load(), model)
    assert differences(mine, terms_of(load(), replace(model, version="newer"))) == []
    assert differences(mine, terms_of(load(), replace(model, generation=7))) == ["model generation is 1 here, 7 there"]
    other = replace(model.writes, vectors=model.writes.vectors + 1)
    assert len(differences(mine, terms_of(load(), replace(model, writes=other)))) == 1


def test_a_term_of_a_newer_release_is_no_difference() -> None:
    assert differences({"old": "1"}, {"old": "1", "new": "2"}) == []
    assert differences({"old": "1", "new": "2"}, {"old": "1"}) == []
