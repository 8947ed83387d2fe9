"""What the recommendations topic and `rec:{user_id}` carry: one JSON object for each recommendation event."""

from typing import Literal, NamedTuple

import msgspec

from stream_app.contracts.generations import FIRST

Facet = Literal["behaviour", "social", "content"]
TriggerKind = Literal["click", "follow", "rating"]


class Reason(msgspec.Struct, gc=False, frozen=True):
    """Why an item is shown.

    Attributes:
        facet: the dimension of interest that speaks for it most.
        topic: the topic of interest that does, null where none does.
        because_item: the item of the user's last clicks without which its score would be lowest, null where none
            raised it.
    """

    facet: Facet
    topic: str | None = None
    because_item: str | None = None


class Item(msgspec.Struct, gc=False, frozen=True):
    """A recommended item.

    Attributes:
        item_id: which.
        score: a higher one is a better match; those of two model versions cannot be compared.
        reason: why it is shown.
    """

    item_id: str
    score: float
    reason: Reason


class Trigger(msgspec.Struct, gc=False, frozen=True):
    """The event after which the recommendation was made.

    Attributes:
        kind: of the event.
        event_id: as its producer gave it.
        ts: its event time, milliseconds since 1970, UTC.
    """

    kind: TriggerKind
    event_id: str
    ts: int


class Recommendation(msgspec.Struct, gc=False, frozen=True):
    """Items for a user. A record without a value says that the user was erased: forget what came before.

    Attributes:
        event_id: the same for the same recommendation; a replay repeats it.
        user_id: for whom; also the record's Kafka key. A pseudonym where the workers have a key for them.
        generated_at: wall-clock time, milliseconds since 1970, UTC.
        trigger: after which event.
        model_version: of the model that made it.
        items: best first.

    Example:
        {"event_id": "u42:0:3", "user_id": "u42", "generated_at": 1790000000012,
         "trigger": {"kind": "click", "event_id": "7b6c1f", "ts": 1790000000000}, "model_version": "20260921T101500",
         "items": [{"item_id": "i9", "score": 3.1,
                    "reason": {"facet": "behaviour", "topic": "Drama", "because_item": "i7"}}]}
    """

    event_id: str
    user_id: str
    generated_at: int
    trigger: Trigger
    model_version: str
    items: list[Item]


class Encoded(NamedTuple):
    """A recommendation on its way out: the user id as a Kafka key, and the event as JSON.

    Without a value it is a tombstone: the user was erased, and what was recommended before is to be forgotten.
    """

    key: bytes
    value: bytes | None


_LONGEST_ERROR = 200  # it may quote a value of any length
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Recommendation)


def recommendation_id(user_id: str, erased_at_ms: int, sequence: int, generation: int = FIRST) -> str:
    """The event id of a user's `sequence`-th recommendation since the erasure at `erased_at_ms` (0: never erased).

    A function of the user's state alone: a replay of the events makes the same recommendation under the same id.
    Generations count for themselves, so the id says which one it was, unless it was the first.
    """
    told = f"{user_id}:{erased_at_ms}:{sequence}"
    return told if generation <= FIRST else f"{told}:g{generation}"


def encode(recommendation: Recommendation) -> bytes:
    """JSON, UTF-8."""
    return _encoder.encode(recommendation)


def decode(raw: bytes) -> Recommendation:
    """From JSON; unknown fields are ignored. Raises msgspec.DecodeError for anything else."""
    try:
        return _decoder.decode(raw)
    except (UnicodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
    except msgspec.ValidationError as error:
        raise msgspec.DecodeError(str(error)[:_LONGEST_ERROR]) from error
