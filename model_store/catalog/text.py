"""What an item says of itself, as encoders and language models get it."""

import hashlib
import unicodedata
from dataclasses import dataclass

import msgspec

HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class ItemText:
    """The text of an item in its producer's words; it may be in any language, and hostile."""

    item_id: str
    title: str
    description: str = ""
    tags: tuple[str, ...] = ()

    def plain(self) -> str:
        """Title, tags and description as one text in Unicode's NFKC form, for an encoder; the same for the same fields,
        whatever the item's id."""
        parts = (self.title, ", ".join(self.tags), self.description)
        return ". ".join(unicodedata.normalize("NFKC", part).strip() for part in parts if part.strip())

    def content_hash(self) -> str:
        """Of title, description and tags in their order, 32 hexadecimal digits; items with the same text share it."""
        text = msgspec.json.encode([self.title, self.description, self.tags])
        return hashlib.blake2b(text, digest_size=HASH_BYTES).hexdigest()
