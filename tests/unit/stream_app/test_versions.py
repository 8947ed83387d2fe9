"""Taking up versions: what is taken, what is refused, and what is said of it; on a real store in a folder."""

import asyncio
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from model_store import manifest
from model_store.catalog.index import ItemIndex
from model_store.encoder.runtime import use_threads
from model_store.manifest import MANIFEST
from model_store.model import InterestModel, export, load_model, load_parts
from model_store.registry import ModelRegistry
from model_store.state.memory import Decays
from stream_app import versions as versions_module
from stream_app.contracts.knowledge import Knowledge, deleted, encode
from stream_app.contracts.redis_layout import ModelCard
from stream_app.observability import WorkerMetrics
from stream_app.refresh import Voice
from stream_app.settings import Settings, load
from stream_app.shelf import Shelf, shelf_of
from stream_app.versions import Versions
from tests.bench.model import VERSION, catalogue_model


@dataclass
class Worker:
    """Reader and announcer at once."""

    voice: Voice
    announced: list[ModelCard] = field(default_factory=list)

    @property
    def model(self) -> InterestModel:
        return self.voice.model

    def take_up(self, voice: Voice) -> None:
        self.voice = voice

    async def announce(self, card: ModelCard, now_ms: int) -> None:
        self.announced.append(card)


@dataclass
class Catalogue:
    """What is on its shelf is told at the next call."""

    shelf: Shelf
    said: bool = False
    puts: int = 0

    def tell(self, *knowledge: Knowledge) -> None:
        for one in knowledge:
            self.shelf.take(one.item_id.encode(), encode(one))
        self.said = True

    def news(self) -> bool:
        said, self.said = self.said, False
        return said

    def put_into(self, model: InterestModel) -> InterestModel:
        self.puts += 1
        return self.shelf.put_into(model)

    def withdrawn(self, index: ItemIndex) -> np.ndarray:
        return self.shelf.withdrawn(index)


@dataclass
class Scene:
    folder: Path
    settings: Settings
    registry: ModelRegistry
    worker: Worker
    metrics: WorkerMetrics
    versions: Versions
    catalogue: Catalogue

    def look(self, times: int = 1) -> str:
        """The version in use afterwards."""
        for _ in range(times):
            asyncio.run(self.versions.look())
        return self.worker.model.version

    def publish(self, version: str, *, promote: bool = True, base: str | None = None, **changes: object) -> None:
        parts = replace(load_parts(self.registry.fetch(VERSION, self.folder / "base")), **changes)
        export(parts, self.folder / version, version)
        self.registry.publish(self.folder / version, version, self.folder / base if base else None)
        if promote:
            self.registry.promote(version)

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(versions_module, "REST", 0)
    use_threads(1)
    url = catalogue_model(tmp_path / "models", 30)
    settings = load(models={"url": url}, data_dir=tmp_path / "data")
    registry = ModelRegistry(url)
    model = load_model(registry.fetch(VERSION, tmp_path / "first"))
    worker, metrics, catalogue = Worker(Voice.of(model)), WorkerMetrics(), Catalogue(shelf_of(model))
    metrics.show_model(model.version, 1, model.made_at_ms)
    versions = Versions(settings, model, worker, worker, metrics, lambda: 1_000, catalogue)
    return Scene(tmp_path, settings, registry, worker, metrics, versions, catalogue)


def test_a_promoted_version_is_taken_up_and_told_and_so_is_a_roll_back(scene: Scene) -> None:
    assert scene.look() == VERSION
    index = scene.worker.model.index
    scene.publish("second", index=replace(index, vectors=2 * index.vectors))
    assert scene.look(2) == "second"
    np.testing.assert_array_equal(scene.worker.model.index.vectors, 2 * index.vectors)
    assert [card.version for card in scene.worker.announced] == ["second"]
    assert scene.sample("interest_model_info", version="second", generation="1") == 1
    assert scene.sample("interest_model_info", version=VERSION, generation="1") is None
    age_s = scene.sample("interest_model_age_seconds")
    assert age_s is not None
    assert 0 <= age_s < 60
    scene.registry.roll_back()
    assert scene.look() == VERSION
    assert scene.sample("interest_model_swaps_total") == 2


def test_a_version_that_is_not_finite_changes_nothing_and_is_tried_once(scene: Scene) -> None:
    index = scene.worker.model.index
    scene.publish("broken", index=replace(index, bias=np.full(30, np.nan, np.float32)))
    assert scene.look(3) == VERSION
    assert scene.sample("interest_model_refused_total", reason="not_finite") == 1
    assert not scene.worker.announced
    scene.publish("sound")
    assert scene.look() == "sound"
    scene.registry.promote("broken")
    assert scene.look() == "sound"
    assert scene.sample("interest_model_refused_total", reason="not_finite") == 2


def test_a_version_for_other_states_is_refused(scene: Scene) -> None:
    scene.publish("other", promote=False, decays=Decays((1.0, 2.0, 3.0)))
    # The store would not promote it; somebody else's tool might.
    (scene.folder / "models" / "current.json").write_text('{"version": "other"}')
    assert scene.look(2) == VERSION
    assert scene.sample("interest_model_refused_total", reason="generation") == 1


def test_a_damaged_version_is_refused(scene: Scene) -> None:
    scene.publish("second")
    path = scene.folder / "models" / "second" / "items.npz"
    path.write_bytes(path.read_bytes()[:-1])
    assert scene.look(2) == VERSION
    assert scene.sample("interest_model_refused_total", reason="damaged") == 1


@pytest.mark.parametrize("name", ["items.npz", "items.json", "writes.npz", "readout.tflite", "readout/saved_model.pb"])
def test_a_version_with_right_checksums_that_cannot_be_loaded_is_refused(scene: Scene, name: str) -> None:
    folder = scene.folder / "unreadable"
    export(load_parts(scene.registry.fetch(VERSION, scene.folder / "base")), folder, "unreadable")
    assert (folder / name).is_file()
    (folder / name).write_bytes(b"{ of no use")
    manifest.write(folder, "unreadable")
    scene.registry.publish(folder, "unreadable")
    pointer = f'{{"version": "unreadable", "history": ["{VERSION}"]}}'
    (scene.folder / "models" / "current.json").write_text(pointer)
    assert scene.look(2) == VERSION
    assert scene.sample("interest_model_refused_total", reason="damaged") == 1


def test_a_refused_version_is_tried_again_once_the_pointer_has_moved(scene: Scene) -> None:
    scene.publish("second")
    path = scene.folder / "models" / "second" / "items.npz"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert scene.look() == VERSION
    scene.registry.roll_back()
    assert scene.look() == VERSION
    path.write_bytes(content)
    scene.registry.promote("second")
    assert scene.look() == "second"


def test_a_damaged_local_copy_is_fetched_again(scene: Scene) -> None:
    scene.publish("second")
    assert scene.look() == "second"
    scene.registry.roll_back()
    assert scene.look() == VERSION
    path = scene.settings.data_dir / "fetched" / "second" / "items.npz"
    path.write_bytes(path.read_bytes()[:-1])
    scene.registry.promote("second")
    assert scene.look() == "second"


def test_a_version_as_differences_is_taken_up_whatever_became_of_local_copies(scene: Scene) -> None:
    fetched, index = scene.settings.data_dir / "fetched", scene.worker.model.index
    scene.publish("whole")
    assert scene.look() == "whole"
    for number, damaged in enumerate(("", "whole", "2", "whole"), 1):
        if damaged:
            path = fetched / damaged / "items.npz"
            path.write_bytes(path.read_bytes()[:-1])
        scene.publish(str(number), base="whole", index=replace(index, bias=index.bias + number))
        assert scene.registry.manifest(str(number)).base == "whole"
        assert scene.look() == str(number)
        np.testing.assert_array_equal(scene.worker.model.index.bias, index.bias + number)
        os.utime(fetched / "whole" / MANIFEST, (1, 1))
    scene.publish("last", base="whole")
    assert scene.look() == "last"
    assert (fetched / "whole").exists(), "the base of the version in use is needed for the next one"


def test_a_store_that_is_away_is_asked_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.publish("second")

    def away(*_: object) -> str:
        raise ConnectionError("no route to host")

    with monkeypatch.context() as patched:
        patched.setattr(ModelRegistry, "fetch", away)
        assert scene.look(2) == VERSION
        patched.setattr(ModelRegistry, "current", away)
        assert scene.look() == VERSION
    assert scene.sample("interest_model_refused_total", reason="unreachable") == 3
    assert scene.look() == "second"


def test_old_local_copies_go_and_fresh_ones_stay(scene: Scene) -> None:
    fetched = scene.settings.data_dir / "fetched"
    for version in ("second", "third"):
        scene.publish(version)
        assert scene.look() == version
    assert {path.name for path in fetched.iterdir()} == {"second", "third"}
    os.utime(fetched / "second" / MANIFEST, (1, 1))
    scene.publish("fourth")
    assert scene.look() == "fourth"
    assert {path.name for path in fetched.iterdir()} == {"third", "fourth"}


def knowledge(item: str, model: InterestModel) -> Knowledge:
    return Knowledge(item, 1, title=item.title(), topics={model.topics[0]: 1.0})


def test_what_the_catalogue_tells_is_taken_up_and_outlives_a_change_of_version(scene: Scene) -> None:
    base = scene.worker.model
    known = base.index.item_ids[0]
    assert scene.look() == VERSION
    assert scene.worker.model is base  # nothing was said
    scene.catalogue.tell(knowledge("new", base), knowledge("wrong", base), deleted(known, 2))
    assert scene.look() == VERSION
    told = scene.worker.model
    assert told.index.item_ids == (*base.index.item_ids, "new", "wrong")
    assert told.index.titles[-2:] == ("New", "Wrong")
    assert told.index.bias[0] == -np.inf
    assert len(told.writes) == len(base.writes) + 2
    np.testing.assert_array_equal(told.writes.vectors[: len(base.writes)], base.writes.vectors)
    assert not scene.worker.announced  # readers read the same version
    assert scene.sample("interest_model_swaps_total") == 0

    scene.catalogue.tell(deleted("wrong", 3))
    scene.publish("second", index=replace(base.index, vectors=2 * base.index.vectors))
    assert scene.look() == "second"
    now = scene.worker.model
    assert now.index.item_ids == (*base.index.item_ids, "new")
    np.testing.assert_array_equal(now.index.vectors[:30], 2 * base.index.vectors)
    assert now.index.bias[0] == -np.inf
    assert len(now.writes) == len(base.writes) + 2  # what was written may have to be taken back
    scene.catalogue.tell(knowledge(known, base))
    assert scene.look() == "second"
    assert np.isfinite(scene.worker.model.index.bias).all()


def test_while_it_rests_from_telling_all_it_tells_deletions(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    base = scene.worker.model
    monkeypatch.setattr(versions_module, "REST", 1e9)
    scene.catalogue.tell(knowledge("new", base), knowledge("other", base))
    scene.look()
    scene.catalogue.tell(deleted("new", 2), deleted(base.index.item_ids[3], 3), knowledge("later", base))
    scene.look(2)
    now = scene.worker.voice
    assert now.model.index.item_ids == (*base.index.item_ids, "new", "other")
    offered = np.isfinite(now.model.index.bias)
    assert np.flatnonzero(~offered).tolist() == [3, 30]
    assert now.explainer.index is now.model.index
    assert scene.catalogue.puts == 1
    scene.versions._rests_until_s = 0.0
    scene.look()
    assert scene.worker.model.index.item_ids == (*base.index.item_ids, "other", "later")
    assert np.flatnonzero(~np.isfinite(scene.worker.model.index.bias)).tolist() == [3]


@pytest.mark.parametrize("fault", ["unreachable", "refused"])
def test_what_the_catalogue_tells_does_not_wait_for_a_version(scene: Scene, fault: str) -> None:
    base = scene.worker.model
    if fault == "refused":
        scene.publish("broken", index=replace(base.index, bias=np.full(30, np.nan, np.float32)))
    else:
        scene.versions._store.current = _unreachable  # type: ignore[method-assign]
    scene.catalogue.tell(deleted(base.index.item_ids[0], 2))
    assert scene.look() == VERSION
    assert scene.worker.model.index.bias[0] == -np.inf
    assert scene.sample("interest_model_refused_total", reason=fault if fault == "unreachable" else "not_finite") == 1


def _unreachable() -> str | None:
    raise OSError("away")
