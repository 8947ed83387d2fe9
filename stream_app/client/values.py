"""What readers return."""

import time
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
Found = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]


class Window(msgspec.Struct, frozen=True):
    """Counters of a rolling window of event time. `rating_mean` is 0..1 of the scale, None without ratings."""

    clicks: int
    dwell_ms: int
    ratings: int
    rating_mean: float | None
    follows: int


@dataclass(frozen=True, slots=True, eq=False)
class Interest:
    """What a user is interested in, as of the last event.

    Attributes:
        user_id: whose.
        vector: float32 [dimension], the fused interest; `model(generation).dimension` says how long.
        behaviour, social, content: float32 [dimension], its three facets.
        topics: name -> weight, the largest first; the weights sum to 1.
        windows: "1h", "24h", "7d", "30d" -> counters, as they stood at `event_ts_ms`.
        version: of the state; grows with each applied event, within a generation.
        generation: of the state; vectors of two generations are not comparable, `model(generation)` explains them.
        events: events applied since the last erasure.
        event_ts_ms: latest event time, UTC.
        updated_at_ms: when this was written, wall clock, UTC.
        model: version of the model that made the vectors.
    """

    user_id: str
    vector: Vector
    behaviour: Vector
    social: Vector
    content: Vector
    topics: dict[str, float]
    windows: dict[str, Window]
    version: int
    generation: int
    events: int
    event_ts_ms: int
    updated_at_ms: int
    model: str

    def age_s(self, now_ms: int | None = None) -> float:
        """Seconds since the latest event, by the reader's clock unless `now_ms` is given."""
        return ((time.time_ns() // 1_000_000 if now_ms is None else now_ms) - self.event_ts_ms) / 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model has an item: `interest.vector @ vector + bias` ranks items for a user of the same generation.

    Attributes:
        vector: float32 [dimension].
        bias: of the item, whoever the user is; -inf where the model offers it to nobody.
        model: the version that these are of.
    """

    vector: Vector
    bias: float
    model: str


@dataclass(frozen=True, slots=True, eq=False)
class ItemKnowledge:
    """What is known of an item.

    Attributes:
        item_id, title, creator_id: as its producer says.
        topics: name -> weight, the heaviest first; the weights sum to 1.
        audience: one line, whom it is for; "" where nobody has said.
        mood: one or two words, likewise.
        published_at_ms: UTC; 0 where its producer has not said.
        content: float32 [d] of its text, comparable with others of the same `encoder`; without components where the
            text says nothing.
        place: in the model of the generation that is read; None before the model has been met.
        updated_at_ms: when this was found out, wall clock, UTC.
    """

    item_id: str
    title: str
    topics: dict[str, float]
    audience: str
    mood: str
    creator_id: str
    published_at_ms: int
    content: Vector
    encoder: str
    updated_at_ms: int
    place: Place | None


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """One vector of each of n users, in the order in which they were asked for.

    Attributes:
        user_ids: n of them.
        matrix: float32 [n, dimension]; zeros where a user has no interests.
        found: bool [n], who has.
        event_ts_ms: int64 [n], latest event times, UTC; 0 where a user has no interests.
        generation: of all of them.
    """

    user_ids: tuple[str, ...]
    matrix: Vector
    found: Found
    event_ts_ms: Times
    generation: int

    def __len__(self) -> int:
        return len(self.user_ids)
