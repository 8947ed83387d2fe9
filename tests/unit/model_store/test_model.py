"""A model's folder: nothing of it is used before its checksums are right."""

from pathlib import Path

import numpy as np
import pytest

from model_store import manifest
from model_store.catalog.index import ItemIndex
from model_store.encoder.network import ReadoutNetwork
from model_store.encoder.runtime import use_threads
from model_store.manifest import MANIFEST, ModelError
from model_store.model import ModelParts, export, load_model
from model_store.state.layout import DIM, FACET_DIM
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    use_threads(1)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3, DIM)).astype(np.float32)
    index = ItemIndex.of(("a", "b", "c"), ("A", "B", "C"), vectors, vectors[:, 0], np.eye(3, 2, dtype=np.float32))
    writes = WriteTable(index.hashes, vectors * 2, rng.normal(size=(3, FACET_DIM)).astype(np.float32))
    decays = Decays((1.0, 2.0, 3.0), (4.0, 5.0), 6.0)
    export(ModelParts(5, ("x", "y"), decays, writes, ReadoutNetwork(2, 0), index, {}), tmp_path / "model", "v9")
    return tmp_path / "model"


def test_a_model_comes_back_as_it_was_exported(folder: Path) -> None:
    model = load_model(folder)
    assert (model.version, model.generation, model.topics) == ("v9", 5, ("x", "y"))
    assert model.decays == Decays((1.0, 2.0, 3.0), (4.0, 5.0), 6.0)
    assert model.index.titles == ("A", "B", "C")
    np.testing.assert_array_equal(model.writes.vectors, model.index.vectors * 2)


def test_every_file_is_compared_before_it_is_used(folder: Path) -> None:
    for name in manifest.verify(folder).files:
        path = folder / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ModelError, match=path.name):
            load_model(folder)
        path.write_bytes(whole)
    load_model(folder)


def test_a_folder_without_a_manifest_is_no_model(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(ModelError, match="not a complete model version"):
        load_model(folder)


def test_a_pickle_is_not_loaded(folder: Path) -> None:
    np.savez(folder / "writes.npz", item_hashes=np.array([{}], object), vectors=np.zeros(0), content=np.zeros(0))
    manifest.write(folder, "v9")
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_model(folder)


def test_a_card_that_cannot_be_read_says_so(folder: Path) -> None:
    (folder / "model.json").write_text("{}")
    manifest.write(folder, "v9")
    with pytest.raises(ModelError, match=r"model\.json cannot be read"):
        load_model(folder)
