"""What producers send of their items: one JSON object a record on `interest.items`, keyed by item id and compacted.

Fields that are not named here are ignored. A record without a value, or with `deleted: true`, withdraws the item.
"""

import msgspec

from model_store.catalog.text import ItemText
from stream_app.contracts.reasons import Reason
from stream_app.contracts.validity import CONTROL_CHARACTER, MAX_ID_BYTES, UNDECODABLE, Record, Rejected, decoding_fault

MAX_VALUE_BYTES = 65_536
MAX_TITLE, MAX_TAGS, MAX_TAG = 1_000, 100, 200


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


_decoder = msgspec.json.Decoder(Item)


def judge_item(record: Record) -> Item | Rejected:
    """The item, or why it is none; the first fault found counts. Never raises over what is in the record."""
    value = record.value
    if value is not None and len(value) > MAX_VALUE_BYTES:
        told = f"the value has {len(value):,} bytes, allowed are {MAX_VALUE_BYTES:,}"
        return Rejected(Reason.TOO_LARGE, told, record)
    try:
        item = Item((record.key or b"").decode(), deleted=True) if value is None else _decoder.decode(value)
    except UNDECODABLE as error:
        return Rejected(*decoding_fault(error), record)
    fault = _fault(item, record.key)
    return Rejected(*fault, record) if fault else item


def _fault(item: Item, key: bytes | None) -> tuple[Reason, str] | None:
    raw = item.item_id.encode()
    if not raw or len(raw) > MAX_ID_BYTES or CONTROL_CHARACTER.search(raw):
        return Reason.BAD_ID, f"item_id has {len(raw):,} bytes, 1 to {MAX_ID_BYTES} are allowed, no control characters"
    if key != raw:
        return Reason.KEY_MISMATCH, f"the key is {(key or b'')[:64]!r}, the item_id is {item.item_id!r}"
    if item.published_at < 0:
        return Reason.TS_INVALID, f"published_at is negative: {item.published_at}"
    if not item.deleted and not item.title.strip():
        return Reason.MISSING_FIELD, "an item that is not deleted needs a title"
    if len(item.title) > MAX_TITLE or len(item.tags) > MAX_TAGS or max(map(len, item.tags), default=0) > MAX_TAG:
        told = f"at most {MAX_TITLE:,} characters of title and {MAX_TAGS} tags of {MAX_TAG} characters are allowed"
        return Reason.TOO_LARGE, told
    return None
