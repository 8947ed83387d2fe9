"""One user as Redis shows it, for a person to look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stream_app.contracts import recommendations
from stream_app.contracts.recommendations import Recommendation
from stream_app.contracts.redis_layout import Field, interest_key, recommendation_key


@dataclass(frozen=True)
class Person:
    """`topics`: weights that sum to 1, the largest first. `windows`: by name ("1h"), counters by name."""

    user_id: str
    topics: Mapping[str, float]
    windows: Mapping[str, Mapping[str, float | None]]
    events: int
    event_ts_ms: int
    updated_at_ms: int
    version: int
    model: str
    recommendation: Recommendation | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)


def read_person(client: Any, user_id: str) -> Person | None:
    """From a `redis.Redis` without response decoding; None for a user that is not there. Raises `redis.RedisError`."""
    key = user_id.encode()
    pipeline = client.pipeline(transaction=False)
    pipeline.hgetall(interest_key(key))
    pipeline.get(recommendation_key(key))
    raw, recommended = pipeline.execute()
    fields = {name.decode(): value for name, value in raw.items()}
    if Field.EVENTS not in fields:
        return None
    return Person(
        user_id=user_id,
        topics=msgspec.json.decode(fields[Field.TOPICS], type=dict[str, float]),
        windows=msgspec.json.decode(fields[Field.WINDOWS], type=dict[str, dict[str, float | None]]),
        events=int(fields[Field.EVENTS]),
        event_ts_ms=int(fields[Field.EVENT_TS]),
        updated_at_ms=int(fields[Field.UPDATED_AT]),
        version=int(fields[Field.VERSION]),
        model=fields[Field.MODEL].decode(),
        recommendation=recommendations.decode(recommended) if recommended else None,
        sizes={name: len(fields[name]) // 4 for name in (Field.VECTOR, Field.BEHAVIOUR, Field.SOCIAL, Field.CONTENT)},
    )
