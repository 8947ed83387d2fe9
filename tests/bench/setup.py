"""A worker's surroundings for one measurement: topics and a group of its own, all else as it comes."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from pydantic import SecretStr

from stream_app import topics
from stream_app.local.server import free_port
from stream_app.settings import Kafka, Log, Metrics, ModelStore, Recommend, Redis, Settings, load
from tests.bench.ground import Broker, Ground
from tests.bench.load import Followed, topics_named
from tests.bench.worker import Worker

LOOK_S = 0.02

Beside = Callable[[Settings], AbstractContextManager[None]]
"""What runs beside a worker of these settings while it is measured."""


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """`name` is the group and the topics' prefix, `model_url` a store with a promoted version."""

    name: str
    model_url: str
    partitions: int
    users: int
    items: int
    zipf: float
    recommend: bool = True
    followed: Followed = Followed.CREATOR


def worker_settings(on: Ground, setup: WorkerSetup) -> Settings:
    """Makes the topics, and returns the settings of a worker on them."""
    settings = load(
        kafka=Kafka(
            bootstrap=on.bootstrap,
            group=setup.name,
            partitions=setup.partitions,
            topics=topics_named(setup.name),
        ),
        redis=Redis(url=SecretStr(on.redis_url)),
        models=ModelStore(url=setup.model_url),
        recommend=Recommend(enabled=setup.recommend),
        metrics=Metrics(port=free_port()),
        log=Log(level="warning"),
        data_dir=on.folder / setup.name,
    )
    topics.create(settings)
    return settings


def drop_topics(on: Ground, settings: Settings) -> None:
    """So that the next measurement does not share the disk's attention."""
    Broker(on.bootstrap).delete([topic.name for topic in topics.wanted(settings)])


def wait_until_committed(on: Ground, worker: Worker, settings: Settings, timeout_s: float) -> None:
    """Until every event that is in the inputs now is applied, durable and committed; by then Redis has it too.

    Raises TimeoutError, and RuntimeError if the worker has ended."""
    broker = Broker(on.bootstrap)
    ends = broker.ends(list(settings.kafka.topics.inputs))
    deadline = time.monotonic() + timeout_s
    while lag := broker.lag(settings.kafka.group, ends):
        worker.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{lag} events are not committed after {timeout_s:.0f} s; see {worker.log}")
        time.sleep(LOOK_S)
