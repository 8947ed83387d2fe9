"""What readers ask of Redis, trip by trip: generators that yield commands, are sent the answers, and return what was
meant. They know neither sockets nor event loops, so threads and coroutines share them.
"""

import time
from collections.abc import Generator, Iterable
from typing import Any, Literal, TypeVar

from redis import RedisError

from stream_app.client import decode
from stream_app.client.decode import INTEREST_FIELDS, ITEM_FIELDS, PLACE_FIELDS
from stream_app.client.values import Interest, ItemKnowledge, Vectors
from stream_app.contracts.generations import SERVING_KEY
from stream_app.contracts.item_vectors import question
from stream_app.contracts.pseudonyms import naming
from stream_app.contracts.recommendations import Recommendation
from stream_app.contracts.redis_layout import (
    Field,
    ModelCard,
    bound_key,
    interest_key,
    item_key,
    model_key,
    place_key,
    recommendation_key,
    vectors_key,
)

T = TypeVar("T")

Command = tuple[Any, ...]
"""As Redis takes it; its key comes second."""

Asking = Generator[list[Command], list[Any], T]
"""Yields the commands of a round trip, takes an answer for each, which may be a RedisError, and returns a T."""

Facet = Literal["vector", "behaviour", "social", "content"]

LOOK_S = 1.0
"""How long a reader may go on reading the generation that served, once another one does."""

_EFFORT = 1_000
"""How many items a search looks at, at least."""


class Questions:
    """A method for each one of a reader, where they are described."""

    def __init__(self, pseudonym_key: str, generation: int | None) -> None:
        self._name = naming(pseudonym_key)
        self._known, self._until_s = generation or 0, float("-inf") if generation is None else float("inf")

    def generation(self) -> Asking[int]:
        """No trip, where it was asked for within `LOOK_S` or is given."""
        if time.monotonic() >= self._until_s:
            (raw,) = yield from _trip([("GET", SERVING_KEY)])
            self._known, self._until_s = decode.serving(raw), time.monotonic() + LOOK_S
        return self._known

    def interest(self, user_id: str) -> Asking[Interest | None]:
        key = interest_key(self._name(user_id.encode()), (yield from self.generation()))
        (row,) = yield from _trip([("HMGET", key, *INTEREST_FIELDS)])
        return decode.interest(user_id, key, row)

    def interests(self, user_ids: Iterable[str]) -> Asking[dict[str, Interest]]:
        keys = self._keys(list(dict.fromkeys(user_ids)), (yield from self.generation()))
        rows = yield from _trip([("HMGET", key, *INTEREST_FIELDS) for key in keys.values()])
        return decode.interests(keys, rows)

    def vectors(self, user_ids: Iterable[str], facet: Facet) -> Asking[Vectors]:
        users, generation = tuple(user_ids), (yield from self.generation())
        keys = self._keys(users, generation)
        rows = yield from _trip([("HMGET", key, facet, Field.EVENT_TS) for key in keys.values()])
        matrix, found, times = decode.vectors([*keys.values()], rows)
        if len(keys) < len(users):
            place_of = {user: place for place, user in enumerate(keys)}
            each = [place_of[user] for user in users]
            matrix, found, times = matrix[each], found[each], times[each]
        return Vectors(users, matrix, found, times, generation)

    def recommendations(self, user_id: str) -> Asking[Recommendation | None]:
        key = recommendation_key(self._name(user_id.encode()), (yield from self.generation()))
        (raw,) = yield from _trip([("GET", key)])
        return decode.recommendation(user_id, key, raw)

    def items(self, item_ids: Iterable[str]) -> Asking[dict[str, ItemKnowledge]]:
        """Two commands an item, whose keys lie in one slot."""
        ids, generation = list(dict.fromkeys(item_ids)), (yield from self.generation())
        commands: list[Command] = []
        for item in ids:
            commands.append(("HMGET", item_key(item.encode()), *ITEM_FIELDS))
            commands.append(("HMGET", place_key(item.encode(), generation), *PLACE_FIELDS))
        return decode.items(ids, (yield from _trip(commands)))

    def item(self, item_id: str) -> Asking[ItemKnowledge | None]:
        found = yield from self.items([item_id])
        return found.get(item_id)

    def similar_items(self, of: Interest | str, count: int, exact: bool) -> Asking[dict[str, float]]:
        """The bound, what is found, and the bound once more: again, if the set was built anew meanwhile."""
        interest = (yield from self.interest(of)) if isinstance(of, str) else of
        if interest is None:
            return {}
        bound, among = bound_key(interest.generation), vectors_key(interest.generation)
        effort = ("TRUTH",) if exact else ("EF", max(_EFFORT, count))
        asked = question(interest.vector).tobytes()
        search = ("VSIM", among, "FP32", asked, "WITHSCORES", "COUNT", count, *effort)
        rows = None
        while rows is None or _is_torn(rows):
            rows = yield [("GET", bound), search, ("GET", bound)]
        return decode.similar(interest, rows)

    def model(self, generation: int | None) -> Asking[ModelCard | None]:
        key = model_key(generation or (yield from self.generation()))
        (raw,) = yield from _trip([("HGETALL", key)])
        return decode.model_card(key, raw)

    def _keys(self, user_ids: Iterable[str], generation: int) -> dict[str, bytes]:
        return {user: interest_key(self._name(user.encode()), generation) for user in user_ids}


def _trip(commands: list[Command]) -> Asking[list[Any]]:
    """The answers; the first that is an error is raised."""
    rows = (yield commands) if commands else []
    for row in rows:
        if isinstance(row, RedisError):
            raise row
    return rows


def _is_torn(rows: list[Any]) -> bool:
    return rows[0] != rows[2] and not any(isinstance(one, RedisError) for one in rows)
