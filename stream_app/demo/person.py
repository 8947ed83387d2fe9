"""One user as a service reads them, for a person to look at."""

from dataclasses import dataclass
from typing import Any

import msgspec

from stream_app.access import reader_options
from stream_app.client import Interest, InterestReader
from stream_app.contracts.recommendations import Recommendation
from stream_app.settings import Settings


@dataclass(frozen=True)
class Person:
    """Interests and the latest recommendation of a user."""

    interest: Interest
    recommendation: Recommendation | None = None

    def document(self) -> dict[str, Any]:
        """For `--json`: everything, vectors as lists of numbers."""
        interest = self.interest
        fields = {name: getattr(interest, name) for name in interest.__dataclass_fields__}
        document = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in fields.items()}
        return dict(msgspec.to_builtins({**document, "recommendation": self.recommendation}))


def reader_of(settings: Settings, generation: int | None = None) -> InterestReader:
    """A reader of the Redis that these settings name; of the generation that serves, unless one is given. Raises
    ValueError for a URL that is none."""
    url = settings.redis.url.get_secret_value()
    return InterestReader(url, generation=generation, **reader_options(settings))


def read_person(reader: InterestReader, user_id: str) -> Person | None:
    """None for a user that Redis does not have. Raises `redis.RedisError`."""
    interest = reader.get(user_id)
    return Person(interest, reader.recommendations(user_id)) if interest else None
