"""What the recommendations topic and `rec:{user_id}` carry: one JSON object for each recommendation event."""

from typing import Literal, NamedTuple

import msgspec

from stream_app.contracts.generations import FIRST

Facet = Literal["behaviour", "social", "content"]
TriggerKind = Literal["click", "follow", "rating"]


class Reason(msgspec.Struct, gc=False, frozen=True):
    """Why an item is shown: the facet and topic of interest that speak for it, and the item of the user's last clicks
    without which its score would be lowest, if any of them raised it."""

    facet: Facet
    topic: str | None = None
    because_item: str | None = None


class Item(msgspec.Struct, gc=False, frozen=True):
    """A recommended item; a higher score is a better match."""

    item_id: str
    score: float
    reason: Reason


class Trigger(msgspec.Struct, gc=False, frozen=True):
    """The event after which the recommendation was made; `ts` is its event time in milliseconds, UTC."""

    kind: TriggerKind
    event_id: str
    ts: int


class Recommendation(msgspec.Struct, gc=False, frozen=True):
    """Items for a user, best first. `generated_at` is wall-clock time in milliseconds, UTC."""

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
