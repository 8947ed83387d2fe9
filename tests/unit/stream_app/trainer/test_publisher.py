"""What the trainer puts into the store: whole versions, and differences from them as long as they are short."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from model_store.encoder.runtime import use_threads
from model_store.model import InterestModel, ModelParts, load_model, load_parts
from model_store.registry import ModelRegistry
from model_store.state.layout import DIM
from model_store.training.online.guard import HeldOut
from stream_app.settings import Trainer
from stream_app.trainer.metrics import TrainerMetrics
from stream_app.trainer.publisher import Publisher, is_own
from tests.bench.model import VERSION, catalogue_model

ITEMS = 4_000
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
NOTHING = HeldOut(0, 1).clicks()


@dataclass
class Scene:
    folder: Path
    registry: ModelRegistry
    parts: ModelParts
    metrics: TrainerMetrics
    publisher: Publisher
    offered: int = 0

    def start(self, **policy: int) -> None:
        """As the trainer does after it has ended."""
        served = load_model(self.registry.fetch(self.registry.current() or "", self.folder / f"served-{self.offered}"))
        self.publisher = Publisher(self.registry, served, Trainer(**policy), self.metrics, self.folder / "whole")

    def offer(self, changed: int) -> str:
        """A version in which so many items' vectors are others."""
        vectors = self.parts.index.vectors.copy()
        rng = np.random.default_rng(self.offered)
        vectors[rng.choice(ITEMS, changed, replace=False)] += rng.normal(size=(changed, DIM)).astype(np.float32)
        self.parts = replace(self.parts, index=replace(self.parts.index, vectors=vectors))
        self.offered += 1
        assert self.publisher.offer(self.parts, NOTHING, BEGAN + timedelta(minutes=self.offered)) == "promoted"
        return self.registry.current() or ""

    def fetched(self, version: str) -> InterestModel:
        return load_model(self.registry.fetch(version, self.folder / "fetched" / version))

    def own(self) -> list[str]:
        return [version for version in self.registry.list() if is_own(version, 1)]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    use_threads(1)
    registry = ModelRegistry(catalogue_model(tmp_path / "models", ITEMS))
    model, metrics = load_model(registry.fetch(VERSION, tmp_path / "first")), TrainerMetrics()
    publisher = Publisher(registry, model, Trainer(), metrics, tmp_path / "whole")
    return Scene(tmp_path, registry, load_parts(tmp_path / "first"), metrics, publisher)


def test_what_few_items_changed_in_is_stored_as_differences(scene: Scene) -> None:
    whole, delta = scene.offer(100), scene.offer(100)
    assert scene.registry.manifest(whole).base == ""
    manifest = scene.registry.manifest(delta)
    assert manifest.base == whole
    assert 100 * DIM * 4 < manifest.stored() < 0.1 * scene.registry.manifest(whole).stored()
    np.testing.assert_array_equal(scene.fetched(delta).index.vectors, scene.parts.index.vectors)
    written = {how: scene.metrics.published_bytes.labels(how)._value.get() for how in ("whole", "differences")}
    assert written == {"whole": scene.registry.manifest(whole).stored(), "differences": manifest.stored()}


def test_now_and_then_a_version_is_whole_again(scene: Scene) -> None:
    scene.start(whole_every=3)
    versions = [scene.offer(10) for _ in range(7)]
    bases = [scene.registry.manifest(version).base for version in versions]
    assert bases == ["", versions[0], versions[0], "", versions[3], versions[3], ""]


def test_a_version_stays_as_long_as_others_stand_on_it(scene: Scene) -> None:
    scene.start(keep_versions=2)
    first = [scene.offer(10) for _ in range(5)]
    assert scene.own() == [first[0], *first[-2:]]
    scene.start(keep_versions=2)
    later = [scene.offer(10) for _ in range(3)]
    assert scene.registry.manifest(later[0]).base == ""
    assert scene.own() == later


def test_what_hardly_moved_costs_nothing_and_is_kept_as_it_was(scene: Scene) -> None:
    whole = scene.offer(10)
    learnt = scene.parts.index
    scene.parts = replace(scene.parts, index=replace(learnt, vectors=learnt.vectors + np.float32(1e-4)))
    delta = scene.offer(10)
    assert scene.registry.manifest(delta).base == whole
    assert scene.registry.manifest(delta).stored() < 30 * DIM * 4
    found = scene.fetched(delta).index.vectors
    same = (found == learnt.vectors).all(axis=1)
    assert same.sum() == ITEMS - 10
    np.testing.assert_array_equal(found[~same], scene.parts.index.vectors[~same])
