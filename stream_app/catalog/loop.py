"""What the catalogue service does, batch by batch: read, describe, publish, write to Redis, and only then commit."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from stream_app.catalog.describe import Described, Describer
from stream_app.catalog.feed import ItemFeed
from stream_app.catalog.known import Known
from stream_app.catalog.metrics import CatalogMetrics
from stream_app.catalog.patience import Patience, Stopping
from stream_app.catalog.places import Placing
from stream_app.catalog.sinks import ItemHashes, KnowledgeTopic
from stream_app.contracts.items import Item, judge_item
from stream_app.contracts.validity import Record, Rejected
from stream_app.shelf import KnowledgeFeed

T = TypeVar("T")

POLL_S = 0.5
LOOK_S = 1.0
"""How often is looked how far behind it is, while there is work."""
_REFILLED = 1_000


class Catalog:
    """Feed, knowledge and sinks. One thread.

    What was read is committed once its knowledge is acknowledged and in Redis, so whatever ends the process, nothing is
    lost; what is read again is known by then, and costs nothing.
    """

    def __init__(
        self,
        feed: ItemFeed,
        others: KnowledgeFeed,
        known: Known,
        describer: Describer,
        topic: KnowledgeTopic,
        hashes: ItemHashes,
        metrics: CatalogMetrics,
        stop: threading.Event,
        placing: Placing,
        place_every_s: float = 5.0,
    ) -> None:
        """`others`: what processes beside this one have found out, and this one before. `place_every_s`: how often to
        look where the model has items; 0: never."""
        self._feed, self._others, self._known, self._describer = feed, others, known, describer
        self._topic, self._hashes, self._metrics, self._stop = topic, hashes, metrics, stop
        self._patience = Patience(metrics, stop)
        self._placing, self._place_every_s, self._placed_at_s = placing, place_every_s, float("-inf")

    def run(self, *, once: bool = False, report: Callable[[int, int], None] = lambda _done, _left: None) -> None:
        """Until told to stop; with `once` until nothing is left to read. `report` gets the items done and left.

        Raises MisconfiguredError.
        """
        done, left, looked_at_s = 0, 0, float("-inf")
        while not self._stop.is_set():
            found = self.turn()
            done += found
            if found and time.monotonic() - looked_at_s < LOOK_S:
                continue
            left, looked_at_s = self._lag(), time.monotonic()
            report(done, left)
            ends = once and self._feed.is_assigned() and not (found or left)
            self._place_when_due(time.monotonic(), now=ends)
            if ends:
                return

    def _lag(self) -> int:
        """Of what is this process's; asking costs a round trip to Kafka. 0 if it is time to stop before an answer."""
        try:
            left = self._patience.until_done("kafka", self._feed.lag)
        except Stopping:
            return 0
        self._metrics.lag.set(left)
        return left

    def _place_when_due(self, now_s: float, *, now: bool) -> None:
        if self._place_every_s and (now or now_s - self._placed_at_s >= self._place_every_s):
            self.place()
            self._placed_at_s = time.monotonic()

    def place(self) -> int:
        """Write where the served model has items, as far as that has changed; returns how many were written."""
        with self._metrics.stage.labels("place").time():
            news = self._placing.news(self._known.items, self._feed.is_mine, self._feed.share())
        if news is None:
            return 0
        try:
            for part in news.parts(_REFILLED):
                self._patiently("redis", "redis", partial(self._hashes.place, part))
                self._placing.wrote(part)
                self._metrics.placed.inc(len(part.ids))
                self._metrics.beat()
        except Stopping:
            return 0
        return len(news.ids)

    def refill_redis(self) -> int:
        """Write all that is known into Redis once more; returns how many items that are. Raises RedisError."""
        everything = list(self._known.items.values())
        for start in range(0, len(everything), _REFILLED):
            self._hashes.write(everything[start : start + _REFILLED])
        return len(everything)

    def turn(self) -> int:
        """One batch; returns how many records that were. Raises MisconfiguredError."""
        self._metrics.beat()
        self._others.news(0.0)
        records = self._feed.poll(POLL_S)
        if not records:
            return 0
        items, rejected = judged(records)
        try:
            described = self._patiently("encoder", "describe", lambda: self._described(items))
            self._patiently("kafka", "publish", lambda: self._topic.write(described.knowledge, rejected))
            self._patiently("redis", "redis", lambda: self._hashes.write(described.standing))
            for one in described.knowledge:
                self._known.put(one)
            self._patience.until_done("kafka", self._feed.commit)
        except Stopping:
            return 0
        self._count(described, len(rejected))
        return len(records)

    def _described(self, items: Sequence[Item]) -> Described:
        return self._describer.describe(items, self._known, int(time.time() * 1000))

    def _patiently(self, what: str, stage: str, work: Callable[[], T]) -> T:
        with self._metrics.stage.labels(stage).time():
            return self._patience.until_done(what, work)

    def _count(self, described: Described, rejected: int) -> None:
        for outcome, items in described.outcomes.items():
            self._metrics.items.labels(outcome).inc(items)
        self._metrics.items.labels("dead_lettered").inc(rejected)
        self._metrics.refused.inc(described.refused)
        for one in described.knowledge:
            if one.source:
                self._metrics.sources.labels(one.source).inc()


def judged(records: Sequence[Record]) -> tuple[list[Item], list[Rejected]]:
    """The last word on each item, in the order in which the items were first spoken of, and what is none."""
    items: dict[str, Item] = {}
    rejected = []
    for record in records:
        found = judge_item(record)
        if isinstance(found, Rejected):
            rejected.append(found)
        else:
            items[found.item_id] = found
    return list(items.values()), rejected
