"""What producers send: one JSON object a Kafka record, keyed by user id.

Fields that are not named here are ignored, so a producer may add its own. `ts` is event time in milliseconds, UTC.
`event_id` is unique to an event: the same id again is a producer's retry and counts once.

| topic               | class     |
| ------------------- | --------- |
| `interest.clicks`   | `Click`   |
| `interest.follows`  | `Follow`  |
| `interest.ratings`  | `Rating`  |
| `interest.erasures` | `Erasure` |
"""

from typing import Literal

import msgspec

from model_store.state.layout import Kind

TargetType = Literal["user", "creator", "topic"]
Action = Literal["follow", "unfollow"]

DEFAULT_SCALE_MAX = 5.0


class Click(msgspec.Struct, gc=False, frozen=True):
    """A user opened, watched or read an item. `dwell_ms` is how long, where it is known."""

    event_id: str
    user_id: str
    item_id: str
    ts: int
    dwell_ms: float | None = None
    surface: str | None = None
    region: str | None = None


class Follow(msgspec.Struct, gc=False, frozen=True):
    """A user follows or unfollows a user, a creator or a topic."""

    event_id: str
    user_id: str
    target_id: str
    target_type: TargetType
    action: Action
    ts: int


class Rating(msgspec.Struct, gc=False, frozen=True):
    """A user rated an item, 0..`scale_max`. A second rating replaces the first; `null` withdraws it."""

    event_id: str
    user_id: str
    item_id: str
    rating: float | None
    ts: int
    scale_max: float = DEFAULT_SCALE_MAX


class Erasure(msgspec.Struct, gc=False, frozen=True):
    """Forget the user everywhere. Events from before `ts` that arrive later stay forgotten."""

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
