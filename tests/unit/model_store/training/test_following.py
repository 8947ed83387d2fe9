"""What followees are worth, in a world of two camps where people like what those whom they follow do not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_store.encoder.columns import FACETS, Outputs
from model_store.model import InterestModel, export, load_model
from model_store.training.ablation import ablation
from model_store.training.evaluate import outputs_of, states_and_social
from model_store.training.interactions import Interactions, ItemFacts, Log, assemble
from model_store.training.states import states_of
from model_store.training.train import Progress, Recipe, train

ITEMS, TALKERS, SILENT, LENGTH = 40, 120, 30, 12
CAMPS = 2


def _camp(user: int) -> int:
    return user % CAMPS


@pytest.fixture(scope="module")
def data() -> Interactions:
    """Talkers interact with items of their camp. Every user follows five talkers of the other camp."""
    rng = np.random.default_rng(0)
    rows = [
        (user, int(item) * CAMPS + _camp(user), step)
        for user in range(TALKERS)
        for step, item in enumerate(rng.permutation(ITEMS // CAMPS)[:LENGTH])
    ]
    rows.sort(key=lambda row: row[2])
    log = Log(
        [f"u{user}" for user, _, _ in rows],
        [f"i{item}" for _, item, _ in rows],
        1_700_000_000_000 + np.array([step * 3_600_000 for _, _, step in rows], np.int64),
        np.full(len(rows), np.nan, np.float32),
        1.0,
    )
    others = {camp: [user for user in range(TALKERS) if _camp(user) != camp] for camp in range(CAMPS)}
    follows = tuple(
        (f"u{user}", f"u{other}")
        for user in range(TALKERS + SILENT)
        for other in rng.choice(others[_camp(user)], 5, replace=False)
    )
    data = assemble("camps", "none", log, ItemFacts(), follows)
    return replace(data, users=(*data.users, *(f"u{user}" for user in range(TALKERS, TALKERS + SILENT))))


@pytest.fixture(scope="module")
def progress() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def model(data: Interactions, progress: list[Progress], tmp_path_factory: pytest.TempPathFactory) -> InterestModel:
    folder: Path = tmp_path_factory.mktemp("following")
    parts = train(data, Recipe(epochs=15, tokens=400, rate=1e-2, dropout=0.0), report=progress.append)
    export(parts, folder, "v1")
    return load_model(folder)


def _share_of_own_camp(model: InterestModel, data: Interactions, users: np.ndarray, facet: str) -> float:
    """Of the ten best items."""
    records, social = states_and_social(model, data)
    assert social is not None
    vectors = getattr(Outputs.of(outputs_of(model, records, users, social)), facet)
    scores = vectors @ model.index.vectors.T + model.index.bias
    best = np.argsort(-scores, axis=1)[:, :10]
    items = np.array([int(item[1:]) for item in model.index.item_ids])[best]
    camps = np.array([_camp(int(data.users[user][1:])) for user in users])
    return float((items % CAMPS == camps[:, None]).mean())


def test_the_silent_are_told_by_whom_they_follow(model: InterestModel, data: Interactions) -> None:
    silent = np.arange(TALKERS, TALKERS + SILENT)
    for facet in ("vector", "social"):
        assert _share_of_own_camp(model, data, silent, facet) > 0.9


def test_follows_do_not_harm_who_speaks_for_themselves(model: InterestModel, data: Interactions) -> None:
    talkers = np.arange(TALKERS)
    assert _share_of_own_camp(model, data, talkers, "vector") > 0.9
    assert _share_of_own_camp(model, data, talkers, "social") > 0.9


def test_follows_may_be_a_reason_and_are_an_own_line_of_the_ablation(model: InterestModel, data: Interactions) -> None:
    assert set(model.index.reasons) == set(FACETS)
    lines = [one.row.name for one in ablation(model, data)]
    assert "without social" in lines
    assert "social alone" in lines


def test_the_progress_of_follows_begins_anew(progress: list[Progress]) -> None:
    begins = [place for place, one in enumerate(progress) if one.step == 1]
    assert len(begins) == 2
    assert progress[-1].step == progress[-1].steps


def test_without_follows_nothing_is_learnt_of_them(data: Interactions, tmp_path: Path) -> None:
    parts = train(replace(data, follows=()), Recipe(epochs=1, tokens=400))
    assert not parts.network.knows_follows()
    assert parts.index.reasons == ("behaviour", "content")
    export(parts, tmp_path, "v1")
    model = load_model(tmp_path)
    records, social = states_and_social(model, replace(data, follows=()))
    assert records.tobytes() == states_of(data, model.writes, model.decays).records.tobytes()
    assert social is None
