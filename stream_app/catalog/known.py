"""What is known of items already, and what a new word of the producer changes of it."""

from enum import Enum

from stream_app.catalog.words import Word
from stream_app.contracts.knowledge import Knowledge, decode


class Change(Enum):
    """What is to be done about an item."""

    NOTHING = "known"
    FACTS = "updated"
    """Its text is what it was: nothing is asked of an encoder or a language model."""
    TEXT = "described"
    DELETED = "deleted"


class Known:
    """All knowledge, by item id, as it stands on its topic (`shelf.Taker`).

    Attributes:
        overtaken: items of whose records on the topic the last one is older than what is known: it is to be told again,
            before the others are compacted away.
    """

    def __init__(self) -> None:
        self.items: dict[str, Knowledge] = {}
        self.overtaken: set[str] = set()
        self.unreadable = self.foreign = 0

    def __len__(self) -> int:
        return sum(not knowledge.deleted for knowledge in self.items.values())

    def take(self, _key: bytes | None, value: bytes | None) -> str | None:
        """Take in one record, in the order of its partition. Returns whose it was; None if it said nothing new."""
        try:
            knowledge = decode(value or b"")
        except ValueError:
            self.unreadable += 1
            return None
        item, before = knowledge.item_id, self.items.get(knowledge.item_id)
        if before is not None and knowledge.older_than(before):
            self.overtaken.add(item)
            return None
        self.overtaken.discard(item)
        self.put(knowledge)
        return item

    def put(self, knowledge: Knowledge) -> None:
        """What was just found out."""
        self.items[knowledge.item_id] = knowledge

    def is_past(self, word: Word) -> bool:
        """Whether what is known is of a later word on that item."""
        known = self.items.get(word.item.item_id)
        return known is not None and known.log == word.log and known.offset > word.offset

    def change(self, word: Word, encoder: str) -> Change:
        """What the producer's word changes, where `encoder` makes the vectors."""
        item, known = word.item, self.items.get(word.item.item_id)
        if item.deleted:
            return Change.NOTHING if known and known.deleted else Change.DELETED
        if known is None or known.deleted or known.encoder != encoder:
            return Change.TEXT
        if known.content_hash != item.text.content_hash():
            return Change.TEXT
        same = (known.creator_id, known.published_at) == (item.creator_id, item.published_at)
        return Change.NOTHING if same else Change.FACTS

    def is_edited(self, word: Word, encoder: str) -> bool:
        """Whether readers see another text of the item now than the word has."""
        known = self.items.get(word.item.item_id)
        return known is not None and not known.deleted and known.encoder == encoder

    def origin(self, item_id: str, encoder: str, vector: str) -> str:
        """The packed vector that states sum for an item which has this one now; "" where it is the same. An item that
        was withdrawn and is back sums what it did."""
        known = self.items.get(item_id)
        if known is None or known.encoder != encoder:
            return ""
        first = known.origin or known.vector
        return "" if first == vector else first
