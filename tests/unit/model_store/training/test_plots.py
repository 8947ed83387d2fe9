"""The pictures: what is drawn is what was measured, and a file is whole and the same each time."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from model_store.model import InterestModel
from model_store.state.features import features
from model_store.training.calibration import calibration
from model_store.training.evaluate import Row
from model_store.training.interactions import Interactions, ItemFacts, Log, assemble
from model_store.training.metrics import ranking
from model_store.training.plots import by_group, item_map, learning_curve, of_evaluation, reliability, write
from model_store.training.projection import Plane, interactions_of_items, typical_user, vectors_after_each
from model_store.training.states import states_of
from tests.bench.model import catalogue_model, current_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InterestModel:
    folder = tmp_path_factory.mktemp("model")
    return current_model(catalogue_model(folder / "models", 30), folder / "fetched")


@pytest.fixture(scope="module")
def data(model: InterestModel) -> Interactions:
    """ann has 3 interactions, bob 5, cy 9, and one item is unknown to the model."""
    users = ["ann"] * 3 + ["bob"] * 5 + ["cy"] * 9
    items = [*(model.index.item_ids[place % 11] for place in range(16)), "unknown"]
    log = Log(users, items, np.arange(17, dtype=np.int64) * 60_000, np.full(17, np.nan, np.float32), 1.0)
    return assemble("three users", "none", log, ItemFacts())


@pytest.fixture
def rows() -> list[Row]:
    rank = np.arange(40)
    return [
        Row(name, ranking(of), None, {"1-9": ranking(of[:20]), "10+": ranking(of[20:])}, {"head": ranking(of)})
        for name, of in (("model", rank // 4), ("popularity", rank))
    ]


def _axes(figure: Figure) -> tuple[str, str, str]:
    axes = figure.axes[0]
    return axes.get_title("left"), axes.get_xlabel(), axes.get_ylabel()


def test_quality_by_group_shows_the_means_and_their_intervals(rows: list[Row]) -> None:
    figure = by_group("by length", "interactions", rows, lambda row: row.by_length)
    line, low_high = figure.axes[0].containers[0][0], figure.axes[0].containers[0][2][0]  # type: ignore[index]
    ndcg = [of.of(10).ndcg for of in rows[0].by_length.values()]
    assert line.get_ydata().tolist() == pytest.approx([mean.value for mean in ndcg])
    ends = [segment[:, 1].tolist() for segment in low_high.get_segments()]
    assert ends == [pytest.approx([mean.low, mean.high]) for mean in ndcg]
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["1-9\n20 users", "10+\n20 users"]
    assert _axes(figure) == ("by length", "interactions", "NDCG@10 (95 % interval)")


def test_reliability_shows_the_bins() -> None:
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(4), 200).astype(np.float32)
    found = calibration(probability, np.eye(4, dtype=np.float32)[rng.integers(0, 4, 200)])
    lines = reliability({"model": found}).axes[0].get_lines()
    assert np.asarray(lines[1].get_ydata()).tolist() == [point.observed for point in found.reliability]
    assert np.asarray(lines[1].get_xdata()).tolist() == [point.predicted for point in found.reliability]


def test_learning_curve_shows_the_loss() -> None:
    figure = learning_curve([{"epoch": 1, "loss": 6.0}, {"epoch": 2, "loss": 5.5}])
    assert np.asarray(figure.axes[0].get_lines()[0].get_ydata()).tolist() == [6.0, 5.5]


def test_the_way_ends_where_the_state_is(model: InterestModel, data: Interactions) -> None:
    way = vectors_after_each(model, data, user=1)
    assert way.shape == (5, model.index.vectors.shape[1])
    records = states_of(data, model.writes, model.decays).records
    last = model.readout.small(features(records, np.array([1])))[0]
    np.testing.assert_allclose(way[-1], last[: way.shape[1]], rtol=1e-5)
    assert np.abs(way[0] - way[-1]).max() > 1e-3


def test_the_typical_user_has_a_history_of_median_length(data: Interactions) -> None:
    assert typical_user(data) == 1


def test_items_unknown_to_the_model_count_nowhere(model: InterestModel, data: Interactions) -> None:
    times = interactions_of_items(model, data)
    assert times[:11].tolist() == [2.0] * 5 + [1.0] * 6
    assert times.sum() == 16


def test_the_plane_shows_the_directions_in_which_items_differ() -> None:
    """Points on a circle in the first and third dimension, of any length."""
    angle = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    length = np.random.default_rng(0).uniform(1, 9, 100)
    vectors = np.zeros((100, 6), np.float32)
    vectors[:, 0], vectors[:, 2] = length * np.cos(angle), length * np.sin(angle)
    plane = Plane.of(vectors, np.ones(100, np.float32))
    assert sum(plane.explained) == pytest.approx(1)
    np.testing.assert_allclose(np.linalg.norm(plane.of_vectors(vectors), axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(plane.axes.T @ plane.axes, np.eye(2), atol=1e-6)


def test_what_has_no_weight_does_not_turn_the_plane() -> None:
    rng = np.random.default_rng(1)
    vectors, weight = rng.normal(size=(50, 6)).astype(np.float32), np.ones(50, np.float32)
    weight[30:] = 0
    some, all_of_them = Plane.of(vectors[:30], weight[:30]), Plane.of(vectors, weight)
    np.testing.assert_allclose(np.abs(some.axes), np.abs(all_of_them.axes), atol=1e-4)


def test_the_map_has_every_item_once(model: InterestModel, data: Interactions) -> None:
    *items, way = item_map(model, data, user=1).axes[0].collections
    assert sum(len(points.get_offsets()) for points in items) == len(model.index)  # type: ignore[arg-type]
    assert len(way.get_offsets()) == 5  # type: ignore[arg-type]


def test_pictures_are_whole_files_and_the_same_each_time(
    model: InterestModel, data: Interactions, rows: list[Row], tmp_path: Path
) -> None:
    probability = np.full((4, 2), 0.5, np.float32)
    topics = {"model": calibration(probability, np.eye(2, dtype=np.float32)[[0, 1, 0, 1]])}
    curve = [{"epoch": 1, "loss": 6.0}]
    paths = [write(tmp_path / name, of_evaluation(model, data, rows, topics, curve)) for name in ("one", "two")]
    names = ["quality-by-length.svg", "quality-by-popularity.svg", "items.png"]
    assert [path.name for path in paths[0]] == [*names, "topics-reliability.svg", "learning-curve.svg"]
    for one, same in zip(*paths, strict=True):
        assert one.read_bytes() == same.read_bytes()
        if one.suffix == ".svg":
            assert ElementTree.parse(one).getroot().tag.endswith("svg")
        else:
            assert one.read_bytes().startswith(b"\x89PNG")


def test_what_there_is_nothing_of_is_not_drawn(model: InterestModel, data: Interactions, rows: list[Row]) -> None:
    assert set(of_evaluation(model, data, rows, {})) == {
        "quality-by-length.svg",
        "quality-by-popularity.svg",
        "items.png",
    }
