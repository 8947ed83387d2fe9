"""What the catalogue service does, turn by turn: hear everything, do at once what needs no encoder, and describe the
rest beside that.

    heard ──► no text is new: withdrawn, facts, known ─────────────────────────┐
      └─────► a new text: queued ──► read again, encoded, annotated (aside) ───┴──► published ──► Redis ──► committed

So a withdrawal waits for no backlog and no encoder. What was described and was overtaken meanwhile is thrown away.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from stream_app.catalog.aside import Aside
from stream_app.catalog.backlog import Backlog, Entry
from stream_app.catalog.describe import Described, Describer, follow
from stream_app.catalog.feed import DroppedError, ItemFeed, ItemTexts
from stream_app.catalog.known import Change, Known
from stream_app.catalog.metrics import CatalogMetrics, Cost
from stream_app.catalog.pace import Pace
from stream_app.catalog.patience import Patience, Stopping
from stream_app.catalog.places import Placing
from stream_app.catalog.sinks import ItemHashes, KnowledgeTopic
from stream_app.catalog.words import judged
from stream_app.contracts.knowledge import Knowledge
from stream_app.contracts.validity import Record, Rejected
from stream_app.shelf import KnowledgeFeed

log = structlog.get_logger(__name__)

T = TypeVar("T")

POLL_S = 0.5
WAIT_S = 0.05
"""For texts that are being described, before it is heard again what is new."""
LOOK_S = 1.0
"""How often is looked how far behind it is, while there is work."""
STOP_S = 10.0
"""For the texts that are being described when it is time to stop."""
LEAVE_S = 2.0
_REFILLED = 1_000


@dataclass(frozen=True, slots=True)
class Progress:
    """Words on items that are done, and those of this process's share that are left."""

    done: int
    left: int
    cost: Cost


@dataclass(frozen=True, slots=True)
class _Found:
    """What was described aside, in which epoch, and how long encoder and annotator took."""

    epoch: int
    entries: list[Entry]
    described: list[Described]
    took_s: float


class Catalog:
    """Feed, knowledge and sinks. One thread, and one beside it.

    What was heard is committed once its knowledge is acknowledged and in Redis, so whatever ends the process, nothing
    is lost; what is heard again is known by then, and costs nothing. Knowledge carries the place of the word that it is
    of, so a word that is heard again after a later one was told of changes nothing.
    """

    def __init__(
        self,
        feed: ItemFeed,
        texts: ItemTexts,
        others: KnowledgeFeed,
        known: Known,
        encoder: str,
        describer: Callable[[], Describer],
        topic: KnowledgeTopic,
        hashes: ItemHashes,
        metrics: CatalogMetrics,
        stop: threading.Event,
        placing: Placing,
        place_every_s: float = 5.0,
        batch_items: int = 256,
    ) -> None:
        """`others`: what processes beside this one have found out, and this one before. `encoder`: the name of that of
        `describer`, which is called aside, for each batch. `place_every_s`: how often to look where the model has
        items; 0: never. `batch_items`: how many are described at once, at most."""
        self._feed, self._texts, self._others, self._known = feed, texts, others, known
        self._encoder, self._describer = encoder, describer
        self._topic, self._hashes, self._metrics, self._stop = topic, hashes, metrics, stop
        self._patience, self._patience_aside = Patience(metrics, stop), Patience(metrics, stop, metrics.stir)
        self._placing, self._place_every_s, self._placed_at_s = placing, place_every_s, float("-inf")
        self._aside: Aside[_Found] = Aside()
        self._pace = Pace(batch_items)
        self._backlog, self._epoch = Backlog(), 0
        self._logs: dict[int, str] = {}
        self._committed: dict[int, int] = {}

    def run(self, *, once: bool = False, report: Callable[[Progress], None] = lambda _progress: None) -> None:
        """Until told to stop; with `once` until the group has nothing left.

        Raises MisconfiguredError.
        """
        done, looked_at_s = 0, float("-inf")
        while not self._stop.is_set():
            found = self.turn()
            done += found
            is_idle = not (found or self._backlog or self._aside.is_busy)
            if not is_idle and time.monotonic() - looked_at_s < LOOK_S:
                continue
            unheard, looked_at_s = self._unheard(), time.monotonic()
            left = unheard + len(self._backlog)
            self._metrics.lag.set(left)
            report(Progress(done, left, self._metrics.cost()))
            ends = once and is_idle and not left and self._group_is_done()
            if not unheard:  # among it may be that an item is withdrawn
                self._place_when_due(time.monotonic(), now=ends)
            if ends:
                return
        with suppress(DroppedError, Stopping):
            self._finish(STOP_S)
            self._commit()

    def close(self) -> None:
        """What is done aside is not tried again, and has a moment to leave its clients alone."""
        self._stop.set()
        self._aside.wait(LEAVE_S)

    def _unheard(self) -> int:
        """Of what is this process's; asking costs a round trip to Kafka. 0 if nothing is, or before it is known."""
        try:
            return self._patience.until_done("kafka", self._feed.lag)
        except (DroppedError, Stopping):
            return 0

    def _group_is_done(self) -> bool:
        """Also of what other processes have: this one may have no partition, or get theirs."""
        try:
            return self._feed.is_settled() and not self._patience.until_done("kafka", self._feed.left)
        except Stopping:
            return False

    def _place_when_due(self, now_s: float, *, now: bool) -> None:
        if self._place_every_s and (now or now_s - self._placed_at_s >= self._place_every_s):
            self.place()
            self._placed_at_s = time.monotonic()

    def place(self) -> int:
        """Write where the served model has items, as far as that has changed; returns how many were written."""
        with self._metrics.stage.labels("place").time():
            news = self._placing.news(self._known.items, self._is_mine, self._feed.share())
        if news is None:
            return 0
        try:
            for part in news.parts(_REFILLED):
                self._patiently("redis", "redis", self._as_owner(partial(self._hashes.place, part)))
                self._placing.wrote(part)
                self._metrics.placed.inc(len(part.ids))
                self._metrics.beat()
        except (DroppedError, Stopping):
            return 0
        return len(news.ids)

    def _is_mine(self, item: str) -> bool:
        return self._feed.is_mine(item, self._known.items[item].log)

    def refill_redis(self) -> int:
        """Write all that is known into Redis once more; returns how many items that are. Raises RedisError."""
        everything = list(self._known.items.values())
        for start in range(0, len(everything), _REFILLED):
            self._hashes.write(everything[start : start + _REFILLED])
        return len(everything)

    def turn(self) -> int:
        """Hear what is new, and bring everything a step further; returns how many words were done. Raises
        MisconfiguredError."""
        self._metrics.beat()
        self._others.news(0.0)
        records = self._feed.poll(0.0 if self._aside.is_busy and self._feed.is_settled() else POLL_S)
        if not self._feed.is_settled():
            return 0
        try:
            if not self._feed.holds():
                self._begin_anew()
                return 0
            heard = self._hear(records)
            self._mend()
            finished = self._finish(WAIT_S)
            self._describe_next()
            self._commit()
        except DroppedError:
            self._feed.let_go()
            return 0
        except Stopping:
            return 0
        return heard + finished

    def _begin_anew(self) -> None:
        """Partitions were shared out: first learn what their owners before have told."""
        self._patience.until_done("kafka", self._others.catch_up)
        self._committed = self._patience.until_done("kafka", self._feed.rewind)
        self._backlog = Backlog(self._committed)
        self._logs = {partition: self._feed.log_of(partition) for partition in self._committed}
        self._epoch += 1

    def _hear(self, records: Sequence[Record]) -> int:
        """Queue new texts, and do the rest at once; returns how many records needed no turn."""
        words, rejected = judged(records, self._logs.__getitem__)
        now_ms, at_once, queued = int(time.time() * 1000), [], 0
        for word in words:
            if self._known.is_past(word):
                continue
            change = self._known.change(word, self._encoder)
            if change is Change.TEXT:
                entry = Entry(word.item.item_id, word.partition, word.offset)
                self._backlog.put(entry, edits=self._known.is_edited(word, self._encoder))
                queued += 1
            else:
                self._backlog.drop([word.item.item_id])
                at_once.append(follow(word, change, self._known, now_ms))
        self._tell(at_once, rejected)
        self._backlog.heard(self._feed.positions())
        return len(records) - queued

    def _mend(self) -> None:
        """What a process that was frozen has told late is told otherwise."""
        items = [item for item in self._known.overtaken if self._is_mine(item)]
        if items:
            log.warning("told again, since somebody has told of an earlier word on them meanwhile", items=len(items))
            later = [self._known.items[item] for item in items]
            self._write(later, [], later)
            self._known.overtaken.difference_update(items)

    def _describe_next(self) -> None:
        entries = [] if self._aside.is_busy or self._stop.is_set() else self._backlog.take(self._pace.size)
        if entries:
            self._metrics.stir()
            self._aside.start(partial(self._described, self._epoch, entries, dict(self._logs)))

    def _described(self, epoch: int, entries: list[Entry], logs: dict[int, str]) -> _Found:
        """Aside."""
        patience = self._patience_aside
        words, _ = judged(patience.until_done("kafka", lambda: self._texts.read(entries)), logs.__getitem__)
        began_s = time.monotonic()
        with self._metrics.stage.labels("describe").time():
            described = patience.until_done(
                "encoder", lambda: self._describer().describe(words, self._known, int(time.time() * 1000))
            )
        return _Found(epoch, entries, described, time.monotonic() - began_s)

    def _finish(self, wait_s: float) -> int:
        """Tell what was described aside, as far as it still counts; returns how many words that was about."""
        try:
            found = self._aside.result(wait_s)
        finally:
            if not self._aside.is_busy:
                self._metrics.rest()
        if found is None or found.epoch != self._epoch:
            return 0
        self._pace = self._pace.after(len(found.entries), found.took_s)
        self._describe_next()  # while this is told
        counting = {entry.item for entry in found.entries if self._backlog.counts(entry)}
        self._tell(
            [one for one in found.described if one.word.item.item_id in counting and not self._known.is_past(one.word)]
        )
        self._backlog.done(found.entries)
        return len(found.entries)

    def _tell(self, described: Sequence[Described], rejected: Sequence[Rejected] = ()) -> None:
        """First to Kafka, then to Redis, which also has what is not new: a process that ended in between may not have
        written it there."""
        self._write([one.knowledge for one in described if one.is_new], rejected, [one.knowledge for one in described])
        self._count(described, len(rejected))

    def _write(self, new: Sequence[Knowledge], rejected: Sequence[Rejected], standing: Sequence[Knowledge]) -> None:
        if new or rejected:
            self._patiently("kafka", "publish", self._as_owner(lambda: self._topic.write(new, rejected)))
        for one in standing:
            self._known.put(one)
        if standing:
            self._patiently("redis", "redis", self._as_owner(lambda: self._hashes.write(standing)))

    def _as_owner(self, work: Callable[[], T]) -> Callable[[], T]:
        """The same, if the group still takes this process for the owner of its partitions."""

        def owned() -> T:
            self._feed.confirm(self._backlog.committable())
            return work()

        return owned

    def _commit(self) -> None:
        done = self._backlog.committable()
        if done != self._committed:
            self._patience.until_done("kafka", lambda: self._feed.commit(done))
            self._committed = done

    def _patiently(self, what: str, stage: str, work: Callable[[], T]) -> T:
        with self._metrics.stage.labels(stage).time():
            return self._patience.until_done(what, work)

    def _count(self, described: Sequence[Described], rejected: int) -> None:
        self._metrics.items.labels("dead_lettered").inc(rejected)
        for one in described:
            self._metrics.items.labels(one.change.value).inc()
            self._metrics.refused.inc(one.refused)
            if one.is_new and one.knowledge.source:
                self._metrics.sources.labels(one.knowledge.source).inc()
