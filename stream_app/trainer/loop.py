"""What the trainer does, turn by turn: read, observe, learn; now and then publish a version, and take a snapshot.

One thread: whoever falls behind here delays nobody's events. Under load rounds grow, with fewer steps for each click;
beyond `max_round_clicks` what is too much is counted and not learnt.
"""

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import structlog

from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.layout import Kind
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable
from model_store.training.online.examples import Clicks, Float32, Int64, observe, user_hashes
from model_store.training.online.guard import HeldOut
from model_store.training.online.learner import OnlineLearner
from stream_app.settings import Settings
from stream_app.shelf import Catalogue
from stream_app.trainer.feed import Feed, Helping
from stream_app.trainer.followees import Followees
from stream_app.trainer.metrics import TrainerMetrics
from stream_app.trainer.publisher import Publisher
from stream_app.trainer.snapshots import Progress, Snapshot, Snapshots

log = structlog.get_logger(__name__)

POLL_S = 0.1
POLL_RECORDS = 10_000
HEAR_S = 1.0


class Due:
    """Something to be done every so many seconds, the first time after one such interval."""

    def __init__(self, interval_s: float, now_s: float) -> None:
        self._interval_s, self._at_s = interval_s, now_s + interval_s

    def is_due(self, now_s: float) -> bool:
        """Whether it is time; then the next time is an interval from now."""
        due = now_s >= self._at_s
        if due:
            self._at_s = now_s + self._interval_s
        return due


class Trainer:
    """Learner, states and offsets, which move together."""

    def __init__(
        self,
        settings: Settings,
        generation: tuple[WriteTable, Decays],
        base: str,
        learner: OnlineLearner,
        publisher: Publisher,
        feed: Feed,
        catalogue: Catalogue,
        snapshots: Snapshots,
        metrics: TrainerMetrics,
    ) -> None:
        """`generation`: what states are advanced by. `base`: the version that `learner` began with."""
        self._policy, self._base = settings.trainer, base
        self._writes, self._decays = generation
        self._learner, self._publisher, self._feed = learner, publisher, feed
        self._catalogue, self._snapshots, self._metrics = catalogue, snapshots, metrics
        self._held_out = HeldOut(self._policy.held_out_share, self._policy.held_out_s)
        self._states: dict[int, Arena] = {}
        self._followees = Followees(settings.social, learner)
        self._followees.stand(self._states)
        self._pending: list[Clicks] = []
        self._learnt_since_publication = 0
        now_s = time.monotonic()
        self._learn_due = Due(self._policy.learn_interval_s, now_s)
        self._publish_due = Due(self._policy.publish_interval_s, now_s)
        self._snapshot_due = Due(self._policy.snapshot_interval_s, now_s)
        self._hear_due = Due(HEAR_S, now_s)

    def restore(self, held_out: Clicks, states: Mapping[int, Arena]) -> None:
        """Go on from a snapshot; learner and feed were brought there already."""
        self._held_out.restore(held_out, time.monotonic())
        self._states = dict(states)
        self._followees.stand(self._states)

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; then a last snapshot."""
        while not stop.is_set():
            self.turn()
        self.snapshot()

    def close(self) -> None:
        """Leave Kafka. No snapshot is taken."""
        self._feed.close()
        self._catalogue.feed.close()

    def turn(self) -> None:
        """Read what has come, and do what is due."""
        self._metrics.beat()
        if self._hear_due.is_due(time.monotonic()):
            self._hear()
        self._observe(self._feed.poll(int(time.time() * 1000), POLL_S, POLL_RECORDS))
        now_s, waiting = time.monotonic(), sum(map(len, self._pending))
        if self._learn_due.is_due(now_s) or waiting >= self._policy.round_clicks:
            self._learn()
        if self._publish_due.is_due(now_s):
            self.publish()
        if self._snapshot_due.is_due(now_s):
            self.snapshot()

    def hear_all(self) -> None:
        """Take in all that the catalogue has told so far."""
        items = self._catalogue.feed.catch_up()
        self._take_in(items)
        log.info("the catalogue is known", items=len(items))

    def _hear(self) -> None:
        items = self._catalogue.feed.news(0.0)
        if items:
            self._take_in(items)

    def _take_in(self, items: set[str]) -> None:
        with self._metrics.stage.labels("hear").time():
            shelf = self._catalogue.shelf
            self._writes = shelf.put_into_writes(self._writes, items)
            self._learner.tell(shelf.told_of(items))
            self._learner.withdraw(shelf.deleted_of(items))
        self._fix_followees()

    def _fix_followees(self) -> None:
        shelf = self._catalogue.shelf
        self._followees.fix(shelf.topics, shelf.creators_of(self._learner.item_ids))

    # -- states and examples

    def _observe(self, helping: Helping) -> None:
        now_ms = int(time.time() * 1000)
        self._followees.meet(helping.followees)

        def social(arena: Arena, rows: Int64) -> Float32 | None:
            return self._followees.social(arena, rows, now_ms)

        with self._metrics.stage.labels("observe").time():
            for partition, batch in helping.batches.items():
                arena = self._states.setdefault(partition, Arena())
                clicks = observe(arena, batch, self._writes, self._decays, social)
                self._meet(partition, batch, clicks, helping)
                self._forget_erased(batch)
                learnable = self._held_out.split(clicks, batch.event[clicks.place], time.monotonic())
                self._metrics.clicks.labels("held_out").inc(len(clicks) - len(learnable))
                self._pending.append(learnable)
        self._metrics.records.inc(helping.records)

    def _meet(self, partition: int, batch: EventBatch, clicks: Clicks, helping: Helping) -> None:
        unknown = clicks.place[self._learner.index().rows_of(clicks.item) < 0]
        if len(unknown):
            self._learner.meet(helping.item_ids(partition, batch.offset[unknown].tolist()))

    def _forget_erased(self, batch: EventBatch) -> None:
        """An erased user is in no example any more; what the weights have learnt from many stays."""
        places = np.flatnonzero(batch.kind == Kind.ERASURE)
        if len(places):
            users = user_hashes([batch.keys[place] for place in places.tolist()])
            self._learner.forget(users)
            self._held_out.forget(users)
            self._pending = [clicks.take(~np.isin(clicks.user, users)) for clicks in self._pending]

    # -- weights

    def _learn(self) -> None:
        clicks, self._pending = Clicks.concat(self._pending), []
        if not len(clicks):
            return
        with self._metrics.stage.labels("learn").time():
            skipped = max(0, len(clicks) - self._policy.max_round_clicks)
            if skipped:
                self._learner.count(clicks.take(np.arange(skipped)))
            loss = self._learner.learn(clicks.take(np.arange(skipped, len(clicks))), self._policy.round_clicks)
        self._metrics.clicks.labels("counted").inc(skipped)
        self._metrics.clicks.labels("learnt").inc(len(clicks) - skipped)
        self._metrics.loss.set(loss)
        self._learnt_since_publication += len(clicks)

    def publish(self) -> None:
        """Offer a version, if anything was learnt since the last and the stream is not far ahead."""
        lag = self._gauge()
        if not self._learnt_since_publication or lag > self._policy.publish_lag_events:
            return
        with self._metrics.stage.labels("publish").time():
            self._fix_followees()
            now = datetime.now(UTC)
            parts = self._learner.parts({"began_with": self._base, "made": now.isoformat(timespec="seconds")})
            outcome = self._publisher.offer(parts, self._held_out.clicks(), now)
        if outcome == "promoted":
            self._learnt_since_publication = 0
            self._metrics.promoted_at.set_to_current_time()

    def _gauge(self) -> int:
        lag = self._feed.lag()
        for topic, events in lag.items():
            self._metrics.lag.labels(topic).set(events)
        self._metrics.items.set(len(self._learner.item_ids))
        self._metrics.users.set(sum(arena.users for arena in self._states.values()))
        return sum(lag.values())

    def snapshot(self) -> None:
        """Keep everything as of now, then show in the group's offsets how far that is."""
        with self._metrics.stage.labels("snapshot").time():
            self._learn()
            offsets: dict[str, dict[int, int]] = {}
            for (topic, partition), offset in self._feed.offsets().items():
                offsets.setdefault(topic, {})[partition] = offset
            progress = Progress(self._base, self._publisher.served.version, offsets)
            self._snapshots.write(Snapshot(progress, self._learner.state(), self._held_out.clicks(), self._states))
            self._feed.commit()
        self._metrics.snapshot_at.set_to_current_time()
        log.info("snapshot taken", events=sum(sum(of.values()) for of in offsets.values()))
