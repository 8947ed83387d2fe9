"""What the catalogue has told so far, as a model of one generation reads it.

The knowledge topic is followed from its beginning, in no group: whoever reads states or writes them needs all of it.
"""

import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError
from prometheus_client import Counter, Gauge

from model_store.state.content import BY_TOPICS, ContentSpace, Told
from model_store.state.hashing import hash_ids
from model_store.state.layout import FACET_DIM
from model_store.state.writes import WriteTable
from stream_app.access import kafka_options
from stream_app.contracts.knowledge import Knowledge, decode, deleted, unpacked
from stream_app.reaching import reaching
from stream_app.settings import Settings

if TYPE_CHECKING:
    from model_store.catalog.index import ItemIndex
    from model_store.model import InterestModel  # imports TensorFlow, which the catalogue service does without

log = structlog.get_logger(__name__)

Float32 = npt.NDArray[np.float32]

POLL_RECORDS = 5_000
_WAIT_S = 0.1
_SAY_S = 3.0
_STALL_S = 60.0
_ROOM = 1024
_FETCH_BYTES = 8 << 20


class Shelf:
    """Items by their ids, as rows of columns that grow.

    Where content is by topics, what states sum follows an edit of an item's topics; an encoder's vectors have an
    `origin`, which stays.

    Attributes:
        topics: of the model, in the order of their shares.
        unreadable: records that were no knowledge; of such an item stays what was known before.
        foreign: records by another encoder than the generation's; their vectors say nothing to it.
    """

    def __init__(self, space: ContentSpace, topics: tuple[str, ...], *, vectors: bool = False) -> None:
        """`space`: of the generation; `topics`: of the model; `vectors`: whether the encoder's are kept as well, for
        who compares items."""
        self._space, self.topics = space, topics
        self._rows: dict[str, int] = {}
        self._titles: list[str] = []
        self._creators: dict[str, str] = {}
        self._deleted: dict[str, tuple[int, int]] = {}  # log and offset, as in the two columns
        self._logs = {"": 0}
        self._log = np.zeros(_ROOM, np.int32)
        self._offset = np.zeros(_ROOM, np.int64)
        self._content = np.zeros((_ROOM, FACET_DIM), np.float32)
        self._shares = np.zeros((_ROOM, len(topics)), np.float32)
        self._vectors = np.zeros((_ROOM, len(space.mean) if vectors else 0), np.float16)
        self._written: dict[str, Float32] = {}  # of those whose text has changed since states first summed it
        self.unreadable = self.foreign = 0

    def __len__(self) -> int:
        """Items that are not deleted."""
        return len(self._rows) - len(self._deleted.keys() & self._rows.keys())

    def take(self, key: bytes | None, value: bytes | None) -> str | None:
        """Take in one record, in the order of its partition. Returns whose it was; None if it said nothing."""
        try:
            return self.put(decode(value) if value is not None else deleted((key or b"").decode(), 0))
        except ValueError:  # UnicodeDecodeError is one
            self.unreadable += 1
            return None

    def put(self, knowledge: Knowledge) -> str | None:
        """Take in what is known of an item; returns whose it is, None if something later is known. Raises ValueError,
        and keeps what was known, where its vectors are none of the encoder's."""
        item, at = knowledge.item_id, (self._logs.setdefault(knowledge.log, len(self._logs)), knowledge.offset)
        if self._is_late(item, at):
            return None
        if knowledge.deleted:
            self._deleted[item] = at
            if item not in self._rows:
                with suppress(ValueError):  # then nobody here has summed it
                    self._remember(knowledge)
        else:
            self._describe(knowledge)
            self._log[self._rows[item]], self._offset[self._rows[item]] = at
            self._deleted.pop(item, None)
        return item

    def _is_late(self, item: str, at: tuple[int, int]) -> bool:
        """See `Knowledge.older_than`."""
        row = self._rows.get(item, -1)
        log, offset = self._deleted.get(item) or (self._log[row], self._offset[row])
        known = item in self._deleted or row >= 0
        return bool(known and log == at[0] != self._logs[""] and offset > at[1])

    def _remember(self, gone: Knowledge) -> None:
        """What states have summed of a deleted item."""
        if gone.origin or gone.topics:
            self._describe(gone)

    def told(self) -> Told:
        """What is said of all items that are not deleted."""
        return self._told([item for item in self._rows if item not in self._deleted])

    def told_of(self, ids: Iterable[str]) -> Told:
        """What is said of those of some items that are here, and not deleted."""
        return self._told([item for item in ids if item in self._rows and item not in self._deleted])

    def deleted_of(self, ids: Iterable[str]) -> list[str]:
        """Those of some items that are deleted."""
        return [item for item in ids if item in self._deleted]

    def put_into(self, model: "InterestModel") -> "InterestModel":
        """The model that knows of these items as well, and recommends none of the deleted ones."""
        index, told = model.index, self.told()
        unlisted = np.flatnonzero(index.rows_of(hash_ids(told.ids).hash) < 0)
        if len(unlisted):
            index = index.joined(told.take(unlisted))
        if len(gone := self.withdrawn(index)):
            index = index.without(gone)
        return replace(
            model, index=index, writes=self.put_into_writes(model.writes), creators=self.creators_of(index.item_ids)
        )

    def withdrawn(self, index: "ItemIndex") -> npt.NDArray[np.int64]:
        """int64 [n]: rows of the items that it offers and that are deleted."""
        rows = index.rows_of(hash_ids(list(self._deleted)).hash)
        rows = rows[rows >= 0]
        return rows[index.bias[rows] > -np.inf]

    def creators_of(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Whose each of some items is, empty where nobody has said; nothing at all where that is so of every item."""
        return tuple(self._creators.get(item, "") for item in ids) if self._creators else ()

    def put_into_writes(self, writes: WriteTable, items: Iterable[str] | None = None) -> WriteTable:
        """The table that has all items as well, or some of them; deleted ones too: what they wrote is to be taken back.

        An item that it has writes what it wrote.
        """
        ids = [item for item in (self._rows if items is None else items) if item in self._rows]
        hashes = hash_ids(ids).hash
        new = np.flatnonzero(writes.rows(hashes) < 0)
        return writes.joined(hashes[new], self._written_of([ids[row] for row in new.tolist()])) if len(new) else writes

    def _describe(self, knowledge: Knowledge) -> None:
        shares = self._shares_of(knowledge)
        content = self._coordinates(knowledge, knowledge.vector, shares)
        written = self._coordinates(knowledge, knowledge.origin, shares) if knowledge.origin else content
        item = knowledge.item_id
        row = self._rows.setdefault(item, len(self._rows))
        self._make_room()
        if row == len(self._titles):
            self._titles.append("")
        self._titles[row] = knowledge.title
        self._creators.pop(item, None)
        if knowledge.creator_id:
            self._creators[item] = sys.intern(knowledge.creator_id)
        self._content[row], self._shares[row] = content, shares
        if self._vectors.shape[1]:
            vector = unpacked(knowledge.vector) if knowledge.encoder == self._space.encoder else content[:0]
            self._vectors[row] = vector if len(vector) else 0
        self._written.pop(item, None)
        if knowledge.origin:
            self._written[item] = written

    def _make_room(self) -> None:
        if len(self._rows) > len(self._content):
            self._content, self._shares, self._vectors, self._log, self._offset = (
                np.concatenate([column, np.zeros_like(column)])
                for column in (self._content, self._shares, self._vectors, self._log, self._offset)
            )

    def _told(self, ids: list[str]) -> Told:
        rows = [self._rows[item] for item in ids]
        titles, vectors = [self._titles[row] for row in rows], self._vectors[rows].astype(np.float32)
        return Told(ids, titles, self._content[rows], self._shares[rows], vectors)

    def _written_of(self, ids: list[str]) -> Float32:
        """float32 [n, FACET_DIM]."""
        found: Float32 = self._content[[self._rows[item] for item in ids]]
        for place, item in enumerate(ids):
            if item in self._written:
                found[place] = self._written[item]
        return found

    def _shares_of(self, knowledge: Knowledge) -> Float32:
        weights = np.array([knowledge.topics.get(topic, 0.0) for topic in self.topics], np.float32)
        total = float(weights.sum())
        shares: Float32 = weights / np.float32(total) if 0 < total < np.inf else np.zeros_like(weights)
        return shares

    def _coordinates(self, knowledge: Knowledge, text: str, shares: Float32) -> Float32:
        """float32 [FACET_DIM]."""
        vector, space = unpacked(text), self._space
        if space.encoder != BY_TOPICS:
            if len(vector) and knowledge.encoder != space.encoder:
                self.foreign += 1
                vector = vector[:0]
            if not len(vector):
                return np.zeros(FACET_DIM, np.float32)
            if len(vector) != len(space.mean):
                raise ValueError(f"{len(vector)} components, where {space.encoder} has {len(space.mean)}")
        coordinates: Float32 = space.coordinates(vector[None], shares[None])[0]
        return coordinates


def shelf_of(model: "InterestModel") -> Shelf:
    """An empty one, as this model's generation reads it."""
    return Shelf(model.writes.space, model.topics)


class Metrics(Protocol):
    """See `observability.catalogue_metrics`."""

    catalogue_items: Gauge
    knowledge_unused: Counter


class Taker(Protocol):
    """Who takes knowledge in: a `Shelf`, or another."""

    unreadable: int
    foreign: int

    def __len__(self) -> int: ...

    def take(self, key: bytes | None, value: bytes | None, /) -> str | None:
        """See `Shelf.take`."""


class KnowledgeFeed:
    """Hands the knowledge topic to who takes it in. One thread at a time."""

    def __init__(self, settings: Settings, taker: Taker, metrics: Metrics) -> None:
        """Raises `KafkaUnreachableError`."""
        self._taker, self._topic, self._metrics = taker, settings.kafka.topics.knowledge, metrics
        with reaching(settings, KafkaError, ValueError):
            self._consumer = KafkaConsumer(
                bootstrap_servers=settings.kafka.bootstrap.split(","),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                max_partition_fetch_bytes=_FETCH_BYTES,
                fetch_max_bytes=_FETCH_BYTES,
                **kafka_options(settings.kafka),
            )
            partitions = self._consumer.partitions_for_topic(self._topic) or set()
        self._at = [TopicPartition(self._topic, partition) for partition in sorted(partitions)]
        self._consumer.assign(self._at)
        if self._at:
            self._consumer.seek_to_beginning(*self._at)

    def news(self, wait_s: float = _WAIT_S) -> set[str]:
        """Take in all that has come, waiting that long for more. Returns the items that it was about. What Kafka
        refuses now is tried again at the next call."""
        found: set[str] = set()
        try:
            while items := self.poll(wait_s):
                found |= items
        except KafkaError as error:
            log.warning(
                "the knowledge topic cannot be read now, what was known stays", topic=self._topic, why=str(error)
            )
        return found

    def poll(self, timeout_s: float) -> set[str]:
        """Take in what has come, waiting for some no longer than `timeout_s`. Returns the items that it was about."""
        if not self._at:
            return set()
        fetched: dict[Any, list[Any]] = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=POLL_RECORDS)
        unreadable, foreign = self._taker.unreadable, self._taker.foreign
        changed = {self._taker.take(record.key, record.value) for records in fetched.values() for record in records}
        if self._taker.unreadable > unreadable:
            log.warning(
                "records of the knowledge topic cannot be read, what was known of those items stays",
                topic=self._topic, records=self._taker.unreadable - unreadable,
            )  # fmt: skip
        self._metrics.catalogue_items.set(len(self._taker))
        self._metrics.knowledge_unused.labels("unreadable").inc(self._taker.unreadable - unreadable)
        self._metrics.knowledge_unused.labels("foreign").inc(self._taker.foreign - foreign)
        return {item for item in changed if item is not None}

    def catch_up(self) -> set[str]:
        """Take in all that there is now, and say how far that is. Returns the items that it was about. Raises
        KafkaError."""
        ends = self._consumer.end_offsets(self._at) if self._at else {}
        items: set[str] = set()
        said_s = heard_s = time.monotonic()
        least: float = float("inf")
        while left := sum(ends[at] - self._consumer.position(at) for at in self._at if self._before(at, ends[at])):
            items |= self.poll(1.0)
            if left < least:
                least, heard_s = left, time.monotonic()
            elif time.monotonic() - heard_s > _STALL_S:
                raise KafkaTimeoutError(f"{self._topic} gave nothing for {_STALL_S:.0f} s, {left:,} records to go")
            if time.monotonic() - said_s > _SAY_S:
                said_s = time.monotonic()
                log.info("reading what the catalogue has told", items=len(items), records_left=left)
        return items

    def _before(self, at: TopicPartition, end: int) -> bool:
        return bool(self._consumer.position(at) < end)

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


def _rows(rows: list[Float32], width: int) -> Float32:
    return np.stack(rows) if rows else np.zeros((0, width), np.float32)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A shelf that fills (`versions.Catalogue`)."""

    shelf: Shelf
    feed: KnowledgeFeed

    @staticmethod
    def follow(settings: Settings, model: "InterestModel", metrics: Metrics) -> "Catalogue":
        """With all that was told so far. Raises `KafkaUnreachableError`, KafkaError."""
        shelf = shelf_of(model)
        catalogue = Catalogue(shelf, KnowledgeFeed(settings, shelf, metrics))
        catalogue.feed.catch_up()
        log.info("the catalogue is known", items=len(shelf))
        return catalogue

    def news(self) -> bool:
        """Whether anything was said since the last call."""
        return bool(self.feed.news())

    def put_into(self, model: "InterestModel") -> "InterestModel":
        """See `Shelf`."""
        return self.shelf.put_into(model)

    def withdrawn(self, index: "ItemIndex") -> npt.NDArray[np.int64]:
        """See `Shelf`."""
        return self.shelf.withdrawn(index)
