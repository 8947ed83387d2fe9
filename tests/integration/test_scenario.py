"""A scenario from end to end, as a person runs it: its figures against what the topics hold."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from stream_app.client import InterestReader
from stream_app.demo.ledger import WORD_MS
from stream_app.local import LocalKafka, LocalValkey
from stream_app.scenarios.known import SCENARIOS

ROOT = Path(__file__).parents[2]
EVENTS = 2_000


def records_of(kafka: LocalKafka, topic: str) -> list[Any]:
    """All that a topic holds, by time."""
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, enable_auto_commit=False)
    try:
        at = [TopicPartition(topic, partition) for partition in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(at)
        consumer.seek_to_beginning(*at)
        ends, found = consumer.end_offsets(at), []
        while any(consumer.position(one) < ends[one] for one in at):
            for records in consumer.poll(timeout_ms=500).values():
                found += records
        return sorted(found, key=lambda record: record.timestamp)
    finally:
        consumer.close()


def test_the_newsroom_accounts_for_everything_and_its_figures_are_those_of_the_topics(
    kafka: LocalKafka, tmp_path: Path
) -> None:
    with LocalValkey(tmp_path / "redis") as redis:
        options = ["--events", str(EVENTS), "--rate", "400", "--json", "--kafka", kafka.bootstrap, "--redis", redis.url]
        done = subprocess.run(
            [sys.executable, "-m", "stream_app", "demo", "--scenario", "news", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        account = json.loads(done.stdout)
        reader = InterestReader(redis.url)
        users = {record.key.decode() for record in records_of(kafka, "demo.news.interest.clicks")}
        read = reader.get_many(users)
        described = reader.items(record.key.decode() for record in records_of(kafka, "demo.news.interest.items"))

    assert "synthetic" in done.stderr
    assert account["complete"]
    assert account["sent"] == EVENTS
    assert account["applied"] == EVENTS - account["sent_by_kind"]["item"]
    assert set(read) == users

    told: dict[str, dict[str, Any]] = {}
    gone_ms: dict[str, int] = {}
    for record in records_of(kafka, "demo.news.interest.items"):
        word = json.loads(record.value)
        if word.get("deleted"):
            gone_ms[word["item_id"]] = record.timestamp
        else:
            told[word["item_id"]] = word
    assert (account["items"], account["items_unheard"]) == (len(told.keys() | gone_ms.keys()), 0)
    assert set(described) == told.keys() - gone_ms.keys()

    made = [json.loads(record.value) for record in records_of(kafka, "demo.news.interest.recommendations")]
    offered = [(one, told[item["item_id"]], item["item_id"]) for one in made for item in one["items"]]
    ages_h = [(one["trigger"]["ts"] - word["published_at"]) / 3_600_000 for one, word, _ in offered]
    late = sum(item in gone_ms and one["generated_at"] - gone_ms[item] > WORD_MS for one, _, item in offered)
    figures = account["scenario"]
    assert account["recommendations"] == len(made) > 0
    assert abs(figures["age_p50_h"] - statistics.median(max(0, age) for age in ages_h)) < 0.01
    assert figures["withdrawn"] == len(told.keys() & gone_ms.keys()) > 0
    assert figures["recommended_after_withdrawal"] == late

    served = json.loads(next((tmp_path / ".interest/news/models").glob("news-*/model.json")).read_text())
    assert served["time_half_lives_ms"] == [1_800_000, 86_400_000]
    assert set(served["topics"]) == set(SCENARIOS["news"].nature.topics)
