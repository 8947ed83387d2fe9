"""What producers send of their items: one JSON object a record on `interest.items`, keyed by item id and compacted.

Fields that are not named here are ignored, and an optional one may be null. A record without a value (a tombstone), or
with `deleted: true`, withdraws the item.
"""

import msgspec

from model_store.catalog.text import ItemText
from stream_app.contracts.cloud_events import Contents
from stream_app.contracts.reasons import Reason
from stream_app.contracts.validity import (
    UNDECODABLE,
    Fault,
    Record,
    Rejected,
    clipped,
    decoding_fault,
    id_fault,
    value_of,
)

MAX_VALUE_BYTES = 65_536
MAX_TITLE, MAX_TAGS, MAX_TAG = 1_000, 100, 200
EARLIEST_MS, LATEST_MS = -62_135_596_800_000, 253_402_300_799_999
"""The years 1 to 9999, as most languages' dates have them: books are older than 1970, and what is announced is dated
ahead."""

CONTENTS = Contents("interest.item.v1", id="", time="", subject="item_id")


class Item(msgspec.Struct, frozen=True):
    """An item as its producer describes it; `published_at` in milliseconds, UTC."""

    item_id: str
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    creator_id: str = ""
    published_at: int = 0
    deleted: bool = False

    @property
    def text(self) -> ItemText:
        """What encoders and language models get of it."""
        return ItemText(self.item_id, self.title, self.description, self.tags)


class SentItem(msgspec.Struct, frozen=True):
    """An item as its producer describes it; the same id again edits the item. No value, or `deleted`, withdraws it.

    Attributes:
        item_id: which; also the record's Kafka key.
        title: what people see; needed unless the item is withdrawn.
        description: what language models read.
        tags: what the producer calls it, in a few words.
        creator_id: who made it, as follows name creators.
        published_at: milliseconds since 1970, UTC; years 1 to 9999.
        deleted: true withdraws the item.

    Example:
        {"item_id": "i7", "title": "Seven Samurai", "tags": ["drama", "war"], "creator_id": "kurosawa",
         "published_at": -495763200000}
    """

    item_id: str
    title: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None
    creator_id: str | None = None
    published_at: int | None = None
    deleted: bool | None = None

    def item(self) -> Item:
        return Item(
            self.item_id,
            self.title or "",
            self.description or "",
            self.tags or (),
            self.creator_id or "",
            self.published_at or 0,
            bool(self.deleted),
        )


_decoder = msgspec.json.Decoder(SentItem)


def judge_item(record: Record) -> Item | Rejected:
    """The item, or why it is none; the first fault found counts. Never raises over what is in the record."""
    value = record.value
    if value is not None and len(value) > MAX_VALUE_BYTES:
        told = f"the value has {len(value):,} bytes, allowed are {MAX_VALUE_BYTES:,}"
        return Rejected(Reason.TOO_LARGE, told, record)
    try:
        item = _withdrawn(record) if value is None else _decoder.decode(value_of(record, CONTENTS)).item()
    except UnicodeDecodeError as error:
        where = "the value is" if value is not None else "the key of a record without a value is"
        return Rejected(Reason.NOT_JSON if value is not None else Reason.BAD_ID, f"{where} no UTF-8: {error}", record)
    except UNDECODABLE as error:
        return Rejected(*decoding_fault(error), record)
    fault = _id_fault(item) or _key_fault(item, record.key) or (None if item.deleted else _content_fault(item))
    return Rejected(*fault, record) if fault else item


def _withdrawn(record: Record) -> Item:
    return Item((record.key or b"").decode(), deleted=True)


def _id_fault(item: Item) -> Fault:
    return id_fault("item_id", item.item_id) or (id_fault("creator_id", item.creator_id) if item.creator_id else None)


def _key_fault(item: Item, key: bytes | None) -> Fault:
    if key == item.item_id.encode():
        return None
    return Reason.KEY_MISMATCH, f"the key is {(key or b'')[:64]!r}, the item_id is {item.item_id!r}"


def _content_fault(item: Item) -> Fault:
    if not item.title.strip():
        return Reason.MISSING_FIELD, "an item that is not deleted needs a title"
    if not EARLIEST_MS <= item.published_at <= LATEST_MS:
        told = f"published_at is {clipped(str(item.published_at))}, outside the years 1 to 9999 in milliseconds"
        return Reason.TS_INVALID, told
    if len(item.title) > MAX_TITLE or len(item.tags) > MAX_TAGS or max(map(len, item.tags), default=0) > MAX_TAG:
        told = f"at most {MAX_TITLE:,} characters of title and {MAX_TAGS} tags of {MAX_TAG} characters are allowed"
        return Reason.TOO_LARGE, told
    return None
