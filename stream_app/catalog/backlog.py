"""Words on items that wait to be described: which of them count, which goes next, what may be committed."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """The place of one word in the items topic; the word itself stays in Kafka."""

    item: str
    partition: int
    offset: int


@dataclass(slots=True)
class _Partition:
    """`next`: offset of what is heard next; `waiting`: what was put, in that order, done or not."""

    next: int
    waiting: deque[Entry] = field(default_factory=deque)


class Backlog:
    """Of the latest words on items those that are not done. 210 bytes an item whose id has 17 characters.

    A later word on an item takes the earlier one's turn. Edits of what readers see already go before new items; while
    both wait each gets half of what is taken, so neither waits for ever.
    """

    def __init__(self, starts: Mapping[int, int] | None = None) -> None:
        """`starts`: offset by partition from which on words are heard."""
        self._partitions = {partition: _Partition(offset) for partition, offset in (starts or {}).items()}
        self._latest: dict[str, Entry] = {}
        self._edits: deque[str] = deque()
        self._new: deque[str] = deque()
        self._taken: set[str] = set()

    def __len__(self) -> int:
        return len(self._latest)

    def put(self, entry: Entry, *, edits: bool) -> None:
        """The latest word on an item; `edits`: readers see another text of it now."""
        item = entry.item
        if item not in self._latest or item in self._taken:
            (self._edits if edits or item in self._taken else self._new).append(item)
        self._taken.discard(item)
        self._latest[item] = entry
        self._partitions[entry.partition].waiting.append(entry)

    def drop(self, items: Iterable[str]) -> None:
        """A later word on these needs no turn: earlier ones count no more."""
        for item in items:
            self._latest.pop(item, None)
            self._taken.discard(item)

    def heard(self, nexts: Mapping[int, int]) -> None:
        """All before these offsets is put, or is done without a turn; what is put already may lie behind them."""
        for partition, offset in nexts.items():
            self._partitions[partition].next = offset

    def take(self, most: int) -> list[Entry]:
        """At most so many, which are to be given to `done` one day."""
        edits = self._next(self._edits, most - most // 2 if self._new else most)
        new = self._next(self._new, most - len(edits))
        return [*edits, *new, *self._next(self._edits, most - len(edits) - len(new))]

    def _next(self, turns: deque[str], most: int) -> list[Entry]:
        found: list[Entry] = []
        while turns and len(found) < most:
            item = turns.popleft()
            if item in self._latest and item not in self._taken:
                self._taken.add(item)
                found.append(self._latest[item])
        return found

    def counts(self, entry: Entry) -> bool:
        """Whether no later word on the item was heard since."""
        return self._latest.get(entry.item) is entry

    def done(self, entries: Iterable[Entry]) -> None:
        """These need no turn any more."""
        self.drop([entry.item for entry in entries if self.counts(entry)])

    def committable(self) -> dict[int, int]:
        """By partition the offset before which everything is done."""
        return {partition: self._first(of) for partition, of in self._partitions.items()}

    def _first(self, of: _Partition) -> int:
        while of.waiting and not self.counts(of.waiting[0]):
            of.waiting.popleft()
        return min(of.next, of.waiting[0].offset) if of.waiting else of.next
