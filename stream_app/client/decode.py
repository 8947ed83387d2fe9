"""From what Redis answers to what readers return: pure. What no worker wrote raises LayoutError."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec
import numpy as np
from redis import RedisError

from model_store.state.layout import DIM
from stream_app.client.errors import LayoutError, NoItemVectorsError
from stream_app.client.values import Found, Interest, ItemKnowledge, Place, Times, Vector, Window
from stream_app.contracts import generations, recommendations
from stream_app.contracts.generations import SERVING_KEY
from stream_app.contracts.item_vectors import question, score
from stream_app.contracts.recommendations import Recommendation
from stream_app.contracts.redis_layout import (
    FACETS,
    LAYOUT_VERSION,
    Field,
    ItemField,
    ModelCard,
    ModelField,
    PlaceField,
    item_key,
    vectors_key,
)

Name = TypeVar("Name", ItemField, PlaceField)

INTEREST_FIELDS, ITEM_FIELDS, PLACE_FIELDS = tuple(Field), tuple(ItemField), tuple(PlaceField)
# What reading a hash that no worker wrote may raise: fields that are missing, cut or of another type.
_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, KeyError, RecursionError)

_windows = msgspec.json.Decoder(dict[str, Window])
_topics = msgspec.json.Decoder(dict[str, float])
_names = msgspec.json.Decoder(tuple[str, ...])


def serving(raw: bytes | None) -> int:
    try:
        return generations.decode(raw).generation
    except generations.UNREADABLE as error:
        raise _strange(SERVING_KEY, error) from error


def interests(keys: Mapping[str, bytes], rows: list[list[bytes | None]]) -> dict[str, Interest]:
    found = ((user, interest(user, key, row)) for (user, key), row in zip(keys.items(), rows, strict=True))
    return {user: one for user, one in found if one is not None}


def interest(user_id: str, key: bytes, row: list[bytes | None]) -> Interest | None:
    if row[0] is None:
        return None
    try:
        return _read(user_id, dict(zip(INTEREST_FIELDS, row, strict=True)))
    except _UNREADABLE as error:
        raise _strange(key, error) from error


def vectors(keys: Sequence[bytes], rows: Sequence[list[bytes | None]]) -> tuple[Vector, Found, Times]:
    """Of rows with a vector and the time of the latest event; the vectors must have one length."""
    there = [place for place, (vector, _) in enumerate(rows) if vector is not None]
    matrix = np.zeros((len(rows), len(rows[there[0]][0] or b"") // 4 if there else DIM), np.float32)
    found, times = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.int64)
    for place in there:
        try:
            matrix[place], times[place] = _timed(rows[place], matrix.shape[1])
        except _UNREADABLE as error:
            raise _strange(keys[place], error) from error
    found[there] = True
    return matrix, found, times


def _timed(row: list[bytes | None], dimension: int) -> tuple[Vector, int]:
    vector, time_ms = row
    if vector is None or time_ms is None:
        raise ValueError("without event_ts")
    if len(vector) != 4 * dimension:
        raise ValueError(f"a vector of {len(vector)} bytes among those of {dimension} numbers")
    return _vector(vector), _whole(time_ms)


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


def similar(interest: Interest, rows: list[Any]) -> dict[str, float]:
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


def items(ids: list[str], rows: list[list[bytes | None]]) -> dict[str, ItemKnowledge]:
    found = ((item, _item(item, *rows[2 * place : 2 * place + 2])) for place, item in enumerate(ids))
    return {item: knowledge for item, knowledge in found if knowledge is not None}


def _item(item_id: str, row: list[bytes | None], place: list[bytes | None]) -> ItemKnowledge | None:
    if row[0] is None:
        return None
    try:
        return _read_item(item_id, _whole_row(ITEM_FIELDS, row), _place(place))
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
    raw = _whole_row(PLACE_FIELDS, row)
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


def recommendation(user_id: str, key: bytes, raw: bytes | None) -> Recommendation | None:
    if raw is None:
        return None
    try:
        return msgspec.structs.replace(recommendations.decode(raw), user_id=user_id)
    except msgspec.DecodeError as error:
        raise _strange(key, error) from error


def model_card(key: bytes, raw: Mapping[bytes, bytes]) -> ModelCard | None:
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
