"""The approximate search against the exact one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from model_store.catalog import candidates, index
from model_store.catalog.candidates import Candidates
from model_store.catalog.index import Picks
from model_store.state.layout import DIM
from stream_app.refresh import Voice
from tests.bench.model import catalogue_model, current_model
from tests.unit.model_store.catalog.test_index import World, make_world

USERS, TOP = 40, 10


def recommended(world: World, using: index.ItemIndex) -> Picks:
    rows, skip = np.arange(USERS), np.arange(USERS) % 2 == 0
    return using.recommend(world.records, rows, world.outputs, TOP, skip)


def assert_alike(found: Picks, expected: Picks) -> None:
    np.testing.assert_array_equal(found.item, expected.item)
    np.testing.assert_allclose(found.score, expected.score, rtol=1e-5)
    np.testing.assert_array_equal(found.facet, expected.facet)
    np.testing.assert_array_equal(found.topic, expected.topic)


@pytest.mark.parametrize("interests", [1, 3])
def test_where_all_items_are_candidates_the_best_are_the_exact_best(interests: int) -> None:
    world = make_world(USERS, 700, clicks=20, interests=interests)
    assert_alike(recommended(world, world.index.searched(world.outputs)), recommended(world, world.index))


def test_of_many_items_of_some_kinds_nearly_all_of_the_best_are_found() -> None:
    world, rng = make_world(USERS, 30_000, clicks=20), np.random.default_rng(2)
    kinds = _normal(rng, 60, DIM)[rng.integers(0, 60, 30_000)]
    items = replace(world.index, vectors=kinds + 0.3 * world.index.vectors, priors=0.3 * world.index.priors)
    found, exact = recommended(world, items.searched(world.outputs)), recommended(world, items)
    common = [len(np.intersect1d(ours, theirs)) for ours, theirs in zip(found.item, exact.item, strict=True)]
    assert np.mean(common) / TOP >= 0.9


def test_who_has_seen_the_candidates_is_given_the_best_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_CANDIDATES", 3)
    world = make_world(USERS, 900, clicks=20)
    without = World(replace(world.index, transitions=None), world.records, world.outputs, world.history)
    assert_alike(recommended(without, without.index.searched(world.outputs)), recommended(without, without.index))


def test_a_column_that_users_weigh_little_does_not_mislead() -> None:
    rng = np.random.default_rng(3)
    items, users = _normal(rng, 20_000, 8), _normal(rng, 50, 8)
    items[:, 7], users[:, 7] = 100 * items[:, 7], 0.0
    bias = _normal(rng, 20_000)
    best = np.argsort(-(users @ items.T + bias), axis=1)[:, :10]
    found = Candidates.of(items, bias, users).search(users, 800)
    assert np.mean([np.isin(one, some).mean() for one, some in zip(best, found, strict=True)]) >= 0.9


def test_where_there_are_fewer_items_than_asked_for_the_rest_is_none() -> None:
    rng = np.random.default_rng(4)
    found = Candidates.of(_normal(rng, 16, 6), _normal(rng, 16), _normal(rng, 9, 6)).search(_normal(rng, 2, 6), 18)
    assert [sorted(row) for row in found.tolist()] == [[-1, -1, *range(16)]] * 2


@pytest.mark.parametrize("installed", [True, False])
def test_a_voice_searches_where_items_are_too_many(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: bool
) -> None:
    model = current_model(catalogue_model(tmp_path / "models", 700), tmp_path)
    monkeypatch.setattr("stream_app.refresh.EXACT_UP_TO", 10)
    monkeypatch.setattr("stream_app.refresh.is_available", lambda: installed)
    assert (Voice.of(model).model.index.candidates is not None) == installed


def test_the_extra_is_there() -> None:
    assert candidates.is_available()


def _normal(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.float32]:
    return rng.normal(size=shape).astype(np.float32)
