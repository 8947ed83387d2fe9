"""Items through the catalogue service, which is killed in the middle, and once more, when it knows them all.

    python -m tests.bench.catalogue --items 100000 --json FILE

Titles are synthetic: five to seven English words out of a fixed vocabulary, all different. One `interest catalog`
process beside a real Kafka and Redis reads them all from a backlog; at half of them it is killed with kill -9 and
started again. At a tenth of them two items are withdrawn, one that it has described and the last one in the queue. At
the end each item must be known and in Redis under its title, and the two must be gone. Then another group reads
everything again: all of it must be known, without encoding.

JSON: `items, encoder, items_per_second` (until the kill), `items_per_second_after`, `first_seconds` (from the first
start to the end, restart included), `deletion_seconds` (until both withdrawals are told and out of Redis),
`second_items_per_second`, `cache_hit_rate` (share of the second run's items that needed no encoding), `peak_mb` of any
process, and `peak_mb_of` each.
"""

import json as json_
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from confluent_kafka import Consumer, Producer, TopicPartition
from rich.progress import Progress

from model_store.catalog.encoders.build import Kind
from stream_app import topics
from stream_app.contracts.knowledge import decode
from stream_app.contracts.redis_layout import item_key
from stream_app.local import LeashedProcess
from stream_app.local.leash import ProcessGroup
from stream_app.local.server import free_port
from stream_app.settings import Catalog, Encoder, Metrics, Settings
from tests.bench.ground import Broker, Ground, ground, unique
from tests.bench.load import LIBRDKAFKA_LOG
from tests.bench.model import catalogue_model
from tests.bench.report import console, run, save, show
from tests.bench.setup import WorkerSetup, worker_settings
from tests.bench.titles import titles
from tests.bench.worker import Scrape, Worker
from tests.failure.found import read_topic

START_S = 300.0
END_S = 4 * 3600.0
LOOK_S = 0.5
WORDS = "interest_catalog_items_total"
_AT_ONCE = 2_000


class CatalogueProcess(Worker):
    """`interest catalog`."""

    def _launch(self) -> ProcessGroup:
        return LeashedProcess([sys.executable, "-m", "stream_app", "catalog"], self.log, self._env)

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()

    def peak_mb(self) -> float:
        return self.memory()[0] / 1e6


def say(on: Ground, settings: Settings, items: Iterator[tuple[str, bytes | None]]) -> None:
    """To the items topic, acknowledged."""
    producer = Producer(
        {"bootstrap.servers": on.bootstrap, "partitioner": "murmur2_random", "linger.ms": 20,
         "log_level": LIBRDKAFKA_LOG, "queue.buffering.max.messages": 1_000_000}
    )  # fmt: skip
    for item, value in items:
        producer.produce(settings.kafka.topics.items, value, item.encode())
        producer.poll(0)
    if producer.flush(60):
        raise TimeoutError("Kafka did not take the items")


def described(scrape: Scrape) -> float:
    return scrape.total(WORDS, outcome="described")


@contextmanager
def bar(what: str, total: int) -> Iterator[Any]:
    """A condition on scrapes that is met at a number of words, and shows how far that is."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)

        def reached(scrape: Scrape, count: float) -> bool:
            progress.update(task, completed=count)
            return count >= total

        yield reached


def first_half(on: Ground, settings: Settings, items: int) -> dict[str, Any]:
    """Until half of the items are described, and then a kill; two items are withdrawn on the way."""
    with CatalogueProcess(settings, on.folder / "first.log") as process, bar("until the kill", items // 2) as reached:
        process.wait("the first text", lambda seen: described(seen) > 0, START_S)
        began_s, gone = time.perf_counter(), withdrawn(items)
        process.wait("texts", lambda seen: described(seen) >= items // 10, END_S, LOOK_S)
        deletion_s = deletion(on, settings, gone)
        half = process.wait("half", lambda seen: reached(seen, described(seen)), END_S, LOOK_S)
        took_s, peak = time.perf_counter() - began_s, process.peak_mb()
        process.kill()
    return {"described": described(half), "seconds": took_s, "deletion_seconds": deletion_s, "peak_mb": peak}


def said(items: int) -> Iterator[tuple[str, str]]:
    """Each item and its title."""
    return ((f"i{number}", title) for number, title in enumerate(titles(items)))


def withdrawn(items: int) -> list[str]:
    return ["i0", f"i{items - 1}"]


def deletion(on: Ground, settings: Settings, gone: list[str]) -> float:
    """Seconds from its publication until it is told and out of Redis."""
    topic = settings.kafka.topics.knowledge
    ends = Broker(on.bootstrap).ends([topic])
    consumer = Consumer({"bootstrap.servers": on.bootstrap, "group.id": "unused", "log_level": LIBRDKAFKA_LOG})
    consumer.assign([TopicPartition(topic, partition, end) for (_, partition), end in ends.items()])
    began_s, left = time.perf_counter(), set(gone)
    say(on, settings, ((item, None) for item in gone))
    with on.redis() as client, closing(consumer):
        while left or any(client.exists(item_key(item.encode())) for item in gone):
            record = consumer.poll(0.05)
            if record is not None and (record.key() or b"").decode() in left and decode(record.value() or b"").deleted:
                left.remove((record.key() or b"").decode())
            if time.perf_counter() - began_s > START_S:
                raise TimeoutError(f"{gone} are not withdrawn after {START_S:.0f} s")
    return time.perf_counter() - began_s


def to_the_end(on: Ground, settings: Settings, items: int, log: str) -> dict[str, Any]:
    """One process until its group has committed everything: what became of the words, and how long that took from the
    first one."""
    broker, group = Broker(on.bootstrap), f"{settings.kafka.group}-catalog"
    ends = broker.ends([settings.kafka.topics.items])
    with CatalogueProcess(settings, on.folder / log) as process, bar("to the end", items) as reached:
        process.wait("the first word", lambda seen: seen.total(WORDS) > 0, START_S)
        began_s = time.perf_counter()

        def ended(scrape: Scrape) -> bool:
            reached(scrape, scrape.total(WORDS))
            return broker.lag(group, ends) == 0

        last = process.wait("the end", ended, END_S, LOOK_S)
        took_s = time.perf_counter() - began_s
        last = process.wait("its metrics", lambda _: True, START_S)
        return {"seconds": took_s, "peak_mb": process.peak_mb(), **last.by(WORDS, "outcome")}


def demand_all(on: Ground, settings: Settings, items: int) -> None:
    """Raises RuntimeError unless each item is known and in Redis under its title, and those withdrawn are neither."""
    gone = set(withdrawn(items))
    truth = {item: title for item, title in said(items) if item not in gone}
    records = read_topic(on.bootstrap, settings.kafka.topics.knowledge)
    known = {one.item_id: one for one in (decode(record.value() or b"") for record in records)}
    told = {item: one.title for item, one in known.items() if not one.deleted and one.vector}
    if told != truth:
        raise RuntimeError(f"of {len(truth):,} items {sum(told.get(x) != truth[x] for x in truth):,} are not known")
    with on.redis() as client:
        ids = [f"i{number}" for number in range(items)]
        for start in range(0, items, _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            pipeline = client.pipeline(transaction=False)
            for item in part:
                pipeline.hget(item_key(item.encode()), "title")
            for item, title in zip(part, pipeline.execute(), strict=True):
                if (title or b"").decode() != truth.get(item, ""):
                    raise RuntimeError(f"Redis has {title!r} for {item}, not {truth.get(item)!r}")


def measure(on: Ground, items: int, partitions: int, encoder: Kind, threads: int) -> dict[str, Any]:
    model = catalogue_model(on.folder / "models", 100)
    settings = worker_settings(on, WorkerSetup(unique("catalogue"), model, partitions, 1, 1, 0.0))
    settings = settings.model_copy(update={"catalog": Catalog(encoder=Encoder(kind=encoder, threads=threads))})
    say(on, settings, ((item, json_.dumps({"item_id": item, "title": title}).encode()) for item, title in said(items)))
    began_s = time.perf_counter()
    first = first_half(on, settings, items)
    rest = to_the_end(on, settings, items, "rest.log")
    first_s = time.perf_counter() - began_s
    demand_all(on, settings, items)
    again = to_the_end(on, other_group(settings), items, "again.log")
    demand_all(on, settings, items)
    unencoded = again["known"] + again["updated"] + again["deleted"]
    if not unencoded:
        raise RuntimeError("the second run met no item")
    return {
        "items": items,
        "encoder": encoder,
        "items_per_second": first["described"] / first["seconds"],
        "items_per_second_after": rest["described"] / rest["seconds"],
        "first_seconds": first_s,
        "deletion_seconds": first["deletion_seconds"],
        "second_items_per_second": unencoded / again["seconds"],
        "cache_hit_rate": unencoded / (unencoded + again["described"]),
        "peak_mb": max(one["peak_mb"] for one in (first, rest, again)),
        "peak_mb_of": [one["peak_mb"] for one in (first, rest, again)],
    }


def other_group(settings: Settings) -> Settings:
    """The same topics for a service that has read nothing of them."""
    kafka = settings.kafka.model_copy(update={"group": f"{settings.kafka.group}-again"})
    other = settings.model_copy(update={"kafka": kafka, "metrics": Metrics(port=free_port())})
    topics.create(other)
    return other


def main(
    items: int = 100_000,
    partitions: int = 4,
    encoder: Annotated[Kind, typer.Option(help="What reads the titles.")] = "sentence",
    threads: Annotated[int, typer.Option(help="Of the encoder.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT instead of one that is started here.")] = None,
    redis: Annotated[str | None, typer.Option(help="URL of an empty database instead of one started here.")] = None,
) -> None:
    with ground(kafka, redis) as on:
        found = measure(on, items, partitions, encoder, threads)
    show("a catalogue, synthetic titles", [{name: value for name, value in found.items() if name != "peak_mb_of"}])
    save(json, found)
    if found["cache_hit_rate"] < 1:
        raise SystemExit("the second run encoded something that was known")


if __name__ == "__main__":
    run(main)
