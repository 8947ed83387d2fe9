"""A data set out of a real Kafka: what is valid, once, and not erased; and a model trained on it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer

from model_store.card import read_card
from model_store.registry import ModelRegistry
from model_store.training.interactions import Interactions
from stream_app.local import LocalKafka
from stream_app.recorded import Read, RecordedError, recorded
from stream_app.settings import Settings, environment
from tests.bench.ground import unique
from tests.failure.crew import make_topics, member_settings
from tests.failure.service import Neighbour, now_ms

NO_REDIS = "redis://127.0.0.1:1/0"  # training needs none
T = 1_700_000_000_000
ALL_OF_IT = 24 * 3_600_000


@pytest.fixture
def settings(kafka: LocalKafka, tmp_path: Path) -> Settings:
    return member_settings(kafka.bootstrap, NO_REDIS, str(tmp_path / "models"), unique("train"), tmp_path)


@pytest.fixture
def service(settings: Settings) -> Iterator[Neighbour]:
    make_topics(settings)
    one = Neighbour(settings)
    yield one
    one.close()


def rows(data: Interactions) -> set[tuple[str, str, int, float | None]]:
    columns = data.user.tolist(), data.item.tolist(), data.ts_ms.tolist(), data.rating.tolist()
    return {
        (data.users[user], data.items[item], ts, None if np.isnan(rating) else round(rating, 3))
        for user, item, ts, rating in zip(*columns, strict=True)
    }


def read(settings: Settings) -> tuple[Interactions, list[Read]]:
    progress: list[Read] = []
    return recorded(settings, now_ms(), progress.append), progress


def in_transaction(settings: Settings, user: str, event: bytes, *, commit: bool) -> None:
    producer = Producer(
        {"bootstrap.servers": settings.kafka.bootstrap, "transactional.id": unique("train"),
         "partitioner": "murmur2_random", "log_level": 3}
    )  # fmt: skip
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(settings.kafka.topics.clicks, event, user.encode())
    producer.flush(30)
    if commit:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


def click(user: str, item: str, ts: int, event_id: str) -> bytes:
    return f'{{"event_id": "{event_id}", "user_id": "{user}", "item_id": "{item}", "ts": {ts}}}'.encode()


def test_what_is_read_is_what_was_sent_but_what_is_not_valid_again_or_erased(
    settings: Settings, service: Neighbour
) -> None:
    send, raw = service.send, service.send_raw
    for user in range(9):  # in all partitions
        for step in range(3):
            send("click", f"u{user}", item_id=f"i{step}", ts=T + step)
    expected: set[tuple[str, str, int, float | None]] = {
        (f"u{user}", f"i{step}", T + step, None) for user in range(9) for step in range(3)
    }
    # Ratings: of a click, twice; of none; of the later of two clicks; withdrawn.
    send("rating", "u0", item_id="i0", rating=1, ts=T + 10)
    send("rating", "u0", item_id="i0", rating=4, ts=T + 11)
    send("rating", "u0", item_id="unclicked", rating=3, scale_max=10, ts=T + 12)
    send("click", "u1", item_id="i0", ts=T + 13)
    send("rating", "u1", item_id="i0", rating=5, ts=T + 13)
    send("rating", "u2", item_id="i0", rating=5, ts=T + 14)
    send("rating", "u2", item_id="i0", rating=None, ts=T + 15)
    send("rating", "u2", item_id="never", rating=None, ts=T + 15)
    expected -= {("u0", "i0", T, None)}
    expected |= {
        ("u0", "i0", T, 0.8), ("u0", "unclicked", T + 12, 0.3), ("u1", "i0", T + 13, 1.0),
    }  # fmt: skip
    # Not valid.
    raw("click", b"u3", b"{")
    raw("click", b"u3", None)
    raw("click", b"u4", click("u3", "i9", T, "of-another-key"))
    send("rating", "u3", rating=6)
    send("click", "u3", item_id="i9", ts=now_ms() + ALL_OF_IT)
    # Twice, the second time with another item; and the same id of another user.
    send("click", "u4", event_id="again", item_id="i5", ts=T + 20)
    send("click", "u4", event_id="again", item_id="i6", ts=T + 21)
    send("click", "u5", event_id="again", item_id="i6", ts=T + 21)
    expected |= {("u4", "i5", T + 20, None), ("u5", "i6", T + 21, None)}
    # Erased, up to its own time.
    send("erasure", "u6", ts=T + 1)
    expected -= {("u6", "i0", T, None), ("u6", "i1", T + 1, None)}
    service.flush()
    # What a transaction took back is none; its marks at the end of a partition have no record.
    in_transaction(settings, "u7", click("u7", "kept", T + 30, "kept"), commit=True)
    in_transaction(settings, "u8", click("u8", "taken-back", T + 31, "taken back"), commit=False)
    expected.add(("u7", "kept", T + 30, None))

    data, progress = read(settings)
    assert rows(data) == expected
    assert len(data) == len(expected)
    assert data.titles == data.items
    assert (data.name, data.times) == ("kafka", "recorded")
    assert 0 < progress[-1].records <= progress[-1].of


def test_topics_without_events_say_what_to_do(settings: Settings, service: Neighbour) -> None:
    with pytest.raises(RecordedError, match=r"hold nothing to learn from: send events first \(interest replay\)"):
        read(settings)
    service.send("click", "ann", ts=T)
    service.send_raw("click", b"ann", b"{")
    service.send("erasure", "ann", ts=T)
    service.flush()
    with pytest.raises(RecordedError, match="1 not valid, 1 erased"):
        read(settings)


def test_topics_that_are_not_there_are_named(settings: Settings) -> None:
    with pytest.raises(RecordedError, match=rf"{settings.kafka.topics.clicks}: .*interest topics create"):
        read(settings)


def interest(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "stream_app", *arguments]
    around: dict[str, Any] = environment(settings, os.environ)
    return subprocess.run(command, env=around, capture_output=True, text=True, check=False, timeout=280)


def test_the_command_trains_on_what_was_sent(settings: Settings, service: Neighbour) -> None:
    for step in range(6):
        for user in range(30):
            service.send("click", f"u{user}", item_id=f"i{(user + step) % 20}", ts=T + step)
    service.flush()
    done = interest(settings, "train", "kafka", "--epochs", "1")
    assert done.returncode == 0, done.stderr
    registry = ModelRegistry(settings.models.url)
    version = registry.current()
    assert version is not None
    assert version.startswith("kafka-")
    made = read_card(registry.fetch(version, settings.data_dir / "fetched")).made
    assert (made["data"], made["interactions"], len(made["loss_by_epoch"])) == ("kafka", 30 * 4, 1)
    assert not any((settings.data_dir / "training").iterdir())
