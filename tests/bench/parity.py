"""MovieLens 100K through a real Kafka and a real worker, against the file applied in memory.

    python -m tests.bench.parity --json FILE

Every interaction but each user's last is a click and a rating. The states are read back from the changelog topic, as
a worker that takes over would, and compared field by field with those that the file gives; then each user's last item
is ranked among all items from either. Fields that say how events were delivered (offsets, event ids) and what was
recommended are left out: a file has neither.

Clicks and ratings of a user come from two topics, in whatever order they arrive. Most of a state does not notice, and
must be the same to the bit: rank lanes, ring, windows, ratings, followees, counters (`identical_users`). Sums that
both add to notice in their last bits: what the model reads of them must agree within 1e-5 (`max_abs_difference`, of
`state.features`; `max_relative_difference`, of the sums themselves). The filter of everything seen forgets by count,
so for users with more items than it holds it may forget a little earlier or later (`filter_differences`, users);
therefore the metric leaves out what was really seen, as `interest train` does.

JSON: those five, `users`, `metric_offline, metric_streamed` (NDCG@10), `hit_rate_offline, hit_rate_streamed` (HR@10).
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
from model_store.state.features import features
from model_store.state.layout import USER
from model_store.training import datasets
from model_store.training.evaluate import index_rows, outputs_of
from model_store.training.fetch import TERMS, find_ml_100k
from model_store.training.interactions import Interactions
from model_store.training.metrics import ranking, ranks
from model_store.training.publish import train_and_publish
from model_store.training.states import states_of
from model_store.training.train import QUICK
from stream_app.replay import replay
from stream_app.sources import from_interactions
from tests.bench.ground import Broker, Ground, ground, unique
from tests.bench.model import current_model
from tests.bench.report import console, run, save, show
from tests.bench.setup import WorkerSetup, wait_until_committed, worker_settings
from tests.bench.worker import Worker

PATIENCE_S = 600.0
TOLERANCE = 1e-5
READ_S = 30.0

Records = npt.NDArray[np.void]


MIXED = ("time", "time_weight", "content", "content_weight")
FILTER = ("seen", "seen_count")
DELIVERY = ("next_offset", "event_id")


def exact_fields() -> list[str]:
    """Fields that the history alone decides, whatever the order between topics."""
    other = {*MIXED, *FILTER, *DELIVERY}
    return [name for name in USER.names or () if name not in other and not name.startswith("rec_")]


@dataclass(frozen=True, slots=True)
class StateDifference:
    """How two arrays of states differ: see the module."""

    users: int
    identical_users: int
    max_abs_difference: float
    max_relative_difference: float
    filter_differences: int

    @staticmethod
    def of(one: Records, other: Records) -> "StateDifference":
        rows = np.arange(len(one))
        return StateDifference(
            users=len(one),
            identical_users=int(_same(one, other, exact_fields()).sum()),
            max_abs_difference=float(np.abs(features(one, rows) - features(other, rows)).max()),
            max_relative_difference=max(_relative(_flat(one, name), _flat(other, name)) for name in MIXED),
            filter_differences=int((~_same(one, other, FILTER)).sum()),
        )


def _flat(records: Records, name: str) -> npt.NDArray[Any]:
    return records[name].reshape(len(records), -1)


def _same(one: Records, other: Records, names: Sequence[str]) -> npt.NDArray[np.bool_]:
    equal = [(_flat(one, name) == _flat(other, name)).all(axis=1) for name in names]
    return np.asarray(np.stack(equal).all(axis=0), np.bool_)


def _relative(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """The largest difference in a user's field, against that field's largest number."""
    scale = np.maximum(np.abs(one).max(axis=1), 1e-3)
    return float((np.abs(one - other).max(axis=1) / scale).max())


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
    offline, back = (ranking(last_item_ranks(data, model, records)) for records in (file, streamed))
    return {
        **asdict(StateDifference.of(file, streamed)),
        "metric_offline": offline.ndcg_10,
        "metric_streamed": back.ndcg_10,
        "hit_rate_offline": offline.hit_rate_10,
        "hit_rate_streamed": back.hit_rate_10,
    }


def last_item_ranks(data: Interactions, model: InterestModel, records: Records) -> npt.NDArray[np.int64]:
    """int64 [users]: rank of each user's last item among those that the user had not interacted with before."""
    history = data.without_last(1)
    seen = np.zeros((len(data.users), len(data.items)), np.bool_)
    seen[history.user, history.item] = True
    rows = np.arange(len(records))
    scores = model.index.scores(records, rows, outputs_of(model, records, rows))
    return ranks(scores[:, index_rows(model, list(data.items))], data.last().astype(np.int64), seen)


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
    # Its retries and slow turns are no news here: what was not sent raises.
    logging.getLogger("kafka").setLevel(logging.ERROR)
    with ground(kafka, redis) as on:
        url = models or _trained(on, interactions, epochs)
        model = current_model(url, on.folder / "model")
        history = interactions.without_last(1)
        file = states_of(history, model.writes, model.decays)
        streamed = streamed_states(on, history, url, partitions)
        figures = compare(interactions, model, file.records[: len(file)], streamed)
    show("MovieLens 100K through Kafka and from the file", [figures])
    save(json, figures)
    demand(figures)


def demand(figures: Mapping[str, Any]) -> None:
    """Ends with status 1 and the reason where the stream does not keep its promise."""
    if figures["identical_users"] != figures["users"]:
        raise SystemExit(f"{figures['users'] - figures['identical_users']} users differ in fields that must be equal")
    if not figures["max_abs_difference"] <= TOLERANCE:
        raise SystemExit(f"what the model reads differs by {figures['max_abs_difference']:.2g}, allowed is {TOLERANCE}")
    if figures["metric_offline"] != figures["metric_streamed"]:
        raise SystemExit("the metric from the streamed states is another one than from the file")


def _trained(on: Ground, data: Interactions, epochs: int) -> str:
    use_threads(1)
    url = str(on.folder / "models")
    train_and_publish(data, ModelRegistry(url), recipe=replace(QUICK, epochs=epochs), console=console)
    return url


if __name__ == "__main__":
    run(main)
