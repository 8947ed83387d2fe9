"""MovieLens 100K through a real Kafka and a real worker, against the file applied in memory.

    python -m tests.bench.parity --json FILE

Every interaction but each user's last is a click and a rating. The states are read back from the changelog topic, as a
worker that takes over would, and compared field by field with those that the file gives; then each user's last item is
ranked among all items from either. Fields that say how events were delivered (offsets, event ids) and what was
recommended are left out: a file has neither. Clicks and ratings of a user come from two topics, in whatever order they
arrive, so sums of floats may differ in their last bits.

JSON: `users, max_abs_difference, identical_users` (to the bit), `other_differences` (users whose counters, rings or
filters differ), `metric_offline, metric_streamed` (NDCG@10), `hit_rate_offline, hit_rate_streamed` (HR@10).
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from confluent_kafka import Consumer, TopicPartition

from model_store.encoder.runtime import use_threads
from model_store.model import InterestModel
from model_store.registry import ModelRegistry
from model_store.state.codec import decode
from model_store.state.layout import USER
from model_store.training import datasets
from model_store.training.evaluate import index_rows, metric_of_states
from model_store.training.fetch import TERMS, find_ml_100k
from model_store.training.interactions import Interactions
from model_store.training.publish import train_and_publish
from model_store.training.states import states_of
from model_store.training.train import QUICK
from stream_app.replay import replay
from stream_app.sources import from_interactions
from tests.bench.ground import Broker, Ground, ground, unique
from tests.bench.model import current_model
from tests.bench.report import console, save, show
from tests.bench.setup import WorkerSetup, wait_until_committed, worker_settings
from tests.bench.worker import Worker

PATIENCE_S = 600.0
TOLERANCE = 1e-5
READ_S = 30.0

Records = npt.NDArray[np.void]


def state_fields() -> list[str]:
    """Fields that the history alone decides."""
    delivery = {"next_offset", "event_id"}
    return [name for name in USER.names or () if name not in delivery and not name.startswith("rec_")]


@dataclass(frozen=True, slots=True)
class StateDifference:
    """How two arrays of states differ: see the module."""

    users: int
    max_abs_difference: float
    identical_users: int
    other_differences: int

    @staticmethod
    def of(one: Records, other: Records) -> "StateDifference":
        same = np.ones(len(one), np.bool_)
        odd = np.zeros(len(one), np.bool_)
        worst = 0.0
        for name in state_fields():
            a, b = (records[name].reshape(len(one), -1) for records in (one, other))
            equal = (a == b).all(axis=1)
            same &= equal
            if np.issubdtype(a.dtype, np.floating):
                worst = max(worst, float(np.abs(a - b).max()))
            else:
                odd |= ~equal
        return StateDifference(len(one), worst, int(same.sum()), int(odd.sum()))


def restored(bootstrap: str, changelog: str) -> dict[bytes, bytes]:
    """The latest record of each key, tombstones left out."""
    ends = Broker(bootstrap).ends([changelog])
    latest: dict[bytes, bytes] = {}
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": unique("restore"), "enable.auto.commit": False})
    try:
        for (topic, partition), end in ends.items():
            _read_partition(consumer, TopicPartition(topic, partition, 0), end, latest)
    finally:
        consumer.close()
    return {key: value for key, value in latest.items() if value}


def _read_partition(consumer: Consumer, at: TopicPartition, end: int, latest: dict[bytes, bytes]) -> None:
    consumer.assign([at])
    deadline = time.monotonic() + READ_S
    position = 0
    while position < end:
        for message in consumer.consume(1_000, 1.0):
            if message.error():
                raise RuntimeError(f"{at.topic}/{at.partition} cannot be read: {message.error()}")
            latest[message.key()] = message.value() or b""
            position = message.offset() + 1
        if time.monotonic() > deadline:
            raise TimeoutError(f"{at.topic}/{at.partition} was read up to {position} of {end} in {READ_S:.0f} s")


def streamed_states(on: Ground, history: Interactions, model_url: str, partitions: int) -> Records:
    """`USER` [users] in the order of `history.users`, after a worker has applied the history and stopped."""
    name = unique("parity")
    settings = worker_settings(on, WorkerSetup(name, model_url, partitions, 0, 0, 0.0))
    source = from_interactions(history, name, follows=False)
    with Worker(settings, on.folder / f"{name}.log") as worker:
        sent = replay(source, settings)
        console.print(f"{sent.events:,} events sent in {sent.seconds:.0f} s", style="dim")
        wait_until_committed(on, worker, settings, PATIENCE_S)
    by_key = restored(on.bootstrap, settings.kafka.changelog)
    missing = [user for user in history.users if user.encode() not in by_key]
    if missing:
        raise RuntimeError(f"{len(missing)} users are not in the changelog, {missing[0]} is the first")
    return decode([by_key[user.encode()] for user in history.users])


def compare(data: Interactions, model: InterestModel, file: Records, streamed: Records) -> dict[str, Any]:
    """The figures."""
    difference = StateDifference.of(file, streamed)
    targets = index_rows(model, list(data.items))[data.last()]
    offline, back = (metric_of_states(model, records, targets).ranking for records in (file, streamed))
    return {
        "users": difference.users,
        "max_abs_difference": difference.max_abs_difference,
        "identical_users": difference.identical_users,
        "other_differences": difference.other_differences,
        "metric_offline": offline.ndcg_10,
        "metric_streamed": back.ndcg_10,
        "hit_rate_offline": offline.hit_rate_10,
        "hit_rate_streamed": back.hit_rate_10,
    }


def main(
    data: Annotated[Path | None, typer.Option(help="Folder of MovieLens 100K; else it is fetched.")] = None,
    models: Annotated[str | None, typer.Option(help="Store with a model of it; else one is trained, briefly.")] = None,
    epochs: Annotated[int, typer.Option(help="Of that training.")] = QUICK.epochs,
    partitions: int = 4,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT instead of one that is started here.")] = None,
    redis: Annotated[str | None, typer.Option(help="URL of an empty database instead of one started here.")] = None,
) -> None:
    interactions = datasets.load(find_ml_100k(data, Path(".interest/data/ml-100k")))
    console.print(TERMS, style="dim")
    with ground(kafka, redis) as on:
        url = models or _trained(on, interactions, epochs)
        model = current_model(url, on.folder / "model")
        history = interactions.without_last(1)
        file = states_of(history, model.writes, model.decays)
        streamed = streamed_states(on, history, url, partitions)
        figures = compare(interactions, model, file.records[: len(file)], streamed)
    show("MovieLens 100K through Kafka and from the file", [figures])
    save(json, figures)
    if figures["max_abs_difference"] > TOLERANCE or figures["metric_offline"] != figures["metric_streamed"]:
        raise SystemExit(f"streamed and recomputed differ by more than {TOLERANCE} or in the metric")


def _trained(on: Ground, data: Interactions, epochs: int) -> str:
    use_threads(1)
    url = str(on.folder / "models")
    train_and_publish(data, ModelRegistry(url), recipe=replace(QUICK, epochs=epochs), console=console)
    return url


if __name__ == "__main__":
    typer.run(main)
