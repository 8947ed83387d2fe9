"""A user as the page shows one: pure functions from what Redis holds to a JSON document."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from model_store.catalog.strangers import one_line
from stream_app.client import Interest
from stream_app.contracts import recommendations as wire
from stream_app.contracts.recommendations import Recommendation
from stream_app.web.atlas import Atlas
from stream_app.words.facts import Item, Recommended
from stream_app.words.template import reason_in_words

Float32 = npt.NDArray[np.float32]

DIMENSIONS = ("behaviour", "social", "content")
MAX_TITLE = 120
NEAREST = 3
"""Topics that a dimension is said to lean to."""


def portrait(
    interest: Interest,
    made: Recommendation | None,
    clicked: Sequence[str],
    titles: Mapping[str, str],
    atlas: Atlas | None,
    edition: int,
    now_ms: int,
) -> dict[str, Any]:
    """The document. `edition`: of the atlas; `clicked`: ids of items clicked of late, newest first; `titles`: by item
    id, those known."""
    return {
        "user": interest.user_id,
        "now": now_ms,
        "edition": edition,
        "version": interest.version,
        "generation": interest.generation,
        "events": interest.events,
        "event_ts": interest.event_ts_ms,
        "updated_at": interest.updated_at_ms,
        "model": interest.model,
        "topics": [[name, round(weight, 4)] for name, weight in interest.topics.items()],
        "windows": msgspec.to_builtins(interest.windows),
        "clicked": [named(item, titles) for item in clicked],
        "recommended": _recommended(made, titles) if made else None,
        **lie_of(vectors_of(interest), atlas),
    }


def vectors_of(interest: Interest) -> dict[str, Float32]:
    """The fused vector and the dimensions by name."""
    return {"vector": interest.vector, **{name: getattr(interest, name) for name in DIMENSIONS}}


def lie_of(vectors: Mapping[str, Float32], atlas: Atlas | None) -> dict[str, Any]:
    """Dimensions, radar and place of some vectors (float32 [d] each, by name); without an atlas no topics are told."""
    return {
        "dimensions": [_dimension(name, vectors, atlas) for name in DIMENSIONS],
        "radar": _radar(vectors, atlas),
        "place": atlas.place_of(vectors["vector"]) if atlas else None,
    }


def named(item_id: str, titles: Mapping[str, str]) -> dict[str, str]:
    """An item by id and title; by its id where nobody has told of a title."""
    return {"id": item_id, "title": one_line(titles.get(item_id, ""), MAX_TITLE) or item_id}


def item_ids(made: Recommendation | None, clicked: Sequence[str]) -> list[str]:
    """Distinct ids of all items that a portrait names."""
    shown = made.items if made else []
    because = [item.reason.because_item for item in shown if item.reason.because_item]
    return list(dict.fromkeys([*(item.item_id for item in shown), *because, *clicked]))


def because_items(made: Recommendation | None) -> list[str]:
    """Distinct ids of the clicked items that the reasons name."""
    shown = made.items if made else []
    return list(dict.fromkeys(item.reason.because_item for item in shown if item.reason.because_item))


def cosine(one: Float32, other: Float32) -> float:
    """0 where either has no direction."""
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / size if size else 0.0


def _dimension(name: str, vectors: Mapping[str, Float32], atlas: Atlas | None) -> dict[str, Any]:
    mine = vectors[name]
    return {
        "name": name,
        "known": bool(mine.any()),
        "agreement": round(cosine(mine, vectors["vector"]), 4),
        "near": _nearest(atlas.leaning(mine), atlas.topics) if atlas else [],
    }


def _nearest(leaning: Float32, topics: Sequence[str]) -> list[list[Any]]:
    best = np.argsort(-leaning, kind="stable")[:NEAREST].tolist()
    return [[topics[place], round(float(leaning[place]), 4)] for place in best if leaning[place] > 0]


def _radar(vectors: Mapping[str, Float32], atlas: Atlas | None) -> dict[str, Any] | None:
    """How far each vector leans to each topic, 0..1; topics without items are left out."""
    if atlas is None:
        return None
    told = np.flatnonzero(atlas.directions.any(axis=1))
    leaning = {name: np.clip(atlas.leaning(vector)[told], 0, 1) for name, vector in vectors.items()}
    return {
        "topics": [atlas.topics[place] for place in told.tolist()],
        "series": {name: np.round(values, 4).tolist() for name, values in leaning.items()},
    }


def _recommended(made: Recommendation, titles: Mapping[str, str]) -> dict[str, Any]:
    return {
        "generated_at": made.generated_at,
        "trigger": made.trigger.kind,
        "model": made.model_version,
        "items": [_offered(item, titles) for item in made.items],
    }


def _offered(item: wire.Item, titles: Mapping[str, str]) -> dict[str, Any]:
    reason = item.reason
    because = named(reason.because_item, titles) if reason.because_item else None
    told = Recommended(
        Item(item.item_id), reason.facet, reason.topic or "", Item(because["title"]) if because else None
    )
    return {
        **named(item.item_id, titles),
        "score": round(item.score, 3),
        "facet": reason.facet,
        "topic": reason.topic,
        "because": because,
        "why": reason_in_words(told),
    }
