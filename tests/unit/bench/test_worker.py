"""A measured worker runs with the settings that the benchmark says, and no others."""

import pytest
from pydantic import SecretStr

from stream_app.settings import Kafka, Metrics, Redis, Settings, Social, environment, load
from tests.bench.load import topics_named
from tests.bench.worker import Scrape


def test_the_environment_says_all_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    told: Settings = load(
        kafka=Kafka(bootstrap="k:1", group="g", partitions=3, topics=topics_named("t")),
        redis=Redis(url=SecretStr("redis://:secret@r:2/3")),
        metrics=Metrics(port=4),
        social=Social(blocked=("user:a,b", 'topic:"quoted"')),
    )
    for name, value in environment(told, {}).items():
        monkeypatch.setenv(name, value)
    assert load() == told


TEXT = """\
# TYPE interest_events counter
interest_events_total{kind="click",outcome="applied"} 5.0
interest_events_total{kind="click",outcome="duplicate"} 2.0
interest_events_total{kind="rating",outcome="applied"} 4.0
# TYPE interest_users gauge
interest_users 7.0
"""


def test_a_scrape_sums_over_labels() -> None:
    scrape = Scrape(TEXT)
    assert scrape.total("interest_events_total") == 11
    assert scrape.total("interest_events_total", kind="click") == 7
    assert scrape.by("interest_events_total", "outcome") == {"applied": 9, "duplicate": 2}
    assert scrape.total("interest_users") == 7
    assert scrape.total("interest_nothing") == 0
