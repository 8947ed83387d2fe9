"""Two generations side by side: how far they have read, whom they know, and how alike they see the same users."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from model_store.registry import ModelRegistry
from stream_app.contracts import recommendations
from stream_app.contracts.redis_layout import Field, interest_key, recommendation_key
from stream_app.generations import in_kafka, in_redis
from stream_app.settings import Settings

SAMPLE = 1_000
SEED = 0


@dataclass(frozen=True, slots=True)
class Side:
    """One of them.

    Attributes:
        lag: events that its group has not committed.
        users: with a hash in Redis.
        version: of the model that it serves, None without one.
        figures: what that version's notes say of its test.
    """

    generation: int
    lag: int
    users: int
    version: str | None
    figures: Any = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both.

    Attributes:
        both: users that both know.
        sampled: users of those that were looked at.
        topics_cosine: mean cosine of their topic weights; vectors of two generations cannot be compared.
        items_overlap: mean share of the latest recommended items that both lists have, of users with two lists.
        lists: users with two lists.
    """

    sides: tuple[Side, Side]
    both: int
    sampled: int
    topics_cosine: float | None
    items_overlap: float | None
    lists: int


@dataclass(slots=True)
class _Views:
    """Of the sampled users, by place: topic weights, and the items of the latest list."""

    topics: list[Mapping[str, float]] = field(default_factory=list)
    items: list[Sequence[str]] = field(default_factory=list)


def compare(settings: Settings, one: int, other: int, sample: int = SAMPLE) -> Comparison:
    """Look at both. May raise `KafkaUnreachableError`, `GenerationError`, redis.RedisError."""
    with in_redis.redis_of(settings) as client:
        known = {generation: in_redis.users(client, generation) for generation in (one, other)}
        both = sorted(known[one] & known[other])
        places = np.random.default_rng(SEED).choice(len(both), min(sample, len(both)), replace=False)
        chosen = [both[place] for place in places]
        first, second = (_views(client, generation, chosen) for generation in (one, other))
    alike = [cosine(*pair) for pair in zip(first.topics, second.topics, strict=True) if all(pair)]
    shared = [overlap(*pair) for pair in zip(first.items, second.items, strict=True) if all(pair)]
    return Comparison(
        sides=(_side(settings, one, len(known[one])), _side(settings, other, len(known[other]))),
        both=len(both),
        sampled=len(chosen),
        topics_cosine=_mean(alike),
        items_overlap=_mean(shared),
        lists=len(shared),
    )


def cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Of two sets of topic weights, not empty; a topic that one lacks weighs nothing there."""
    dot = sum(weight * other.get(topic, 0.0) for topic, weight in one.items())
    return dot / math.hypot(*one.values()) / math.hypot(*other.values())


def overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """Share of the shorter list, not empty, that is in both."""
    return len({*one} & {*other}) / min(len(one), len(other))


def _side(settings: Settings, generation: int, users: int) -> Side:
    registry = ModelRegistry(settings.models.url)
    version = registry.current(generation)
    figures = registry.notes(version).made.get("test") if version else None
    return Side(generation, in_kafka.lag(settings.of_generation(generation)), users, version, figures)


def _views(client: Any, generation: int, users: Sequence[bytes]) -> _Views:
    pipeline = client.pipeline(transaction=False)
    for user in users:
        pipeline.hget(interest_key(user, generation), Field.TOPICS)
        pipeline.get(recommendation_key(user, generation))
    answers = iter(pipeline.execute())
    views = _Views()
    for topics, told in zip(answers, answers, strict=True):
        views.topics.append(msgspec.json.decode(topics, type=dict[str, float]) if topics else {})
        views.items.append([item.item_id for item in recommendations.decode(told).items] if told else [])
    return views


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
