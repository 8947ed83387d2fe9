"""Where events to be checked come from, in helpings: lines of a file, records of a topic."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice

from stream_app.checking.arrivals import Arrival, from_line, from_record
from stream_app.contracts.validity import Limits
from stream_app.recorded import partitions, reader, to_the_end
from stream_app.settings import Settings, Topics

HELPING = 2_000
Helpings = Iterator[list[Arrival]]


def of_lines(lines: Iterable[bytes], kind: str, most: int | None) -> Helpings:
    """One event a line, empty ones left out; at most `most` of them. `kind`: of all, "" where each says it."""
    arrivals = islice((from_line(line, number, kind) for number, line in enumerate(lines, 1) if line.strip()), most)
    while helping := list(islice(arrivals, HELPING)):
        yield helping


def of_topic(settings: Settings, topic: str, kind: str, last: int | None, most: int | None) -> Helpings:
    """The records that the topic holds now; with `last` about the last so many, the same number of each partition.

    Raises `RecordedError`, `KafkaUnreachableError`.
    """
    with closing(reader(settings)) as consumer:
        at = partitions(consumer, topic)
        first, end = consumer.beginning_offsets(at), consumer.end_offsets(at)
        share = max(end.values(), default=0) if last is None else -(-last // len(at))
        starts = {one: max(first[one], end[one] - share) for one in at}
        left = most
        for _, records in to_the_end(consumer, starts, lambda _: None):
            yield [from_record(record, kind) for record in records[:left]]
            if left is not None:
                left -= len(records)
                if left <= 0:
                    return


def limits_in(settings: Settings, topic: str, limits: Limits) -> Limits:
    """With as many partitions as the topic has."""
    with closing(reader(settings)) as consumer:
        return replace(limits, partitions=len(partitions(consumer, topic)))


def kind_of_topic(topic: str, topics: Topics) -> str:
    """What a topic carries by its name, "" for another one's."""
    kinds = dict(zip((*topics.inputs, topics.items), ("click", "follow", "rating", "erasure", "item"), strict=True))
    return kinds.get(topic, "")
