"""A model's folder: nothing of it is used before its checksums are right."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_store import manifest
from model_store.catalog.index import ItemIndex
from model_store.encoder.network import ReadoutNetwork
from model_store.manifest import MANIFEST, ModelError
from model_store.model import ModelParts, export, load_model, load_parts
from model_store.state.layout import DIM, FACET_DIM
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3, DIM)).astype(np.float32)
    index = ItemIndex.of(("a", "b", "c"), ("A", "B", "C"), vectors, vectors[:, 0], np.eye(3, 2, dtype=np.float32))
    writes = WriteTable(index.hashes, vectors * 2, rng.normal(size=(3, FACET_DIM)).astype(np.float32))
    decays = Decays((1.0, 2.0, 3.0), (4.0, 5.0), 6.0, 7.0)
    network = ReadoutNetwork(2, 0, context=True)
    export(ModelParts(5, ("x", "y"), decays, writes, network, index, {}), tmp_path / "model", "v9")
    return tmp_path / "model"


def test_a_model_comes_back_as_it_was_exported(folder: Path) -> None:
    model = load_model(folder)
    assert (model.version, model.generation, model.topics) == ("v9", 5, ("x", "y"))
    assert model.decays == Decays((1.0, 2.0, 3.0), (4.0, 5.0), 6.0, 7.0)
    assert model.index.titles == ("A", "B", "C")
    np.testing.assert_array_equal(model.writes.vectors, model.index.vectors * 2)
    assert load_parts(folder).network.reads_context


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _replace(path: Path) -> None:
    path.write_bytes(b"\x80\x04N.")  # None, pickled


def _link(path: Path) -> None:
    """The same bytes, in a place that somebody else may write to."""
    with tempfile.NamedTemporaryFile(delete=False) as elsewhere:
        elsewhere.write(path.read_bytes())
    path.unlink()
    path.symlink_to(elsewhere.name)


def test_every_file_is_compared_before_any_is_used(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = [*manifest.verify(folder).files]
    assert {"readout.tflite", "readout/saved_model.pb", "writes.npz", "items.npz", "model.json"} <= {*names}
    monkeypatch.setattr("model_store.model.Readout", None)
    monkeypatch.setattr(np, "load", None)
    for name in names:
        for tamper in (_flip, _cut, _replace, _link, Path.unlink):
            path = folder / name
            whole = path.read_bytes()
            if whole:
                tamper(path)
                with pytest.raises(ModelError) as error:
                    load_model(folder)
                assert str(path) in str(error.value)
                assert "model v9 in" in str(error.value)
                path.unlink(missing_ok=True)
                path.write_bytes(whole)
    manifest.verify(folder)


@pytest.mark.parametrize("name", ["readout/saved_model.pbtxt", "readout/assets/a", "sitecustomize.py", ".hidden"])
def test_what_was_not_published_is_refused(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"")
    with pytest.raises(ModelError, match=f"{name} was not published with model v9"):
        load_model(folder)


def test_a_linked_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "readout").rename(tmp_path / "elsewhere")
    (folder / "readout").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=r"readout of model v9 in .* is a link"):
        load_model(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "readout/../../secret"])
def test_a_manifest_names_nothing_outside_its_folder(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_bytes(b"")
    listed = manifest.decode((folder / MANIFEST).read_bytes(), "here")
    files = {**listed.files, name: manifest.FileEntry(hashlib.sha256(b"").hexdigest(), 0)}
    (folder / MANIFEST).write_bytes(manifest.encode(manifest.Manifest(manifest.FORMAT, "v9", files)))
    with pytest.raises(ModelError, match="lies outside the model"):
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
