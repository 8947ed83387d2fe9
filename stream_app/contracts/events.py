"""What producers send: one JSON object a Kafka record, keyed by user id.

Fields that are not named here are ignored, so a producer may add its own. `ts` is event time in milliseconds, UTC.
`event_id` is unique to an event: the same id again is a producer's retry and counts once.

| topic               | class     |
| ------------------- | --------- |
| `interest.clicks`   | `Click`   |
| `interest.follows`  | `Follow`  |
| `interest.ratings`  | `Rating`  |
| `interest.erasures` | `Erasure` |

What the classes say of their fields is published: `schemas.py` makes JSON Schemas of them.
"""

from typing import Literal

import msgspec

from model_store.state.layout import Kind

TargetType = Literal["user", "creator", "topic"]
Action = Literal["follow", "unfollow"]

DEFAULT_SCALE_MAX = 5.0


class Click(msgspec.Struct, gc=False, frozen=True):
    """A user opened, watched or read an item.

    Attributes:
        event_id: unique to the event; the same id again is a producer's retry and counts once.
        user_id: who; also the record's Kafka key.
        item_id: what.
        ts: event time in milliseconds since 1970, UTC.
        dwell_ms: how long, in milliseconds, where it is known.
        surface: where in the product, in the producer's words.
        region: where in the world, in the producer's words.

    Example:
        {"event_id": "7b6c1f", "user_id": "u42", "item_id": "i7", "ts": 1790000000000, "dwell_ms": 5200, "region": "FR"}
    """

    event_id: str
    user_id: str
    item_id: str
    ts: int
    dwell_ms: float | None = None
    surface: str | None = None
    region: str | None = None


class Follow(msgspec.Struct, gc=False, frozen=True):
    """A user follows or unfollows a user, a creator or a topic.

    Attributes:
        event_id: unique to the event; the same id again is a producer's retry and counts once.
        user_id: who; also the record's Kafka key.
        target_id: whom or what.
        target_type: what the target is.
        action: `unfollow` takes a `follow` back.
        ts: event time in milliseconds since 1970, UTC.

    Example:
        {"event_id": "9d02aa", "user_id": "u42", "target_id": "c3", "target_type": "creator", "action": "follow",
         "ts": 1790000000000}
    """

    event_id: str
    user_id: str
    target_id: str
    target_type: TargetType
    action: Action
    ts: int


class Rating(msgspec.Struct, gc=False, frozen=True):
    """A user rated an item. A second rating of the same item replaces the first.

    Attributes:
        event_id: unique to the event; the same id again is a producer's retry and counts once.
        user_id: who; also the record's Kafka key.
        item_id: what.
        rating: 0 to `scale_max`; null withdraws the rating.
        ts: event time in milliseconds since 1970, UTC.
        scale_max: the best rating that there is.

    Example:
        {"event_id": "c0ffee", "user_id": "u42", "item_id": "i7", "rating": 4, "ts": 1790000000000}
    """

    event_id: str
    user_id: str
    item_id: str
    rating: float | None
    ts: int
    scale_max: float = DEFAULT_SCALE_MAX


class Erasure(msgspec.Struct, gc=False, frozen=True):
    """Forget the user everywhere.

    Attributes:
        event_id: unique to the event; the same id again is a producer's retry and counts once.
        user_id: who; also the record's Kafka key.
        ts: event time in milliseconds since 1970, UTC; events from before it that arrive later stay forgotten.

    Example:
        {"event_id": "e1a5e", "user_id": "u42", "ts": 1790000000000}
    """

    event_id: str
    user_id: str
    ts: int


Event = Click | Follow | Rating | Erasure

EVENT_OF_KIND: dict[Kind, type[Click] | type[Follow] | type[Rating] | type[Erasure]] = {
    Kind.CLICK: Click,
    Kind.FOLLOW: Follow,
    Kind.RATING: Rating,
    Kind.ERASURE: Erasure,
}
