"""Real training on real data, in its quick form: the model must beat what it is printed beside."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from model_store.encoder.runtime import tf
from model_store.model import InterestModel, export, load_model
from model_store.state.features import features
from model_store.training import datasets
from model_store.training.evaluate import HELD_OUT, evaluate, index_rows, metric_of_states
from model_store.training.fetch import find_ml_100k
from model_store.training.interactions import Interactions
from model_store.training.parallel import features_before
from model_store.training.sequences import History, histories, pad
from model_store.training.states import states_of
from model_store.training.train import QUICK, train


@dataclass(frozen=True)
class Trained:
    data: Interactions
    model: InterestModel


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    cache = platformdirs.user_cache_path("interest-updater") / "data" / "ml-100k"
    data = datasets.load(find_ml_100k(None, cache))
    folder: Path = tmp_path_factory.mktemp("ml-100k")
    export(train(data.without_last(HELD_OUT), QUICK), folder, "quick")
    return Trained(data, load_model(folder))


def test_the_model_beats_popularity_and_transitions(trained: Trained) -> None:
    model, popularity, *others = evaluate(trained.model, trained.data)
    assert [row.name for row in others] == ["decayed popularity", "item transitions"]
    for rival in (popularity, *others):
        assert model.ranking.hit_rate_10 > rival.ranking.hit_rate_10
        assert model.ranking.ndcg_10 > rival.ranking.ndcg_10
    assert model.topics is not None
    assert popularity.topics is not None
    assert model.topics.f1 > popularity.topics.f1
    assert model.topics.accuracy > popularity.topics.accuracy


def test_the_step_form_is_the_parallel_form_on_real_histories(trained: Trained) -> None:
    model, data = trained.model, trained.data
    stepped = features(states_of(data, model.writes, model.decays).records, np.arange(len(data.users)))
    vectors, content = tf.constant(model.writes.vectors), tf.constant(model.writes.content)
    whole = histories(data, longest=len(data))
    for user in range(0, len(data.users), 23):
        item, ts_ms, gain = whole[user].item, whole[user].ts_ms, whole[user].gain
        longer = History(np.append(item, item[-1:]), np.append(ts_ms, ts_ms[-1:]), np.append(gain, gain[-1:]))
        batch = pad([longer])
        found = features_before(batch.item, batch.ts_ms, batch.gain, vectors, content, model.decays)
        np.testing.assert_allclose(found.numpy()[0, -1], stepped[user], atol=1e-4)


def test_the_filter_of_seen_items_costs_little(trained: Trained) -> None:
    """The filter errs on the safe side: at most a few targets are taken for seen ones."""
    model, data = trained.model, trained.data
    records = states_of(data.without_last(1), model.writes, model.decays).records
    targets = index_rows(model, list(data.items))[data.last()]
    served, exact = metric_of_states(model, records, targets).ranking, evaluate(model, data)[0].ranking
    assert served.users == exact.users == len(data.users)
    assert served.hit_rate_10 == pytest.approx(exact.hit_rate_10, abs=0.02)
