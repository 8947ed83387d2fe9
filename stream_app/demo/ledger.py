"""What was sent and what came of it, item by item: where a scenario's figures are counted.

Moments are of the wall clock of this machine, milliseconds UTC: when a record was handed to the producer, and when a
worker made a recommendation. Ages of items are by event time.
"""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import numpy as np

from stream_app.contracts.items import Item
from stream_app.contracts.knowledge import Knowledge
from stream_app.contracts.recommendations import Recommendation
from stream_app.sources import Record

WORD_MS = 5_000
"""A word on an item has reached all recommendations after so long: `models.poll_s` by default, which is most of it."""
RECENT_LISTS = 400

_item = msgspec.json.Decoder(Item).decode


class _Click(msgspec.Struct, frozen=True):
    item_id: str


_click = msgspec.json.Decoder(_Click).decode


@dataclass(slots=True)
class Trace:
    """What became of an item; None for what has not happened. `standing`: it was there before anything was played."""

    title: str
    creator_id: str
    topics: tuple[str, ...]
    published_ms: int
    standing: bool
    told_ms: int | None = None
    clicked_ms: int | None = None
    offered_ms: int | None = None
    withdrawn_ms: int | None = None

    @property
    def is_new(self) -> bool:
        """It appeared while it was played."""
        return not self.standing

    @property
    def offered_first(self) -> bool:
        """It was recommended to somebody before anybody had clicked it."""
        return self.offered_ms is not None and (self.clicked_ms is None or self.offered_ms < self.clicked_ms)


class Ledger:
    """Written by the threads that send and listen, read by the one that shows; `lock` for who reads traces."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.traces: dict[str, Trace] = {}
        self.now_ms = 0
        """Event time of what was sent last."""
        self.lists = self.withdrawn = self.after_withdrawal = self.before_heard = 0
        """Recommendations read; items withdrawn; how often one was recommended later than `WORD_MS` after its
        withdrawal was sent, and how often within it."""
        self.slowest_word_ms = 0
        """Longest time between a withdrawal and a recommendation of that item."""
        self._ages_ms: list[int] = []
        self._recent_ages: deque[list[int]] = deque(maxlen=RECENT_LISTS)
        self._said: dict[str, bool] = {}
        self._heard: dict[str, bool] = {}

    def sent(self, record: Record, now_ms: int, *, standing: bool = False) -> None:
        """A record goes to the producer at `now_ms`."""
        with self.lock:
            self.now_ms = max(self.now_ms, record.ts_ms)
            if record.kind == "item":
                self._said_of(_item(record.value), now_ms, standing)
            elif record.kind == "click":
                trace = self.traces.get(_click(record.value).item_id)
                if trace is not None and trace.clicked_ms is None:
                    trace.clicked_ms = now_ms

    def heard(self, knowledge: Knowledge) -> None:
        """The catalogue service tells of an item."""
        with self.lock:
            self._heard[knowledge.item_id] = knowledge.deleted

    def offered(self, made: Recommendation) -> None:
        """A worker has recommended."""
        with self.lock:
            self.lists += 1
            ages = []
            for item in made.items:
                trace = self.traces.get(item.item_id)
                if trace is not None:
                    ages.append(max(0, made.trigger.ts - trace.published_ms))
                    self._offered(trace, made.generated_at)
            self._ages_ms += ages
            self._recent_ages.append(ages)

    @property
    def words(self) -> int:
        """Items of which something was said."""
        return len(self._said)

    def unheard(self) -> int:
        """Items of which the catalogue service has not told yet what was said last."""
        with self.lock:
            return sum(self._heard.get(item) != gone for item, gone in self._said.items())

    def new(self) -> list[Trace]:
        """Items that appeared while it was played, in order of their publication."""
        with self.lock:
            return [trace for trace in self.traces.values() if trace.is_new]

    def alive(self) -> int:
        """Items that are there now."""
        with self.lock:
            return sum(trace.withdrawn_ms is None for trace in self.traces.values())

    def ages_ms(self, shares: tuple[float, ...]) -> list[float] | None:
        """Quantiles of the ages that items had when they were recommended; None before there are any."""
        with self.lock:
            return np.quantile(self._ages_ms, shares).tolist() if self._ages_ms else None

    def recent_ages_ms(self) -> list[int]:
        """Of the items of the last `RECENT_LISTS` recommendations."""
        with self.lock:
            return [age for ages in self._recent_ages for age in ages]

    def titles_of(self, items: Iterable[str]) -> dict[str, str]:
        """Of those that are known."""
        with self.lock:
            return {item: self.traces[item].title for item in items if item in self.traces}

    def _said_of(self, item: Item, now_ms: int, standing: bool) -> None:
        self._said[item.item_id] = item.deleted
        trace = self.traces.get(item.item_id)
        if not item.deleted:
            self.traces[item.item_id] = Trace(
                item.title, item.creator_id, item.tags, item.published_at, standing, told_ms=now_ms
            )
        elif trace is None:  # it was withdrawn before anything was played
            self.traces[item.item_id] = Trace("", "", (), 0, standing, withdrawn_ms=now_ms)
        elif trace.withdrawn_ms is None:
            trace.withdrawn_ms = now_ms
            self.withdrawn += 1

    def _offered(self, trace: Trace, at_ms: int) -> None:
        if trace.offered_ms is None or at_ms < trace.offered_ms:
            trace.offered_ms = at_ms
        if trace.withdrawn_ms is None or at_ms <= trace.withdrawn_ms:
            return
        late_ms = at_ms - trace.withdrawn_ms
        self.slowest_word_ms = max(self.slowest_word_ms, late_ms)
        if late_ms > WORD_MS:
            self.after_withdrawal += 1
        else:
            self.before_heard += 1
