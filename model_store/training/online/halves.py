"""The prequential evaluation of a data set: its second half, click by click, by what was learnt from all before.

A model is trained on the first `TRAINED` of the interactions, and follows the stream from there on; what it predicts is
scored from the middle on. Items that come up later are new to it, as they are to everyone in a stream.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from model_store.catalog.transitions import Transitions
from model_store.model import ModelParts
from model_store.state.content import ItemContent
from model_store.state.memory import DAY_MS, HOUR_MS
from model_store.training.harness import Recipe, Report
from model_store.training.interactions import Interactions
from model_store.training.metrics import Ranking
from model_store.training.online.aged import NEVER_MS
from model_store.training.online.learner import OnlineRecipe
from model_store.training.online.prequential import Ages, Followed, Plan, prequential
from model_store.training.recipes import recipe_for
from model_store.training.train import train

TRAINED, SCORED_FROM = 0.3, 0.5
ROUND_CLICKS = 50
TRANSITION_WEIGHT = 0.3

MINUTE_MS = 60_000
AGES_MS = {"1 min": MINUTE_MS, "1 h": int(HOUR_MS), "1 day": int(DAY_MS), "frozen": NEVER_MS}

FRESH: Mapping[str, Ages] = {"model": Ages()}
FRESHNESS: Mapping[str, Ages] = {
    "model": Ages(),
    **{f"state {name}": Ages(state_ms=age) for name, age in AGES_MS.items()},
    **{f"weights {name}": Ages(weights_ms=age) for name, age in AGES_MS.items()},
    **{f"counts {name}": Ages(counts_ms=age) for name, age in AGES_MS.items()},
    **{f"all {name}": Ages(age, age, age) for name, age in AGES_MS.items()},
}
"""What each part of a score is worth at each age, the others being fresh; and all of them at that age."""

PARTS = ("state", "weights", "counts", "all")

Curve = Mapping[str, Mapping[str, Ranking]]
"""One of `PARTS` -> its age, from the freshest on -> figures."""


def freshness_curve(found: Mapping[str, Ranking]) -> Curve:
    """The figures of the variants `FRESHNESS`, by part and age."""
    return {part: {"0": found["model"], **{age: found[f"{part} {age}"] for age in AGES_MS}} for part in PARTS}


def methods(found: Mapping[str, Ranking]) -> dict[str, Ranking]:
    """The fresh model and those that only count."""
    return {name: of for name, of in found.items() if name == "model" or name not in FRESHNESS}


def second_half(
    data: Interactions,
    seed: int,
    variants: Mapping[str, Ages] = FRESH,
    training: Report | None = None,
    passing: Callable[[int], None] = lambda _done: None,
    content: ItemContent | None = None,
    *,
    catalogue: bool = False,
) -> Followed:
    """How the variants and those that count did on the second half of the interactions. `content`: of all items, which
    the model is trained with; with `catalogue` it is told of before the first event, also where an item comes later."""
    base = first_part(data, replace(recipe_for(data), seed=seed), training, content)
    plan = replace(plan_for(data), variants=variants, catalogue=content if catalogue else None)
    return prequential(data, base, OnlineRecipe(seed=seed), plan, passing)


def first_part(
    data: Interactions, recipe: Recipe, report: Report | None = None, content: ItemContent | None = None
) -> ModelParts:
    """What is known where the stream begins: a model of the first `TRAINED` of the interactions."""
    first = data.take(np.arange(int(len(data) * TRAINED)))
    base = met_only(train(first, recipe, report=report, content=content), first)
    begin = Transitions.none(len(base.index)).weighted(TRANSITION_WEIGHT)
    return replace(base, index=replace(base.index, transitions=begin))


def plan_for(data: Interactions) -> Plan:
    """When to learn, and when to score."""
    return Plan(int(len(data) * TRAINED), int(len(data) * SCORED_FROM), ROUND_CLICKS, FRESH)


def met_only(parts: ModelParts, data: Interactions) -> ModelParts:
    """Without the items that are in none of the interactions: nothing was learnt of them."""
    met = np.bincount(data.item, minlength=len(data.items)) > 0
    return replace(parts, writes=parts.writes.take(met), index=parts.index.take(met))
