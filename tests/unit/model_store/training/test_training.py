"""Training, evaluation and publishing on a world whose rule is known: after item i comes item i + 1."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from rich.console import Console

from model_store.card import read_card
from model_store.encoder.columns import Outputs
from model_store.model import InterestModel, export, load_model, load_parts
from model_store.registry import ModelRegistry
from model_store.state.features import features
from model_store.state.layout import DIM, LANES, RANK_LANES
from model_store.training.ablation import WHOLE, ablation, without
from model_store.training.calibration import BASE_RATE, OWN_PAST, calibrations
from model_store.training.evaluate import HELD_OUT, evaluate, index_rows, metric_of_states
from model_store.training.interactions import Interactions, ItemFacts, Log, assemble
from model_store.training.publish import train_and_publish
from model_store.training.report import ablation_table, calibration_table, document, table
from model_store.training.states import states_of
from model_store.training.train import Progress, Recipe, train

ITEMS, USERS, LENGTH = 60, 80, 14
RECIPE = Recipe(epochs=40, tokens=600, rate=1e-2, dropout=0.0)


@pytest.fixture(scope="module")
def data() -> Interactions:
    rng = np.random.default_rng(0)
    start = rng.integers(0, ITEMS, USERS)
    rows = [(user, int(start[user] + step) % ITEMS, step) for step in range(LENGTH) for user in range(USERS)]
    log = Log(
        [f"u{user}" for user, _, _ in rows],
        [f"i{item}" for _, item, _ in rows],
        1_700_000_000_000 + np.array([step * 3_600_000 for _, _, step in rows], np.int64),
        rng.integers(1, 6, len(rows)).astype(np.float32),
        5.0,
    )
    topics = {f"i{item}": ["low" if item < ITEMS // 2 else "high"] for item in range(ITEMS)}
    return assemble("steps", "none", log, ItemFacts({item: item.upper() for item in topics}, topics))


@dataclass(frozen=True)
class Trained:
    model: InterestModel
    progress: list[Progress]


@pytest.fixture(scope="module")
def trained(data: Interactions, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder: Path = tmp_path_factory.mktemp("trained")
    progress: list[Progress] = []
    export(train(data.without_last(HELD_OUT), RECIPE, generation=7, report=progress.append), folder, "v1")
    return Trained(load_model(folder), progress)


def test_the_rule_is_learnt(trained: Trained, data: Interactions) -> None:
    model, popularity, *_ = evaluate(trained.model, data)
    assert model.ranking.users == USERS
    assert model.ranking.of(1).hit_rate.value > 0.9
    assert popularity.ranking.of(1).hit_rate.value < 0.2
    assert model.topics is not None
    assert model.topics.accuracy > 0.9


def test_the_rule_is_learnt_by_several_interests_and_trained_on(data: Interactions, tmp_path: Path) -> None:
    export(train(data.without_last(HELD_OUT), replace(RECIPE, interests=2)), tmp_path / "v1", "v1")
    assert evaluate(load_model(tmp_path / "v1"), data)[0].ranking.of(1).hit_rate.value > 0.9
    parts = load_parts(tmp_path / "v1")
    assert parts.network.interest_count == 2
    export(parts, tmp_path / "v2", "v2")
    assert evaluate(load_model(tmp_path / "v2"), data)[0].ranking.of(1).hit_rate.value > 0.9


def test_the_facets_know_the_rule_too(trained: Trained, data: Interactions) -> None:
    """Behaviour alone finds the next item; content alone finds its half of the catalogue."""
    model, before = trained.model, data.without_last(1)
    records = states_of(before, model.writes, model.decays).records
    outputs = Outputs.of(model.readout.large(features(records, np.arange(USERS))))
    target = index_rows(model, list(data.items))[data.last()]
    behaviour = (outputs.behaviour @ model.index.vectors.T + model.index.bias).argmax(axis=1)
    assert (behaviour == target).mean() > 0.7
    content = (outputs.content @ model.index.vectors.T + model.index.bias).argmax(axis=1)
    # Who stands between the halves cannot be told by content; a guess is right half the time.
    assert (model.index.topic[content] == model.index.topic[target]).mean() > 0.6


def test_the_loss_falls_and_the_time_left_is_told(trained: Trained) -> None:
    first, last = trained.progress[0], trained.progress[-1]
    assert last.loss < first.loss / 2
    assert (first.step, last.step) == (1, len(trained.progress))
    assert first.left > 0
    assert last.left == pytest.approx(0, abs=last.elapsed * 0.05)


def test_what_was_trained_is_what_is_loaded(trained: Trained, data: Interactions) -> None:
    model = trained.model
    assert (model.version, model.generation, model.topics) == ("v1", 7, ("high", "low"))
    assert model.index.item_ids == data.items
    assert model.index.titles == data.titles
    np.testing.assert_array_equal(model.writes.item_hashes, model.index.hashes)
    np.testing.assert_array_equal(model.writes.vectors, model.index.vectors)  # one table in training
    assert model.decays == RECIPE.decays


def _naive_ranks(model: InterestModel, data: Interactions, back: int) -> list[int]:
    before, found = data.without_last(back + 1), []
    records: npt.NDArray[np.void] = states_of(before, model.writes, model.decays).records
    for user in range(len(data.users)):
        vector = model.readout.small(features(records, np.array([user])))[0, : model.index.vectors.shape[1]]
        score = {item: float(vector @ model.index.vectors[item] + model.index.bias[item]) for item in range(ITEMS)}
        seen, target = set(before.item[before.user == user].tolist()), int(data.last(back)[user])
        found.append(sum(score[item] >= score[target] for item in score if item not in seen and item != target))
    return found


@pytest.mark.parametrize("back", [0, 1])
def test_evaluation_against_plain_loops(trained: Trained, data: Interactions, back: int) -> None:
    ranks = np.array(_naive_ranks(trained.model, data, back))
    figures = evaluate(trained.model, data, back)[0].ranking
    assert figures.hit_rate_10 == pytest.approx((ranks < 10).mean())
    assert figures.of(20).reciprocal_rank.value == pytest.approx(
        np.where(ranks < 20, 1 / (ranks + 1), 0).mean(), abs=1e-3
    )


def test_probabilities_of_topics_are_told_beside_those_of_the_past(trained: Trained, data: Interactions) -> None:
    found = calibrations(trained.model, data)
    assert list(found) == ["model", OWN_PAST, BASE_RATE]
    assert all(of.users == USERS for of in found.values())
    # Who walks through the catalogue has just left one half of it: the past says little, the rule says all.
    assert found["model"].brier < 0.2 < min(found[OWN_PAST].brier, found[BASE_RATE].brier)
    assert found[BASE_RATE].brier == pytest.approx(0.5, abs=0.05)
    points = document(data, evaluate(trained.model, data), found)["calibration"]["model"]["reliability"]
    assert sum(point["count"] for point in points) == USERS * len(data.topics)
    assert calibration_table(found).row_count == 3


def test_what_is_taken_out_costs_what_it_is_worth(trained: Trained, data: Interactions) -> None:
    found = {one.row.name: one for one in ablation(trained.model, data)}
    # Nobody follows anybody here, and `social` is no trained facet: neither has a line.
    lines = ["without lanes by order", "without lanes by time", "without content", "without transitions"]
    assert list(found) == [WHOLE, *lines, "behaviour alone", "content alone"]
    whole = found[WHOLE]
    assert whole.row.ranking == evaluate(trained.model, data)[0].ranking
    assert (whole.lost.value, whole.lost.low, whole.lost.high) == (0, 0, 0)
    for one in found.values():
        assert one.lost.value == pytest.approx(whole.row.ranking.ndcg_10 - one.row.ranking.ndcg_10)
        assert one.lost.low <= one.lost.value <= one.lost.high
    # The last item says what comes next, and only the lanes by order know it for sure.
    assert found["without lanes by order"].lost.low > 0.1
    assert found["content alone"].lost.value > found["behaviour alone"].lost.value
    assert found["content alone"].row.topics is None
    assert [one["row"]["name"] for one in document(data, (), ablated=list(found.values()))["ablation"]] == list(found)
    assert ablation_table(list(found.values())).row_count == len(found)


def test_a_part_is_taken_out_of_a_copy(trained: Trained, data: Interactions) -> None:
    model = trained.model
    records = states_of(data, model.writes, model.decays).records
    emptied, whole = (features(of, np.arange(USERS)) for of in (without(records, ("rank", "rank_weight")), records))
    by_order, by_time = slice(0, RANK_LANES * DIM), slice(RANK_LANES * DIM, LANES * DIM)
    assert not emptied[:, by_order].any()
    np.testing.assert_array_equal(emptied[:, by_time], whole[:, by_time])
    assert records["rank"].any()


def test_each_user_is_in_one_length_group_and_one_popularity_group(trained: Trained, data: Interactions) -> None:
    model, *_ = evaluate(trained.model, data)
    for groups in (model.by_length, model.by_popularity):
        assert sum(group.users for group in groups.values()) == model.ranking.users
        hits = sum(group.hit_rate_10 * group.users for group in groups.values())
        assert hits == pytest.approx(model.ranking.hit_rate_10 * model.ranking.users)
    lengths = [int((data.without_last(1).user == user).sum()) for user in range(len(data.users))]
    assert model.by_length["10-19"].users == sum(10 <= length < 20 for length in lengths)
    assert model.coverage[20] == 1.0


def test_the_metric_of_states_is_that_of_the_file(trained: Trained, data: Interactions) -> None:
    """These users have seen so few items that the filter knows every one of them exactly."""
    model = trained.model
    records = states_of(data.without_last(1), model.writes, model.decays).records
    targets = index_rows(model, list(data.items))[data.last()]
    of_states, of_file = metric_of_states(model, records, targets), evaluate(model, data)[0]
    assert (of_states.ranking, of_states.topics) == (of_file.ranking, of_file.topics)
    targets[3:] = -1
    assert metric_of_states(model, records, targets).ranking.users == 3


def test_items_that_the_model_does_not_know_are_misses(trained: Trained, data: Interactions) -> None:
    renamed = replace(data, items=tuple(f"other-{item}" for item in data.items))
    assert evaluate(trained.model, renamed)[0].ranking.hit_rate_10 == 0


def test_a_set_without_topics_and_ratings(data: Interactions, tmp_path: Path) -> None:
    bare = replace(
        data,
        topics=(),
        item_topics=np.zeros((ITEMS, 0), np.float32),
        rating=np.full(len(data), np.nan, np.float32),
        times="synthetic",
    )
    export(train(bare.without_last(HELD_OUT), replace(RECIPE, epochs=1)), tmp_path, "bare")
    rows = evaluate(load_model(tmp_path), bare)
    assert {row.topics for row in rows} == {None}
    assert calibrations(load_model(tmp_path), bare) == {}
    assert "synthetic" in str(table(bare, rows).caption)


def test_training_is_repeatable(data: Interactions) -> None:
    short = replace(RECIPE, epochs=1, dropout=0.2)
    one, same, other = (train(data, replace(short, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_allclose(one.writes.vectors, same.writes.vectors, atol=1e-4)
    assert np.abs(one.writes.vectors - other.writes.vectors).max() > 0.1


def test_publishing_trains_compares_and_promotes(data: Interactions, tmp_path: Path) -> None:
    registry, console = ModelRegistry(str(tmp_path / "store")), Console(record=True, width=120)
    version = train_and_publish(data, registry, recipe=replace(RECIPE, epochs=1), console=console)
    assert registry.current() == version
    card = read_card(registry.fetch(version, tmp_path / "fetched"))
    assert card.made["interactions"] == USERS * (LENGTH - HELD_OUT)
    names = ["model", "popularity", "decayed popularity", "item transitions"]
    assert [row["name"] for row in card.made["test"]] == names
    shown = console.export_text()
    for word in (*names, "HR@10", "NDCG@10", "recall"):
        assert word in shown
