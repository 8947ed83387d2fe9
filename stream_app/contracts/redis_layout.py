"""The keys and fields that services read in Redis. Public and versioned: a change that breaks a reader raises
`LAYOUT_VERSION`, which `interest:model` carries in its field `layout`. `deploy/docs/redis-layout.md` is the page for
those who read them.

| key                  | type   | content                                                                   |
| -------------------- | ------ | ------------------------------------------------------------------------- |
| `interest:{user_id}` | hash   | what a user is interested in, the fields of `Field`                       |
| `rec:{user_id}`      | string | the latest recommendation event, JSON                                     |
| `interest:model`     | hash   | the model that is in use, the fields of `ModelField`                      |
| `interest:serving`   | string | which generation to read, JSON (`generations.Serving`); without it the 1st |
| `item:{item_id}`     | hash   | what is known of an item, the fields of `ItemField`; of all generations   |
| the same             | hash   | and where the model has it, the fields of `PlaceField`                    |
| `item:vectors`       | vector set | the items as elements that are ranked by their score, `item_vectors`; where |
|                      |        | the server has vector sets (Redis from 8.0 on)                            |
| `item:bound:{item:vectors}` | string | the one length of all its elements, decimal                        |
| `interest:followee:{hash}` | string | of workers alone: the user whom others follow under that hash       |

The braces are part of the keys: Redis Cluster hashes what is between them, so a user's keys lie in one slot.
Those are the keys of the first generation. The others have a prefix before the brace, `interest:g2:{user_id}`,
`rec:g2:{user_id}` and `interest:g2:model`, and are read once `interest:serving` names it. Where a later generation's
model has an item stands in a hash beside it, `item:g2:{item_id}`, and its elements in `item:g2:vectors`. In
a Redis Cluster a vector set lies on one node.
"""

from enum import StrEnum

import msgspec

from model_store.state.layout import DIM
from stream_app.contracts.generations import FIRST, prefix_of

LAYOUT_VERSION = 1
FACETS = ("vector", "behaviour", "social", "content")
VECTOR_BYTES = 4 * DIM
TOP_TOPICS = 10

_INTEREST, _REC, _ITEM, _OPEN, _CLOSE = b"interest:", b"rec:", b"item:", b"{", b"}"
_ESCAPED = {b"}": b"%7D", b"%": b"%25"}
_UNESCAPED = {escaped: first for first, escaped in _ESCAPED.items()}


class Field(StrEnum):
    """Fields of `interest:{user_id}`. An erased user has `generation` and `version` only, for a short while."""

    VECTOR = "vector"  # little-endian float32 [dimension], the fused interest
    BEHAVIOUR = "behaviour"  # the same shape, from clicks and ratings
    SOCIAL = "social"  # from follows
    CONTENT = "content"  # from the texts of the items
    TOPICS = "topics"  # JSON object, name -> weight of the TOP_TOPICS largest topics in that order; weights sum to 1
    WINDOWS = "windows"  # JSON object, "1h" -> {clicks, dwell_ms, ratings, rating_mean, follows}, "24h", "7d", "30d"
    UPDATED_AT = "updated_at"  # wall-clock ms of the write
    EVENT_TS = "event_ts"  # latest event time applied, ms
    EVENTS = "events"  # events applied since the last erasure
    GENERATION = "generation"  # of the state; counts before `version`
    VERSION = "version"  # events taken in ever; never goes backwards within a generation
    MODEL = "model"  # the model version that made the vectors


class ModelField(StrEnum):
    """Fields of `interest:model`."""

    VERSION = "version"
    GENERATION = "generation"
    DIMENSION = "dimension"  # of each vector
    TOPICS = "topics"  # JSON array of all topic names, in the order of the model's outputs
    LAYOUT = "layout"
    UPDATED_AT = "updated_at"


class ItemField(StrEnum):
    """Fields of `item:{item_id}`. It has no time to live: an item that nobody touches is in the catalogue all the same.
    When the item is deleted, the key goes."""

    TITLE = "title"
    TOPICS = "topics"  # JSON object, name -> weight, heaviest first; weights sum to 1
    AUDIENCE = "audience"  # one line, whom it is for; empty where nobody has said
    MOOD = "mood"  # one or two words, likewise
    CREATOR = "creator_id"
    PUBLISHED_AT = "published_at"  # ms; 0 where nobody has said
    CONTENT = "content"  # the encoder's vector, little-endian float32; empty where the text says nothing
    ENCODER = "encoder"  # whose it is: those of two encoders cannot be compared
    UPDATED_AT = "updated_at"  # wall-clock ms of what is known


class PlaceField(StrEnum):
    """Where an item lies in the space of a generation's `interest:{user_id}` vectors: the larger their product plus the
    bias, the likelier the user takes the item up. Absent until the catalogue service has met a served version."""

    VECTOR = "vector"  # little-endian float32 [dimension]
    BIAS = "bias"  # decimal
    MODEL = "model"  # the version that the two are of; later ones with the same values do not change it


class ModelCard(msgspec.Struct, frozen=True):
    """What `interest:model` says: how to read every user's hash."""

    version: str
    topics: tuple[str, ...]
    dimension: int = DIM
    generation: int = 0
    layout: int = LAYOUT_VERSION


def model_key(generation: int = FIRST) -> bytes:
    """Key of the model card."""
    return _INTEREST + prefix_of(generation).encode() + b"model"


def interest_key(user_id: bytes, generation: int = FIRST) -> bytes:
    """Key of the user's hash."""
    return _opening(_INTEREST, generation) + _tagged(user_id) + _CLOSE


def user_of(key: bytes) -> bytes:
    """The user id of an `interest_key`."""
    tagged = key.partition(_OPEN)[2].removesuffix(_CLOSE)
    first = _UNESCAPED.get(tagged[:3])
    return first + tagged[3:] if first else tagged


def recommendation_key(user_id: bytes, generation: int = FIRST) -> bytes:
    """Key of the user's latest recommendation."""
    return _opening(_REC, generation) + _tagged(user_id) + _CLOSE


def item_key(item_id: bytes) -> bytes:
    """Key of what is known of an item."""
    return _ITEM + _OPEN + _tagged(item_id) + _CLOSE


def place_key(item_id: bytes, generation: int = FIRST) -> bytes:
    """Key of where a generation's model has the item; the first one's is `item_key`."""
    return _opening(_ITEM, generation) + _tagged(item_id) + _CLOSE


def vectors_key(generation: int = FIRST) -> bytes:
    """Key of the vector set of items."""
    return _ITEM + prefix_of(generation).encode() + b"vectors"


def bound_key(generation: int = FIRST) -> bytes:
    """Key of the bound of `vectors_key`, in the same slot."""
    return b"item:bound:{%b}" % vectors_key(generation)


def building_key(generation: int, token: bytes) -> bytes:
    """Key of a vector set that is to become `vectors_key`, in the same slot; `token`: whoever builds it."""
    return b"item:building:%b:{%b}" % (token, vectors_key(generation))


def interest_keys(user_ids: list[bytes], generation: int = FIRST) -> list[bytes]:
    """`interest_key` of many."""
    opening = _opening(_INTEREST, generation)
    return [
        opening + user + _CLOSE if user[:1] not in _ESCAPED else interest_key(user, generation) for user in user_ids
    ]


def everybody(generation: int = FIRST) -> bytes:
    """Pattern of all users' hashes, for SCAN."""
    return _opening(_INTEREST, generation) + b"*" + _CLOSE


def every_recommendation(generation: int = FIRST) -> bytes:
    """Pattern of all users' latest recommendations, for SCAN."""
    return _opening(_REC, generation) + b"*" + _CLOSE


def every_place(generation: int = FIRST) -> bytes:
    """Pattern of where a generation's model has each item, for SCAN; the first one's are all items' hashes."""
    return _opening(_ITEM, generation) + b"*" + _CLOSE


def _opening(kind: bytes, generation: int) -> bytes:
    return kind + prefix_of(generation).encode() + _OPEN


def _tagged(user_id: bytes) -> bytes:
    # An id that begins with a closing brace would leave nothing between the braces, and Redis Cluster would then put
    # the user's two keys into two slots: such a first character is written as in a URL. So is a first percent sign,
    # or another user's id could look the same.
    first = user_id[:1]
    return _ESCAPED[first] + user_id[1:] if first in _ESCAPED else user_id


def followee_key(target: int) -> bytes:
    """Key of the name of a followed user. A state keeps a hash of whom its user follows; this tells whose it is."""
    return b"interest:followee:{%016x}" % target


def model_fields(card: ModelCard, updated_at_ms: int) -> dict[str, bytes]:
    """The hash at `interest:model`."""
    return {
        ModelField.VERSION: card.version.encode(),
        ModelField.GENERATION: str(card.generation).encode(),
        ModelField.DIMENSION: str(card.dimension).encode(),
        ModelField.TOPICS: msgspec.json.encode(card.topics),
        ModelField.LAYOUT: str(card.layout).encode(),
        ModelField.UPDATED_AT: str(updated_at_ms).encode(),
    }
