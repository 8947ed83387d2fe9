"""The readout: what depends on what, and that every way of calling it gives the same."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from model_store.encoder import columns
from model_store.encoder.columns import (
    BANK,
    BLEND,
    CONTENT,
    CONTEXT,
    FEATURES,
    FOLLOWED,
    INTEREST,
    SOCIAL,
    WEIGHTS,
    Outputs,
    shown,
)
from model_store.encoder.network import ReadoutNetwork
from model_store.encoder.readout import SMALL_LIMIT, Readout, export_readout, restored_network
from model_store.encoder.runtime import tf, use_threads
from model_store.state.layout import DIM, LANES

TOPICS = 18


@dataclass(frozen=True)
class Exported:
    network: ReadoutNetwork
    readout: Readout


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder: Path = tmp_path_factory.mktemp("readout")
    network = ReadoutNetwork(TOPICS, seed=3, context=True)
    for begins_at_zero in (network._blend, *network._context):
        begins_at_zero.assign(np.random.default_rng(4).normal(0, 0.1, begins_at_zero.shape))
    export_readout(network, folder)
    return Exported(network, Readout(folder))


def _features(count: int, seed: int = 0, followees: int = 3) -> columns.Float32:
    rows = np.random.default_rng(seed).normal(0, 0.3, (count, FEATURES)).astype(np.float32)
    rows[:, SOCIAL] *= followees > 0
    rows[:, FOLLOWED] = np.log1p(followees)
    return rows


def test_columns_cover_a_feature_row_once() -> None:
    names = [BANK, CONTENT, SOCIAL, WEIGHTS, FOLLOWED, CONTEXT]
    covered = [index for part in names for index in range(FEATURES)[part]]
    assert covered == list(range(FEATURES))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16, 17, 63, 64])
def test_small_large_and_the_network_agree(exported: Exported, count: int) -> None:
    features = _features(count, seed=count)
    small, large = exported.readout.small(features), exported.readout.large(features)
    np.testing.assert_allclose(small, large, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(large, exported.network.outputs(tf.constant(features)).numpy(), rtol=2e-5, atol=2e-5)


def test_a_row_does_not_depend_on_its_neighbours(exported: Exported) -> None:
    features = _features(700)
    together = exported.readout.large(features)
    for row in (0, 333, 699):
        np.testing.assert_allclose(
            exported.readout.small(features[row : row + 1])[0], together[row], rtol=2e-5, atol=2e-5
        )


def test_an_earlier_batch_leaves_nothing_behind(exported: Exported) -> None:
    features = _features(20)
    alone = exported.readout.small(features[:3])
    exported.readout.small(features[3:7])
    np.testing.assert_array_equal(exported.readout.small(features[:3]), alone)
    held = exported.readout.small(features[:3])
    exported.readout.small(features[3:6])
    np.testing.assert_array_equal(held, alone)


def test_no_batch_size_makes_tensorflow_trace_again(exported: Exported) -> None:
    loaded, made = exported.readout.traces(), exported.network.traces
    for count in (*range(1, 70), 100, 511, 512, 513, 2047, 4096, 5000):
        exported.readout.any(_features(count))
        exported.readout.large(_features(count))
    assert exported.readout.traces() == loaded
    assert exported.network.traces == made


def test_threads_are_fixed_once_tensorflow_runs(exported: Exported) -> None:
    exported.readout.large(_features(1))
    use_threads(1)
    with pytest.raises(RuntimeError, match="after initialization"):
        use_threads(2)
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1


def test_batches_of_none_and_too_many(exported: Exported) -> None:
    assert exported.readout.small(_features(0)).shape == (0, exported.readout.width)
    assert exported.readout.large(_features(0)).shape == (0, exported.readout.width)
    with pytest.raises(ValueError, match="use large"):
        exported.readout.small(_features(SMALL_LIMIT + 1))


def test_outputs_are_laid_out_as_promised(exported: Exported) -> None:
    rows = exported.readout.small(_features(5))
    parts = Outputs.of(rows)
    assert rows.shape == (5, 4 * DIM + TOPICS + BLEND)
    columns = (parts.vector, parts.behaviour, parts.social, parts.content, parts.topics, parts.priors)
    rebuilt = np.concatenate([*columns, parts.transitions[:, None]], axis=1)
    np.testing.assert_array_equal(rebuilt, rows)
    np.testing.assert_allclose(parts.topics.sum(axis=1), 1, atol=1e-5)
    alone = Outputs.of(exported.readout.small(_features(5, followees=0)))
    np.testing.assert_allclose((alone.vector**2).mean(axis=1), 1, atol=1e-3)  # gains are 1 before training


def test_further_interests_come_last_and_leave_the_first_as_it_was(tmp_path: Path) -> None:
    features, one = _features(5), ReadoutNetwork(TOPICS, seed=3)
    network = ReadoutNetwork(TOPICS, seed=3, interests=3)
    for number, head in enumerate(network._further):
        head._counts_bias.assign([number + 1.0])
    export_readout(network, tmp_path)
    readout = Readout(tmp_path)
    rows = readout.small(features)
    np.testing.assert_allclose(rows, readout.large(features), rtol=2e-5, atol=2e-5)
    assert rows.shape == (5, 4 * DIM + TOPICS + BLEND + 2 * INTEREST)
    np.testing.assert_allclose(rows[:, : -2 * INTEREST], one.outputs(tf.constant(features)), rtol=2e-5, atol=2e-5)
    parts = Outputs.of(rows)
    assert (parts.topics.shape, parts.further.shape) == ((5, TOPICS), (5, 2, DIM))
    np.testing.assert_allclose(parts.log_weights, [[1, 2]] * 5)
    np.testing.assert_array_equal(parts.further[:, 1], rows[:, -INTEREST:-1])
    assert not np.allclose(parts.further[:, 0], parts.further[:, 1], atol=0.1)
    np.testing.assert_array_equal(shown(rows), rows[:, : 4 * DIM + TOPICS])
    again = restored_network(tmp_path, TOPICS, 3)
    np.testing.assert_allclose(again.outputs(tf.constant(features)), rows, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("topics", [0, 1, 24])
@pytest.mark.parametrize("further", [0, 1, 7])
def test_the_width_tells_topics_and_interests(topics: int, further: int) -> None:
    rows = np.arange(2 * (4 * DIM + topics + BLEND + further * INTEREST), dtype=np.float32).reshape(2, -1)
    parts = Outputs.of(rows)
    assert (parts.topics.shape, parts.further.shape, parts.log_weights.shape) == (
        (2, topics), (2, further, DIM), (2, further),
    )  # fmt: skip
    assert parts.transitions.tolist() == rows[:, 4 * DIM + topics + BLEND - 1].tolist()


def test_an_item_scores_by_all_interests() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 4 * DIM + BLEND + 2 * INTEREST)).astype(np.float32)
    items = rng.normal(size=(5, DIM)).astype(np.float32)
    for user, item in np.ndindex(3, 5):
        first, second = (rows[user, start:][: DIM + 1].astype(float) for start in (-2 * INTEREST, -INTEREST))
        terms = [float(rows[user, :DIM] @ items[item])] + [
            one[DIM] + one[:DIM] @ items[item] for one in (first, second)
        ]
        expected = np.log(np.sum(np.exp(terms)))
        assert Outputs.of(rows).dots(items)[user, item] == pytest.approx(expected, rel=1e-4)


def test_more_topics_than_there_is_room_for_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 24 topics"):
        ReadoutNetwork(25, seed=0)


def _changed_by(exported: Exported, part: slice) -> set[str]:
    before = _features(4)
    after = before.copy()
    after[:, part] += 1
    old, new = (Outputs.of(exported.readout.small(rows)) for rows in (before, after))
    names = ("vector", "behaviour", "social", "content", "topics", "priors", "transitions")
    return {name for name in names if not np.allclose(getattr(old, name), getattr(new, name), atol=1e-6)}


def test_each_facet_reads_its_own_part_of_the_memory(exported: Exported) -> None:
    blend = ("priors", "transitions")
    assert _changed_by(exported, SOCIAL) == {"vector", "social", "topics", *blend}
    assert _changed_by(exported, BANK) == {"vector", "behaviour", "topics", *blend}
    assert _changed_by(exported, CONTENT) == {"vector", "content", "topics", *blend}
    assert _changed_by(exported, WEIGHTS) == {"vector", "topics", *blend}
    assert _changed_by(exported, FOLLOWED) == set()  # how many they are counts once that is learnt
    assert _changed_by(exported, CONTEXT) == {"vector", "topics", *blend}


def test_a_context_is_worth_nothing_before_it_is_learnt_and_is_read_only_where_it_is_kept() -> None:
    rows, without = _features(4), _features(4)
    without[:, CONTEXT] = 0
    blind, begun = ReadoutNetwork(2, seed=1), ReadoutNetwork(2, seed=1, context=True)
    expected = blind.outputs(tf.constant(without)).numpy()
    for network in (blind, begun):
        np.testing.assert_array_equal(network.outputs(tf.constant(rows)).numpy(), expected)
    assert len(begun.trainable_variables) == len(blind.trainable_variables) + 2
    assert len(begun.history_weights) == len(blind.history_weights)


def test_what_was_learnt_of_the_context_comes_back(exported: Exported, tmp_path: Path) -> None:
    export_readout(exported.network, tmp_path)
    again = restored_network(tmp_path, TOPICS, 1, context=True)
    expected = exported.readout.small(_features(5))
    np.testing.assert_allclose(again.outputs(tf.constant(_features(5))), expected, rtol=2e-5, atol=2e-5)


def test_followees_pull_the_less_the_more_a_user_has_done() -> None:
    """Before anything is learnt of follows. Pulled is the vector, by so much, to what the followees are."""
    network, rows = ReadoutNetwork(2, seed=1), _features(3)
    rows[0, WEIGHTS], rows[1, WEIGHTS], rows[2, WEIGHTS] = 0, np.log1p(1), np.log1p(10)
    pull = network.pull(tf.constant(rows)).numpy()[:, 0]
    expected = [1 / (1 + np.exp(-1 + 0.5 * 6 * weight)) for weight in (0, np.log1p(1), np.log1p(10))]
    np.testing.assert_allclose(pull, expected, rtol=1e-5)
    alone = rows.copy()
    alone[:, SOCIAL], alone[:, FOLLOWED] = 0, 0
    own, vector = (network.vector(tf.constant(of)).numpy() for of in (alone, rows))
    assert not network.pull(tf.constant(alone)).numpy().any()
    np.testing.assert_allclose(vector, own + pull[:, None] * (rows[:, SOCIAL] - own), atol=1e-5)


def test_all_interests_are_pulled_alike() -> None:
    network, rows = ReadoutNetwork(2, seed=1, interests=2), _features(3)
    alone = rows.copy()
    alone[:, SOCIAL], alone[:, FOLLOWED] = 0, 0
    with_them, without = (network.interests(tf.constant(of)) for of in (rows, alone))
    pull = network.pull(tf.constant(rows)).numpy()
    for one, other in zip(with_them, without, strict=True):
        expected = other.vector + pull * (rows[:, SOCIAL] - other.vector)
        np.testing.assert_allclose(one.vector, expected, atol=1e-5)
        np.testing.assert_array_equal(one.log_weight, other.log_weight)


def test_the_size_of_a_memory_says_nothing_but_its_weight_does(exported: Exported) -> None:
    features = _features(4)
    doubled = features.copy()
    doubled[:, BANK] *= 2
    np.testing.assert_allclose(exported.readout.small(doubled), exported.readout.small(features), atol=1e-3)


def test_a_user_without_memory_gets_finite_numbers(exported: Exported) -> None:
    rows = exported.readout.small(np.zeros((1, FEATURES), np.float32))
    assert np.isfinite(rows).all()
    assert not Outputs.of(rows).social.any()


def test_a_model_without_topics_is_possible(tmp_path: Path) -> None:
    export_readout(ReadoutNetwork(0, seed=0), tmp_path)
    readout = Readout(tmp_path)
    assert readout.width == 4 * DIM + BLEND
    assert readout.small(_features(3)).shape == readout.large(_features(3)).shape == (3, 4 * DIM + BLEND)


def test_the_vector_is_what_the_description_says(exported: Exported) -> None:
    """The fused path again, in numpy."""
    network = exported.network
    features = _features(8)

    def norm(values: columns.Float32) -> columns.Float32:
        return values / np.sqrt((values**2).mean(axis=-1, keepdims=True) + 1e-6)

    def gated(values: columns.Float32) -> columns.Float32:
        gate, value = np.split(values, 2, axis=1)
        return gate / (1 + np.exp(-gate)) * value

    lanes = norm(features[:, BANK].reshape(8, LANES, DIM)).reshape(8, -1)
    fused = np.concatenate([lanes, norm(features[:, CONTENT]), features[:, WEIGHTS] / 2], axis=1)
    wide = fused @ network._gate_in.numpy() + network._bias_in.numpy()
    sizes = np.array([2.0] * 32 + [0.5] * 3)  # of harmonics and regions, and of logarithms
    context = features[:, CONTEXT] * sizes
    stream = gated(wide + context @ network._context[0].numpy()) @ network._gate_out.numpy()
    stream += network._bias_out.numpy()
    for gain, wide, narrow in network._blocks:
        stream = stream + gated((norm(stream) * gain.numpy()) @ wide.numpy()) @ narrow.numpy()
    own = norm(stream) * network._final_gain.numpy()
    pull = 1 / (1 + np.exp(-(features[:, WEIGHTS].sum(axis=1, keepdims=True) * -0.5 + 1)))
    expected = own + pull * (features[:, SOCIAL] - own)
    found = Outputs.of(exported.readout.small(features))
    np.testing.assert_allclose(found.vector, expected, atol=5e-5)
    blend = np.concatenate([expected, features[:, WEIGHTS]], axis=1) @ network._blend.numpy()
    blend += network._blend_bias.numpy() + context @ network._context[1].numpy()
    np.testing.assert_allclose(np.column_stack([found.priors, found.transitions]), blend, atol=5e-4)
