"""What the knowledge topic carries: what is known of an item, one JSON object an item, keyed by item id and compacted.

The catalogue service writes it; workers, the trainer and whoever else likes follow it. Of a deleted item a record
stays: a tombstone would be gone some day, and with it all knowledge that the item must not be recommended again.

Which of two records about an item is the older one is told by where its producer's word stands in the items topic, not
by the order in which they lie here and not by a clock: a process that was frozen wakes up and writes what it has found
out about an old word, at a new time. Readers take no record that is `older_than` the one that they have.
"""

import base64
import binascii

import msgspec
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


class Knowledge(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of an item.

    Attributes:
        item_id, title: as its producer says.
        creator_id: likewise; "" where nobody said.
        published_at: likewise, milliseconds UTC; 0 where nobody said.
        content_hash: of the text that all this was made from (`ItemText.content_hash`).
        encoder: name of what made the vectors; those of two encoders cannot be compared.
        vector: of the text, see `packed`; "" where the encoder refused it.
        origin: the same of the first text that the item had, where that was another one: users' states have summed it,
            and go on doing so until the next generation.
        topics: name -> weight, heaviest first; the weights sum to 1.
        audience: one line, whom it is for.
        mood: one or two words.
        related: concepts close to it.
        source: who says topics, audience, mood and related.
        made_at: milliseconds UTC.
        deleted: its producer has withdrawn it. What users' states may have summed of it stays: encoder, origin (also
            where the item never had another vector) and topics; nothing else does.
        log, offset: where its producer's word stands: one partition of one items topic, and the place in it; "" where
            nobody said. Places in two logs cannot be compared.

    Example:
        {"item_id": "i7", "made_at": 1790000000000, "title": "Seven Samurai", "content_hash": "5f1c",
         "encoder": "hashing:3", "vector": "ADwAvA==", "topics": {"War": 0.6, "Drama": 0.4},
         "source": "tags", "log": "items-0", "offset": 12}
    """

    item_id: str
    made_at: int
    title: str = ""
    content_hash: str = ""
    encoder: str = ""
    creator_id: str = ""
    published_at: int = 0
    vector: str = ""
    origin: str = ""
    topics: dict[str, float] = {}
    audience: str = ""
    mood: str = ""
    related: tuple[str, ...] = ()
    source: str = ""
    deleted: bool = False
    log: str = ""
    offset: int = 0

    def older_than(self, other: "Knowledge") -> bool:
        """Whether this is of an earlier word on the same item than the other one."""
        return self.log == other.log != "" and self.offset < other.offset


def deleted(item_id: str, made_at: int, before: Knowledge | None = None, log: str = "", offset: int = 0) -> Knowledge:
    """That an item was withdrawn, of which `before` was known."""
    gone = Knowledge(item_id, made_at, deleted=True, log=log, offset=offset)
    if before is None:
        return gone
    return msgspec.structs.replace(
        gone, encoder=before.encoder, origin=before.origin or before.vector, topics=before.topics
    )


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Knowledge)


def encode(knowledge: Knowledge) -> bytes:
    """The record's value."""
    return _encoder.encode(knowledge)


def decode(value: bytes) -> Knowledge:
    """The other way. Raises ValueError, which says what is wrong, for what is no knowledge."""
    try:
        return _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ValueError(f"no knowledge of an item: {str(error)[:200]}") from error


def packed(vector: Float32) -> str:
    """A vector (float32 [d]) as text: little-endian float16 in Base64, 2.7 bytes a component."""
    return base64.b64encode(vector.astype("<f2").tobytes()).decode("ascii")


def unpacked(text: str) -> Float32:
    """float32 [d] of what `packed` made; empty for an empty text. Raises ValueError for anything else, and for a vector
    that is not finite."""
    try:
        vector = np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"no vector: {error}") from error
    if not np.isfinite(vector).all():
        raise ValueError("a vector that is not finite")
    return vector
