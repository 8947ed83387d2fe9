"""What a service imports to read interests. Needs redis-py, numpy and msgspec; neither Faust nor TensorFlow.

    reader = InterestReader("redis://localhost:6379/0")
    interest = reader.get("user-42")
    if interest:
        print(interest.topics, interest.vector @ other_vector)

`AsyncInterestReader` has the same methods as coroutines. Both keep a connection pool: make one and share it.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import msgspec
import numpy as np
import numpy.typing as npt
from redis import Redis, RedisCluster, RedisError
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster

from stream_app.contracts import generations, recommendations
from stream_app.contracts.generations import SERVING_KEY
from stream_app.contracts.item_vectors import question, score
from stream_app.contracts.pseudonyms import naming
from stream_app.contracts.recommendations import Recommendation
from stream_app.contracts.redis_layout import (
    FACETS,
    LAYOUT_VERSION,
    Field,
    ItemField,
    ModelCard,
    ModelField,
    PlaceField,
    bound_key,
    interest_key,
    item_key,
    model_key,
    place_key,
    recommendation_key,
    vectors_key,
)

Vector = npt.NDArray[np.float32]
Name = TypeVar("Name", ItemField, PlaceField)

LOOK_S = 1.0
"""How long a reader may go on reading the generation that served, once another one does."""

_EFFORT = 1_000
"""How many items a search looks at, at least."""

_FIELDS = tuple(Field)
_ITEM_FIELDS, _PLACE_FIELDS = tuple(ItemField), tuple(PlaceField)
# What reading a hash that no worker wrote may raise: fields that are missing, cut or of another type.
_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, KeyError, RecursionError)


class LayoutError(RuntimeError):
    """Redis holds what this reader cannot read: a newer layout (update the reader), or what no worker wrote."""


class NoItemVectorsError(RuntimeError):
    """The server has no vector sets, or nobody has put items into one."""


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


class _Reading:
    """Which generation is read: a given one, or the one that serves, which is asked for once in `LOOK_S`."""

    def __init__(self, generation: int | None) -> None:
        self._known, self._until_s = generation or 0, float("-inf") if generation is None else float("inf")

    @property
    def known(self) -> int:
        """0 when it is to be asked for."""
        return self._known if time.monotonic() < self._until_s else 0

    def learn(self, raw: bytes | None) -> int:
        """From the value of `SERVING_KEY`."""
        self._known, self._until_s = _serving(raw), time.monotonic() + LOOK_S
        return self._known


class InterestReader:
    """Reads from Redis; may be shared by threads.

    What one call returns is of one generation. Between two calls another one may begin to serve: where two answers
    must fit together, ask `model` for that of the interest.

    Args:
        url: redis://, rediss:// or unix://, with the database number as the path.
        cluster: whether it is a Redis Cluster.
        pseudonym_key: that of the workers, if they keep ids as pseudonyms. Methods take and give ids all the same.
        generation: to read this one, whichever serves.
        options: passed on to redis-py, for example `socket_timeout` (seconds; 5 unless given).

    Every method may raise redis.exceptions.RedisError, and LayoutError for what no worker wrote.
    """

    def __init__(
        self,
        url: str,
        *,
        cluster: bool = False,
        pseudonym_key: str = "",
        generation: int | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("socket_timeout", 5.0)
        self._name = naming(pseudonym_key)
        self._reading = _Reading(generation)
        self._redis: Any = (RedisCluster if cluster else Redis).from_url(url, **options)

    def generation(self) -> int:
        """The one that is read; of the one that serves, as it was within the last second."""
        return self._reading.known or self._reading.learn(self._redis.get(SERVING_KEY))

    def get(self, user_id: str) -> Interest | None:
        """The user's interests, None for one without events, or erased, or without events for longer than the TTL."""
        key = interest_key(self._name(user_id.encode()), self.generation())
        return _interest(user_id, key, self._redis.hmget(key, _FIELDS))

    def get_many(self, user_ids: Iterable[str]) -> dict[str, Interest]:
        """Those of the users that have interests, in one round trip, all of one generation."""
        generation = self.generation()
        keys = {user_id: interest_key(self._name(user_id.encode()), generation) for user_id in user_ids}
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys.values():
            pipeline.hmget(key, _FIELDS)
        return _interests(keys, pipeline.execute())

    def recommendations(self, user_id: str) -> Recommendation | None:
        """The latest recommendations, None if there are none."""
        key = recommendation_key(self._name(user_id.encode()), self.generation())
        return _recommendation(user_id, key, self._redis.get(key))

    def item(self, item_id: str) -> ItemKnowledge | None:
        """What is known of the item, None for one that nobody has told of, or that is deleted."""
        return self.items([item_id]).get(item_id)

    def items(self, item_ids: Iterable[str]) -> dict[str, ItemKnowledge]:
        """Those of the items of which something is known, in one round trip."""
        ids = list(dict.fromkeys(item_ids))
        pipeline = _asking(self._redis.pipeline(transaction=False), ids, self.generation())
        return _items(ids, pipeline.execute()) if ids else {}

    def similar_items(self, interest: Interest | str, count: int = 20, *, exact: bool = False) -> dict[str, float]:
        """The items that the user is likeliest to take up, and `interest.vector @ place.vector + place.bias` of each,
        the largest first; nothing for a user without interests. What the user has seen already is among them.

        One round trip, and one more for a user id. Needs a server with vector sets (Redis from 8.0 on), and raises
        NoItemVectorsError without. Unless `exact`, the search may miss some; with it, it looks at every item.
        """
        found = self.get(interest) if isinstance(interest, str) else interest
        if found is None:
            return {}
        rows = None
        while rows is None or _is_torn(rows):
            pipeline = self._redis.pipeline(transaction=False)
            rows = _searching(pipeline, found, count, exact).execute(raise_on_error=False)
        return _similar(found, rows)

    def model(self, generation: int | None = None) -> ModelCard | None:
        """The model in use, None before a worker has announced one; with `Interest.generation` the one that explains
        that interest. Raises LayoutError for an unknown layout."""
        key = model_key(generation or self.generation())
        return _model(key, self._redis.hgetall(key))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def __enter__(self) -> "InterestReader":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class AsyncInterestReader:
    """`InterestReader` as coroutines; used from one event loop."""

    def __init__(
        self,
        url: str,
        *,
        cluster: bool = False,
        pseudonym_key: str = "",
        generation: int | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("socket_timeout", 5.0)
        self._name = naming(pseudonym_key)
        self._reading = _Reading(generation)
        self._redis: Any = (AsyncRedisCluster if cluster else AsyncRedis).from_url(url, **options)

    async def generation(self) -> int:
        """See `InterestReader.generation`."""
        return self._reading.known or self._reading.learn(await self._redis.get(SERVING_KEY))

    async def get(self, user_id: str) -> Interest | None:
        """See `InterestReader.get`."""
        key = interest_key(self._name(user_id.encode()), await self.generation())
        return _interest(user_id, key, await self._redis.hmget(key, _FIELDS))

    async def get_many(self, user_ids: Iterable[str]) -> dict[str, Interest]:
        """See `InterestReader.get_many`."""
        generation = await self.generation()
        keys = {user_id: interest_key(self._name(user_id.encode()), generation) for user_id in user_ids}
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys.values():
            pipeline.hmget(key, _FIELDS)
        return _interests(keys, await pipeline.execute())

    async def recommendations(self, user_id: str) -> Recommendation | None:
        """See `InterestReader.recommendations`."""
        key = recommendation_key(self._name(user_id.encode()), await self.generation())
        return _recommendation(user_id, key, await self._redis.get(key))

    async def item(self, item_id: str) -> ItemKnowledge | None:
        """See `InterestReader.item`."""
        return (await self.items([item_id])).get(item_id)

    async def items(self, item_ids: Iterable[str]) -> dict[str, ItemKnowledge]:
        """See `InterestReader.items`."""
        ids = list(dict.fromkeys(item_ids))
        pipeline = _asking(self._redis.pipeline(transaction=False), ids, await self.generation())
        return _items(ids, await pipeline.execute()) if ids else {}

    async def similar_items(
        self, interest: Interest | str, count: int = 20, *, exact: bool = False
    ) -> dict[str, float]:
        """See `InterestReader.similar_items`."""
        found = await self.get(interest) if isinstance(interest, str) else interest
        if found is None:
            return {}
        rows = None
        while rows is None or _is_torn(rows):
            pipeline = self._redis.pipeline(transaction=False)
            rows = await _searching(pipeline, found, count, exact).execute(raise_on_error=False)
        return _similar(found, rows)

    async def model(self, generation: int | None = None) -> ModelCard | None:
        """See `InterestReader.model`."""
        key = model_key(generation or await self.generation())
        return _model(key, await self._redis.hgetall(key))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def __aenter__(self) -> "AsyncInterestReader":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


_windows = msgspec.json.Decoder(dict[str, Window])
_topics = msgspec.json.Decoder(dict[str, float])
_names = msgspec.json.Decoder(tuple[str, ...])


def _serving(raw: bytes | None) -> int:
    try:
        return generations.decode(raw).generation
    except generations.UNREADABLE as error:
        raise _strange(SERVING_KEY, error) from error


def _interests(keys: Mapping[str, bytes], rows: list[list[bytes | None]]) -> dict[str, Interest]:
    found = ((user, _interest(user, key, row)) for (user, key), row in zip(keys.items(), rows, strict=True))
    return {user: interest for user, interest in found if interest is not None}


def _interest(user_id: str, key: bytes, row: list[bytes | None]) -> Interest | None:
    if row[0] is None:
        return None
    try:
        return _read(user_id, dict(zip(_FIELDS, row, strict=True)))
    except _UNREADABLE as error:
        raise _strange(key, error) from error


def _read(user_id: str, found: Mapping[Field, bytes | None]) -> Interest:
    missing = [str(name) for name, value in found.items() if value is None]
    if missing:
        raise ValueError(f"without {', '.join(missing)}")
    raw = cast(Mapping[Field, bytes], found)
    if len({len(raw[Field(facet)]) for facet in FACETS}) > 1:
        raise ValueError("the vectors have several lengths")
    return Interest(
        user_id=user_id,
        vector=_vector(raw[Field.VECTOR]),
        behaviour=_vector(raw[Field.BEHAVIOUR]),
        social=_vector(raw[Field.SOCIAL]),
        content=_vector(raw[Field.CONTENT]),
        topics=_topics.decode(raw[Field.TOPICS]),
        windows=_windows.decode(raw[Field.WINDOWS]),
        version=_whole(raw[Field.VERSION]),
        generation=_whole(raw[Field.GENERATION]),
        events=_whole(raw[Field.EVENTS]),
        event_ts_ms=_whole(raw[Field.EVENT_TS]),
        updated_at_ms=_whole(raw[Field.UPDATED_AT]),
        model=raw[Field.MODEL].decode(),
    )


def _asking(pipeline: Any, ids: list[str], generation: int) -> Any:
    """Two commands an item, whose keys lie in one slot."""
    for item in ids:
        pipeline.hmget(item_key(item.encode()), _ITEM_FIELDS)
        pipeline.hmget(place_key(item.encode(), generation), _PLACE_FIELDS)
    return pipeline


def _searching(pipeline: Any, interest: Interest, count: int, exact: bool) -> Any:
    """The bound, what is found, and the bound once more."""
    bound, effort = bound_key(interest.generation), ("TRUTH",) if exact else ("EF", max(_EFFORT, count))
    asked = question(interest.vector).tobytes()
    pipeline.get(bound)
    pipeline.execute_command(
        "VSIM", vectors_key(interest.generation), "FP32", asked, "WITHSCORES", "COUNT", count, *effort
    )
    pipeline.get(bound)
    return pipeline


def _is_torn(rows: list[Any]) -> bool:
    """Whether the set was built anew while it was searched."""
    return rows[0] != rows[2] and not any(isinstance(one, RedisError) for one in rows)


def _similar(interest: Interest, rows: list[Any]) -> dict[str, float]:
    bound, found, _ = rows
    if isinstance(found, RedisError) and "unknown command" in str(found):
        raise NoItemVectorsError(
            "this server has no vector sets: use a Redis of 8.0 or later, or compute the scores from `items` yourself"
        ) from found
    for one in rows:
        if isinstance(one, RedisError):
            raise one
    if bound is None:
        raise NoItemVectorsError(
            f"there is no {vectors_key(interest.generation).decode()}: start `interest catalog` on this Redis, or "
            "compute the scores from `items` yourself"
        )
    pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
    asked = question(interest.vector)
    return {item.decode(): score(float(similarity), asked, float(bound)) for item, similarity in pairs}


def _items(ids: list[str], rows: list[list[bytes | None]]) -> dict[str, ItemKnowledge]:
    found = ((item, _item(item, *rows[2 * place : 2 * place + 2])) for place, item in enumerate(ids))
    return {item: knowledge for item, knowledge in found if knowledge is not None}


def _item(item_id: str, row: list[bytes | None], place: list[bytes | None]) -> ItemKnowledge | None:
    if row[0] is None:
        return None
    try:
        return _read_item(item_id, _whole_row(_ITEM_FIELDS, row), _place(place))
    except _UNREADABLE as error:
        raise _strange(item_key(item_id.encode()), error) from error


def _read_item(item_id: str, raw: Mapping[ItemField, bytes], place: Place | None) -> ItemKnowledge:
    return ItemKnowledge(
        item_id=item_id,
        title=raw[ItemField.TITLE].decode(),
        topics=_topics.decode(raw[ItemField.TOPICS]),
        audience=raw[ItemField.AUDIENCE].decode(),
        mood=raw[ItemField.MOOD].decode(),
        creator_id=raw[ItemField.CREATOR].decode(),
        published_at_ms=_whole(raw[ItemField.PUBLISHED_AT]),
        content=_vector(raw[ItemField.CONTENT]),
        encoder=raw[ItemField.ENCODER].decode(),
        updated_at_ms=_whole(raw[ItemField.UPDATED_AT]),
        place=place,
    )


def _place(row: list[bytes | None]) -> Place | None:
    if all(value is None for value in row):
        return None
    raw = _whole_row(_PLACE_FIELDS, row)
    bias = float(raw[PlaceField.BIAS])
    return Place(_vector(raw[PlaceField.VECTOR]), bias, raw[PlaceField.MODEL].decode())


def _whole_row(fields: tuple[Name, ...], row: list[bytes | None]) -> Mapping[Name, bytes]:
    found = {name: value for name, value in zip(fields, row, strict=True) if value is not None}
    missing = [str(name) for name in fields if name not in found]
    if missing:
        raise ValueError(f"without {', '.join(missing)}")
    return found


def _strange(key: bytes, error: Exception) -> LayoutError:
    why = f"{type(error).__name__}: {str(error)[:200]}"
    return LayoutError(f"Redis holds at {key.decode()[:300]} what no worker wrote ({why}): delete the key")


def _whole(raw: bytes) -> int:
    """A number as workers write it; `int` alone would take spaces and underscores too."""
    number = int(raw)
    if str(number).encode() != raw:
        raise ValueError(f"{raw[:40]!r} is no whole number")
    return number


def _vector(raw: bytes) -> Vector:
    return np.frombuffer(raw, "<f4")


def _recommendation(user_id: str, key: bytes, raw: bytes | None) -> Recommendation | None:
    if raw is None:
        return None
    try:
        return msgspec.structs.replace(recommendations.decode(raw), user_id=user_id)
    except msgspec.DecodeError as error:
        raise _strange(key, error) from error


def _model(key: bytes, raw: Mapping[bytes, bytes]) -> ModelCard | None:
    if not raw:
        return None
    try:
        return _card(raw)
    except _UNREADABLE as error:
        raise _strange(key, error) from error


def _card(raw: Mapping[bytes, bytes]) -> ModelCard:
    fields = {name: raw[name.encode()] for name in ModelField}
    layout = _whole(fields[ModelField.LAYOUT])
    if layout > LAYOUT_VERSION:
        shown = str(layout)[:20]
        raise LayoutError(f"Redis holds layout {shown}, this reader knows {LAYOUT_VERSION}: update interest-updater")
    return ModelCard(
        version=fields[ModelField.VERSION].decode(),
        topics=_names.decode(fields[ModelField.TOPICS]),
        dimension=_whole(fields[ModelField.DIMENSION]),
        generation=_whole(fields[ModelField.GENERATION]),
        layout=layout,
    )
