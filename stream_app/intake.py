"""From slabs to valid events: what a cycle applies, what it sets aside, and when it was published."""

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import msgspec
import numpy as np
import numpy.typing as npt

from model_store.state.batch import EventBatch
from model_store.state.followees import followee_hashes
from model_store.state.layout import Kind
from stream_app.contracts.decode import decode_records
from stream_app.contracts.pseudonyms import Naming
from stream_app.contracts.slab import Slab
from stream_app.contracts.validity import CONTENTS, Limits, Record, Rejected, value_of
from stream_app.settings import Settings


@dataclass(frozen=True, slots=True)
class Published:
    """Kafka timestamps of records that were decoded together: float64 [n], seconds."""

    kind: Kind
    at_s: npt.NDArray[np.float64]


@dataclass(slots=True)
class Intake:
    """The slabs of one cycle, decoded.

    Attributes:
        batches: for each partition its valid events; those of one topic in the order of their offsets.
        rejected: all others, with reasons.
        published: for the latency metric.
        events: valid and rejected ones.
        name: how users go by from here on.
        followees: the users whom they follow or unfollow, by the hash that a state keeps of them.
    """

    batches: dict[int, list[EventBatch]] = field(default_factory=lambda: defaultdict(list))
    rejected: list[tuple[Kind, Rejected]] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    events: int = 0
    name: Naming = bytes
    followees: dict[int, bytes] = field(default_factory=dict)

    def add(
        self, kind: Kind, records: Sequence[Record], limits: Limits, now_ms: int, known: Mapping[int, Container[bytes]]
    ) -> None:
        """Decode records of one topic, those of a partition together, and put the events where they belong."""
        decoded = decode_records(kind, records, limits, now_ms, known)
        self.events += len(records)
        self.rejected += [(kind, rejected) for rejected in decoded.rejected]
        if decoded.batch is not None:
            batch = decoded.batch.renamed(self.name)
            self._name_followees(batch, decoded.targets)
            start = 0
            for partition, run in groupby(decoded.partitions):
                stop = start + len(list(run))
                self.batches[partition].append(batch.part(start, stop))
                start = stop
            stamps = np.array([record.timestamp for record in records], np.float64)
            self.published.append(Published(kind, stamps / 1000.0))

    def _name_followees(self, batch: EventBatch, targets: Mapping[int, str]) -> None:
        """Whom they follow, too, goes by the other name: what a state keeps of it is the hash of that."""
        if targets:
            places, names = list(targets), [self.name(user.encode()) for user in targets.values()]
            hashes = followee_hashes(names)
            batch.item[places] = hashes
            self.followees |= zip(hashes.tolist(), names, strict=True)

    def joined(self) -> Iterator[tuple[int, EventBatch]]:
        """One batch for each partition."""
        for partition, batches in self.batches.items():
            yield partition, EventBatch.concat(batches)


def helpings(slabs: Sequence[Slab], size: int) -> Iterator[tuple[str, list[Record]]]:
    """The records of each topic in helpings of at most `size`, so that decoding does not hold the event loop.

    Small slabs share a helping; those of a partition stay together and in order.
    """
    by_topic: dict[str, list[Slab]] = defaultdict(list)
    for slab in slabs:
        by_topic[slab.topic].append(slab)
    for topic, mine in by_topic.items():
        mine.sort(key=lambda slab: slab.partition)  # stable: a partition's slabs keep their order
        records = [record for slab in mine for record in slab.records]
        for start in range(0, len(records), size):
            yield topic, records[start : start + size]


class _OfItem(msgspec.Struct):
    item_id: str


_of_item = msgspec.json.Decoder(_OfItem)


def item_ids(kind: Kind, records: Sequence[Record], offsets: Sequence[int]) -> list[str]:
    """The items of valid clicks or ratings, which a batch has only the hashes of; `records`: of their partition."""
    by_offset = {record.offset: record for record in records}
    return [_of_item.decode(value_of(by_offset[offset], CONTENTS[kind])).item_id for offset in offsets]


def kinds_by_topic(topics: tuple[str, str, str, str]) -> Mapping[str, Kind]:
    """Which kind of event an input topic carries."""
    return dict(zip(topics, Kind, strict=True))


def limits_of(settings: Settings) -> Limits:
    """What is taken for a valid event."""
    accept = settings.accept
    return Limits(
        partitions=settings.kafka.partitions,
        max_value_bytes=accept.max_value_bytes,
        max_future_ms=int(accept.max_future_s * 1000),
        max_dwell_ms=accept.max_dwell_ms,
    )
