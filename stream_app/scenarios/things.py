"""Draws what there is in a made-up world: topics that break, creators, items."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream_app.contracts.items import Item
from stream_app.scenarios.nature import Nature
from stream_app.scenarios.story import Life

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

START_MS = 1_735_689_600_000
"""2025-01-01: in the past, so no clock takes it for the future."""
NEVER = np.iinfo(np.int64).max

_FIRST = ("Bri", "Kor", "Lum", "Ves", "Tal", "Ono", "Mar", "Zef", "Qui", "Hal", "Jun", "Pel")
_LAST = ("nova", "vik", "dora", "lane", "mira", "stad", "wick", "zeta")


@dataclass(frozen=True, slots=True)
class Things:
    """m items as columns.

    Attributes:
        lives: with their texts.
        topic, creator: int64 [m], places among topics and creators.
        published_ms, withdrawn_ms: int64 [m]; `NEVER` for those that stay.
        appeal: float64 [m], about 1.
    """

    lives: tuple[Life, ...]
    topic: Int64
    creator: Int64
    published_ms: Int64
    withdrawn_ms: Int64
    appeal: Float64


@dataclass(frozen=True, slots=True)
class Shelf:
    """Items of a topic that are there now (int64 [n], places) and how much each draws (float64 [n])."""

    items: Int64
    draw: Float64


def heat_of(nature: Nature, rng: np.random.Generator) -> Float64:
    """float64 [steps, topics]: 1, and more where a topic broke and what is left of it since."""
    heat = np.ones((nature.steps, len(nature.topics)))
    fade = 0.5 ** (nature.step_ms / nature.burst_half_life_ms)
    broke = rng.random(nature.steps) < nature.bursts_per_step
    which = rng.integers(0, len(nature.topics), nature.steps)
    for step in range(nature.steps):
        if step:
            heat[step] = 1 + (heat[step - 1] - 1) * fade
        if broke[step]:
            heat[step, which[step]] = nature.burst_height
    return heat


def creators_of(nature: Nature) -> tuple[str, ...]:
    """Made-up names, all different."""
    names = [first + last for last in _LAST for first in _FIRST]
    return tuple(
        names[place % len(names)] + (f" {place // len(names) + 1}" if place >= len(names) else "")
        for place in range(nature.creators)
    )


def creator_id(name: str) -> str:
    return name.lower().replace(" ", "-")


def things_of(nature: Nature, heat: Float64, rng: np.random.Generator) -> Things:
    """All items that there ever are, by publication."""
    arrives = np.arange(nature.steps) >= nature.first_arrivals
    per_step = rng.poisson(nature.items_per_step * heat.mean(axis=1) * arrives)
    steps = np.repeat(np.arange(nature.steps), per_step)
    count = nature.items_at_start + len(steps)
    before_ms = rng.integers(0, int(2 * nature.attention_half_life_ms), nature.items_at_start)
    since_ms = steps * nature.step_ms + rng.integers(0, nature.step_ms, len(steps))
    published = START_MS + np.concatenate([-before_ms, since_ms])
    topic = np.concatenate(
        [rng.integers(0, heat.shape[1], nature.items_at_start), _topics_by_heat(heat[steps], rng)]
    ).astype(np.int64)
    order = np.argsort(published, kind="stable")
    published, topic = published[order], topic[order]
    creator = _creators(nature, topic, rng)
    ends = (rng.random(count) < nature.ending_share) & ((published >= START_MS) | nature.start_ends)
    withdrawn = np.where(ends, published + _lengths(nature, count, rng), NEVER)
    appeal = rng.lognormal(0, nature.appeal_spread, count)
    lives = _lives(nature, topic, creator, published, withdrawn, rng)
    return Things(lives, topic, creator, published, withdrawn, appeal)


def shelves_at(things: Things, nature: Nature, now_ms: int) -> list[Shelf]:
    """What there is of each topic."""
    here = (things.published_ms <= now_ms) & (things.withdrawn_ms > now_ms)
    age_ms = np.maximum(0, now_ms - things.published_ms)
    fade, missed = 0.5 ** (age_ms / nature.attention_half_life_ms), 0.5 ** (age_ms / nature.found_half_life_ms)
    draw = things.appeal * fade * (1 - missed) ** 2  # few know of it at first
    return [
        Shelf(items, draw[items])
        for items in (np.flatnonzero(here & (things.topic == topic)) for topic in range(len(nature.topics)))
    ]


def _topics_by_heat(heat: Float64, rng: np.random.Generator) -> Int64:
    """int64 [n] of float64 [n, topics]."""
    share = np.cumsum(heat, axis=1)
    drawn: Int64 = (share < rng.random((len(heat), 1)) * share[:, -1:]).sum(axis=1)
    return drawn


def _creators(nature: Nature, topic: Int64, rng: np.random.Generator) -> Int64:
    """A creator has one topic: those of a topic are the ones whose place leaves it as the rest."""
    topics = len(nature.topics)
    of_topic = (nature.creators - 1 - topic) // topics + 1
    chosen: Int64 = topic + topics * rng.integers(0, of_topic)
    return chosen


def _lengths(nature: Nature, count: int, rng: np.random.Generator) -> Int64:
    shortest, longest = np.log(nature.life_ms)
    lengths: Int64 = np.exp(rng.uniform(shortest, longest, count)).astype(np.int64)
    return lengths


def _lives(
    nature: Nature, topic: Int64, creator: Int64, published: Int64, withdrawn: Int64, rng: np.random.Generator
) -> tuple[Life, ...]:
    names, topics = creators_of(nature), tuple(nature.topics)
    lives = []
    for place, (of_topic, by, since, until) in enumerate(
        zip(topic.tolist(), creator.tolist(), published.tolist(), withdrawn.tolist(), strict=True)
    ):
        title = _one_of(nature.patterns, rng).format(
            thing=_one_of(nature.topics[topics[of_topic]], rng),
            quality=_one_of(nature.qualities, rng),
            creator=names[by],
        )
        title = title if until == NEVER else nature.offer.format(title=title)
        item = Item(
            f"{nature.name}-{place}",
            title[:1].upper() + title[1:],
            tags=(topics[of_topic],),
            creator_id=creator_id(names[by]),
            published_at=since,
        )
        lives.append(Life(item, None if until == NEVER else until))
    return tuple(lives)


def _one_of(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
