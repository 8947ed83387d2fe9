"""The prequential pass on a stream whose rule changes half way: the fresher, the better; the floor by plain loops."""

import numpy as np
import numpy.typing as npt
import pytest

from model_store.state.content import ItemContent
from model_store.state.layout import FACET_DIM
from model_store.state.memory import DAY_MS, HOUR_MS
from model_store.training.interactions import Interactions, ItemFacts, Log, assemble
from model_store.training.online.aged import NEVER_MS
from model_store.training.online.halves import met_only
from model_store.training.online.learner import OnlineRecipe
from model_store.training.online.prequential import (
    POPULARITY,
    RECENT,
    RECENT_POPULARITY,
    TRANSITIONS,
    Ages,
    Plan,
    prequential,
)
from model_store.training.train import Recipe, train

Float32 = npt.NDArray[np.float32]

USERS, ITEMS, LENGTH = 60, 40, 24
HALF = USERS * LENGTH // 2


@pytest.fixture(scope="module")
def data() -> Interactions:
    """Everybody clicks once an hour; step 1 in the first half, step 3 in the second."""
    rng = np.random.default_rng(0)
    at = rng.integers(0, ITEMS, USERS)
    rows = []
    for hour in range(LENGTH):
        at = (at + (1 if hour < LENGTH // 2 else 3)) % ITEMS
        rows += [(user, int(at[user]), hour * HOUR_MS + 1000 * user) for user in range(USERS)]
    log = Log(
        [f"u{user}" for user, _, _ in rows],
        [f"i{item}" for _, item, _ in rows],
        1_700_000_000_000 + np.array([ts for _, _, ts in rows], np.int64),
        np.full(len(rows), np.nan, np.float32),
        5.0,
    )
    return assemble("walk", "none", log, ItemFacts())


def test_the_fresher_the_better_and_the_floor_is_right(data: Interactions) -> None:
    base = train(data.take(np.arange(HALF)), Recipe(epochs=20, tokens=400, rate=1e-2, dropout=0.0))
    hour = int(HOUR_MS)
    plan = Plan(
        HALF,
        HALF,
        round_clicks=20,
        variants={
            "fresh": Ages(),
            "state of 3 h": Ages(state_ms=3 * hour),
            "weights of 3 h": Ages(weights_ms=3 * hour),
            "counts of 3 h": Ages(counts_ms=3 * hour),
            "frozen": Ages(NEVER_MS, NEVER_MS, NEVER_MS),
        },
    )
    done: list[int] = []
    followed = prequential(data, base, OnlineRecipe(rate=5e-3, passes=3, replays=0, dropout=0.0), plan, done.append)
    found = followed.rankings()
    assert done[-1] == len(data)
    rate = {name: of.hit_rate_10 for name, of in found.items()}
    assert all(of.users == len(data) - HALF for of in found.values())
    assert rate["fresh"] > rate["frozen"] + 0.2
    for older in ("state of 3 h", "weights of 3 h"):
        assert rate["frozen"] < rate[older] < rate["fresh"]
    assert set(found) - set(plan.variants) == {POPULARITY, *RECENT, TRANSITIONS}
    total, recent = _floor(data)
    assert rate[POPULARITY] == pytest.approx(total)
    assert rate[RECENT_POPULARITY] == pytest.approx(recent, abs=0.004)  # float32 may tie what float64 does not
    before = [int(np.sum(data.item[:place] == data.item[place])) for place in range(HALF, len(data))]
    assert followed.clicks_before.tolist() == before
    rare = followed.clicks_before < 30
    assert 0 < followed.rankings(rare)[POPULARITY].users == rare.sum() < len(data) - HALF


def twins() -> tuple[Interactions, Float32]:
    """Users of two tastes; each item lives for a while, and then another of the same content takes its place."""
    rng = np.random.default_rng(1)
    rows, content = [], rng.normal(size=(2, FACET_DIM)).astype(np.float32)
    lives, tastes, each = 60, 2, 24
    for life in range(lives):
        for user in range(each):
            items = [f"{user % tastes}-{life}-{part}" for part in range(3)]
            rows += [(f"u{user}", item, (life * each + user) * 60_000 + at) for at, item in enumerate(items)]
    log = Log(
        [user for user, _, _ in rows],
        [item for _, item, _ in rows],
        1_700_000_000_000 + np.array([ts for _, _, ts in rows], np.int64),
        np.full(len(rows), np.nan, np.float32),
        5.0,
    )
    data = assemble("twins", "none", log, ItemFacts())
    noise = rng.normal(0, 0.05, (len(data.items), FACET_DIM)).astype(np.float32)
    return data, content[[int(item[0]) for item in data.items]] + noise


def test_what_a_catalogue_tells_of_items_finds_those_nobody_has_clicked() -> None:
    data, vectors = twins()
    content = ItemContent.encoded("e", vectors)
    half = len(data) // 2
    first = data.take(np.arange(half))
    base = met_only(train(first, Recipe(epochs=6, tokens=400), content=content), first)
    recipe = OnlineRecipe(popularity_weights=(0, 0, 0, 0), vectors_kept=1.0)
    of = {}
    for name, told in (("silent", content.silenced()), ("told", content)):
        followed = prequential(data, base, recipe, Plan(half, half, 72, catalogue=told))
        new = followed.clicks_before == 0
        of[name] = float(np.median(followed.ranks["model"][new]))
    assert of["told"] < 0.7 * of["silent"]


def _floor(data: Interactions) -> tuple[float, float]:
    """HR@10 of popularity and of popularity with a half-life of 7 days, click by click."""
    hits = [0, 0]
    for place in range(HALF, len(data)):
        age_days = (data.ts_ms[place] - data.ts_ms[:place]) / DAY_MS
        had = set(data.item[:place][data.user[:place] == data.user[place]].tolist())
        wanted = int(data.item[place])
        for which, worth in enumerate((np.ones(place), 0.5 ** (age_days / 7))):
            score = np.bincount(data.item[:place], weights=worth, minlength=len(data.items))
            others = [item for item in range(len(data.items)) if item not in had and item != wanted]
            better = sum(score[item] >= score[wanted] for item in others)
            hits[which] += wanted not in had and score[wanted] > 0 and better < 10
    return hits[0] / (len(data) - HALF), hits[1] / (len(data) - HALF)
