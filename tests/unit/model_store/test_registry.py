"""The model store: complete or invisible, checksums, the pointer and its history."""

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import numpy as np
import pytest

from model_store import manifest
from model_store.manifest import MANIFEST, ModelError
from model_store.patches import patch_of
from model_store.registry import ModelRegistry


@pytest.fixture(params=["folder", "memory"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> ModelRegistry:
    """An empty store on a disk and on an object-store-like filesystem."""
    return ModelRegistry(str(tmp_path / "store") if request.param == "folder" else f"memory://{uuid.uuid4().hex}/store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of a version, one of them in a subfolder."""
    result = tmp_path / "made"
    (result / "graph").mkdir(parents=True)
    (result / "graph" / "weights.bin").write_bytes(bytes(range(256)) * 100)
    (result / "card.json").write_text("{}")
    return result


def _path(registry: ModelRegistry, name: str) -> tuple[fsspec.AbstractFileSystem, str]:
    fs, root = fsspec.core.url_to_fs(registry.url)
    return fs, f"{root}/{name}"


def test_an_empty_store_has_nothing(registry: ModelRegistry) -> None:
    assert registry.list() == ()
    assert registry.current() is None
    assert registry.history() == ()


def test_what_is_fetched_is_what_was_published(registry: ModelRegistry, folder: Path, tmp_path: Path) -> None:
    registry.publish(folder, "v1")
    fetched = registry.fetch("v1", tmp_path / "cache" / "v1")
    assert (fetched / "graph" / "weights.bin").read_bytes() == (folder / "graph" / "weights.bin").read_bytes()
    assert manifest.verify(fetched).version == "v1"


def test_a_version_is_listed_once_complete_and_served_once_promoted(registry: ModelRegistry, folder: Path) -> None:
    registry.publish(folder, "v1")
    assert registry.list() == ("v1",)
    assert registry.current() is None
    registry.promote("v1")
    assert registry.current() == "v1"


def test_a_version_without_its_manifest_is_invisible(registry: ModelRegistry, folder: Path, tmp_path: Path) -> None:
    registry.publish(folder, "v1")
    fs, path = _path(registry, f"v1/{MANIFEST}")
    fs.rm_file(path)
    assert registry.list() == ()
    with pytest.raises(ModelError, match="not in"):
        registry.promote("v1")
    with pytest.raises(ModelError, match="not in"):
        registry.fetch("v1", tmp_path / "v1")


def test_a_publish_that_broke_off_can_be_repeated(registry: ModelRegistry, folder: Path, tmp_path: Path) -> None:
    fs, path = _path(registry, "v1/card.json")
    fs.makedirs(path.rpartition("/")[0])
    fs.pipe_file(path, b"half")
    registry.publish(folder, "v1")
    assert (registry.fetch("v1", tmp_path / "v1") / "card.json").read_text() == "{}"


def test_rolling_back_goes_through_the_history(registry: ModelRegistry, folder: Path) -> None:
    for version in ("a", "b", "c"):
        registry.publish(folder, version)
        registry.promote(version)
    registry.promote("c")
    assert registry.history() == ("a", "b")
    assert registry.roll_back() == registry.current() == "b"
    assert registry.roll_back() == registry.current() == "a"
    with pytest.raises(ModelError, match="promote one of a, b, c"):
        registry.roll_back()


def test_each_generation_has_a_pointer_of_its_own(registry: ModelRegistry, folder: Path) -> None:
    for version, generation in (("a", 1), ("b", 2), ("c", 2), ("d", 1)):
        (folder / "model.json").write_text(f'{{"generation": {generation}, "made": {{"seed": 5}}}}')
        registry.publish(folder, version)
        registry.promote(version)
    assert (registry.current(), registry.history()) == ("d", ("a",))
    assert (registry.current(2), registry.history(2)) == ("c", ("b",))
    assert (registry.current(3), registry.history(3)) == (None, ())
    assert registry.generations() == (1, 2)
    assert registry.roll_back(2) == registry.current(2) == "b"
    assert registry.current() == "d"
    assert (registry.notes("c").generation, registry.notes("c").made) == (2, {"seed": 5})
    with pytest.raises(ModelError, match="of generation 2"):
        registry.roll_back(2)


HALF_LIVES = {"rank_half_lives_events": [4, 32], "time_half_lives_ms": [1, 2], "content_half_life_ms": 3}


def _version(registry: ModelRegistry, folder: Path, version: str, writes: int, **card: Any) -> None:
    np.savez(folder / "writes.npz", vectors=np.arange(writes))
    (folder / "model.json").write_text(json.dumps({"generation": 1, "topics": [], **HALF_LIVES, **card}))
    registry.publish(folder, version)


def test_a_version_that_makes_states_otherwise_is_not_promoted(registry: ModelRegistry, folder: Path) -> None:
    _version(registry, folder, "served", 5)
    registry.promote("served")
    _version(registry, folder, "table", 6)
    _version(registry, folder, "half-life", 5, content_half_life_ms=4)
    _version(registry, folder, "context", 5, context_half_life_ms=4)
    for version in ("table", "half-life", "context"):
        with pytest.raises(ModelError, match=rf"{version} makes states otherwise than served.* --generation 2"):
            registry.promote(version)
    assert registry.current() == "served"
    _version(registry, folder, "next", 6, generation=2)
    registry.promote("next")
    assert (registry.current(2), registry.next_generation()) == ("next", 3)


def test_a_version_with_the_same_table_in_another_file_is_promoted(registry: ModelRegistry, folder: Path) -> None:
    _version(registry, folder, "served", 5)
    registry.promote("served")
    _version(registry, folder, "same", 5, topics=["more"])
    np.savez_compressed(folder / "writes.npz", vectors=np.arange(5))
    registry.publish(folder, "packed")
    for version in ("same", "packed"):
        registry.promote(version)
        assert registry.current() == version


def test_the_first_version_is_of_the_first_generation(registry: ModelRegistry) -> None:
    assert registry.next_generation() == 1


def test_a_removed_version_is_gone_from_the_list_and_from_the_way_back(registry: ModelRegistry, folder: Path) -> None:
    for version in ("v1", "v2", "v3"):
        registry.publish(folder, version)
        registry.promote(version)
    registry.remove("v2")
    assert registry.list() == ("v1", "v3")
    assert not _path(registry, "v2")[0].exists(_path(registry, "v2")[1])
    with pytest.raises(ModelError, match="v3 is served by generation 1"):
        registry.remove("v3")
    with pytest.raises(ModelError, match="version v2 is not in"):
        registry.remove("v2")
    assert registry.roll_back() == "v1"


def test_versions_never_change(registry: ModelRegistry, folder: Path) -> None:
    registry.publish(folder, "v1")
    with pytest.raises(ModelError, match="choose another name"):
        registry.publish(folder, "v1")


# -- versions as differences from another


def _next(folder: Path, tmp_path: Path, changed: int) -> Path:
    """Another version's files: so many bytes of the weights are others, and there is a file more."""
    result = tmp_path / f"next-{changed}"
    shutil.copytree(folder, result)
    weights = bytearray((folder / "graph" / "weights.bin").read_bytes())
    weights[5_000 : 5_000 + changed] = np.random.default_rng(0).bytes(changed)
    (result / "graph" / "weights.bin").write_bytes(b"more" + weights)
    (result / "model.json").write_text('{"generation": 1, "made": {"seed": 7}}')
    return result


@pytest.fixture
def whole(registry: ModelRegistry, folder: Path, tmp_path: Path) -> Path:
    """A local copy of v1, which the store has whole; its weights cannot be compressed."""
    (folder / "graph" / "weights.bin").write_bytes(np.random.default_rng(1).bytes(50_000))
    registry.publish(folder, "v1")
    return registry.fetch("v1", tmp_path / "whole")


def test_a_version_as_differences_is_fetched_whole(
    registry: ModelRegistry, folder: Path, whole: Path, tmp_path: Path
) -> None:
    changed = _next(folder, tmp_path, 1_000)
    published = registry.publish(changed, "v2", base=whole)
    assert published.base == "v1"
    assert published.patches["card.json"] == 0
    assert 1_000 < published.stored() < 1_300
    fs, root = _path(registry, "v2")
    assert sum(fs.size(path) for path in fs.find(root) if not path.endswith(MANIFEST)) == published.stored()
    fetched = registry.fetch("v2", tmp_path / "cache" / "v2")
    for path in changed.rglob("*"):
        assert path.is_dir() or (fetched / path.relative_to(changed)).read_bytes() == path.read_bytes()
    assert manifest.verify(fetched) == published == registry.manifest("v2")
    assert manifest.verify(tmp_path / "cache" / "v1").version == "v1"
    assert registry.notes("v2").made == {"seed": 7}


def test_what_differs_too_much_is_published_whole(
    registry: ModelRegistry, folder: Path, whole: Path, tmp_path: Path
) -> None:
    published = registry.publish(_next(folder, tmp_path, 30_000), "v2", base=whole)
    assert (published.base, published.format) == ("", manifest.FORMAT)
    assert published.stored() == sum(entry.size for entry in published.files.values())
    registry.fetch("v2", tmp_path / "cache" / "v2")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["v2"]


def test_differences_are_from_what_the_store_has_whole(
    registry: ModelRegistry, folder: Path, whole: Path, tmp_path: Path
) -> None:
    changed = _next(folder, tmp_path, 1_000)
    registry.publish(changed, "v2", base=whole)
    for base in (registry.fetch("v2", tmp_path / "v2"), _next(folder, tmp_path, 10)):
        if base.name != "v2":
            manifest.write(base, "elsewhere")
        with pytest.raises(ModelError, match=r"not whole|not in"):
            registry.publish(changed, "v3", base=base)
    assert registry.list() == ("v1", "v2")


def test_a_base_stays_as_long_as_others_stand_on_it(
    registry: ModelRegistry, folder: Path, whole: Path, tmp_path: Path
) -> None:
    registry.publish(_next(folder, tmp_path, 1_000), "v2", base=whole)
    assert registry.bases() == {"v1"}
    with pytest.raises(ModelError, match="v1 is what other versions are stored as differences from"):
        registry.remove("v1")
    registry.remove("v2")
    registry.remove("v1")
    assert registry.list() == ()


@pytest.mark.parametrize("damage", [b"", b"other bytes", None])
def test_a_damaged_difference_is_named_and_leaves_nothing(
    registry: ModelRegistry, folder: Path, whole: Path, tmp_path: Path, damage: bytes | None
) -> None:
    registry.publish(_next(folder, tmp_path, 1_000), "v2", base=whole)
    fs, path = _path(registry, "v2/graph/weights.bin.patch")
    fs.rm_file(path)
    if damage is not None:
        fs.pipe_file(path, damage)
    with pytest.raises(ModelError, match=r"weights\.bin\.patch.*publish the version again"):
        registry.fetch("v2", tmp_path / "cache" / "v2")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["v1"]


def test_a_difference_from_another_file_is_noticed(
    registry: ModelRegistry, folder: Path, whole: Path, tmp_path: Path
) -> None:
    """Its patch can be applied, and makes something else."""
    registry.publish(_next(folder, tmp_path, 1_000), "v2", base=whole)
    registry.publish(_next(folder, tmp_path, 1_001), "v3", base=whole)
    fs, path = _path(registry, "v2/graph/weights.bin.patch")
    other = patch_of(bytes(50_004), (whole / "graph" / "weights.bin").read_bytes())
    fs.rm_file(path)
    fs.pipe_file(path, other)
    with pytest.raises(ModelError, match="is not what was published"):
        registry.fetch("v2", tmp_path / "v2")
    registry.fetch("v3", tmp_path / "v3")


def test_a_version_whose_base_has_a_base_is_refused(
    registry: ModelRegistry, folder: Path, whole: Path, tmp_path: Path
) -> None:
    """Nobody publishes one; one that was made by hand could go round in a circle."""
    registry.publish(_next(folder, tmp_path, 1_000), "v2", base=whole)
    fs, path = _path(registry, f"v1/{MANIFEST}")
    circle = msgspec.structs.replace(registry.manifest("v1"), format=manifest.PATCHED_FORMAT, base="v2")
    fs.rm_file(path)
    fs.pipe_file(path, manifest.encode(circle))
    with pytest.raises(ModelError, match=r"v2 in .* is stored as differences from v1, which is not whole"):
        registry.fetch("v2", tmp_path / "cache" / "v2")


def test_states_are_compared_through_differences(registry: ModelRegistry, folder: Path, tmp_path: Path) -> None:
    _version(registry, folder, "served", 5_000)
    registry.promote("served")
    base = registry.fetch("served", tmp_path / "base")
    np.savez_compressed(folder / "writes.npz", vectors=np.arange(5_000))
    registry.publish(folder, "packed", base=base)
    np.savez(folder / "writes.npz", vectors=np.append(np.arange(4_999), 7))
    registry.publish(folder, "other", base=base)
    assert registry.bases() == {"served"}
    registry.promote("packed")
    with pytest.raises(ModelError, match="other makes states otherwise than packed"):
        registry.promote("other")


def test_a_whole_version_is_written_as_before_there_were_differences(registry: ModelRegistry, folder: Path) -> None:
    """Earlier releases go on reading it."""
    registry.publish(folder, "v1")
    fs, path = _path(registry, f"v1/{MANIFEST}")
    assert json.loads(fs.cat_file(path)).keys() == {"format", "version", "files"}


@pytest.mark.parametrize("damage", [b"", b"other bytes", None])
def test_a_damaged_file_is_named_and_leaves_nothing(
    registry: ModelRegistry, folder: Path, tmp_path: Path, damage: bytes | None
) -> None:
    registry.publish(folder, "v1")
    fs, path = _path(registry, "v1/graph/weights.bin")
    fs.rm_file(path)
    if damage is not None:
        fs.pipe_file(path, damage)
    with pytest.raises(ModelError, match=r"weights\.bin.*publish the version again"):
        registry.fetch("v1", tmp_path / "cache" / "v1")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_whole_local_copy_is_kept_and_a_changed_one_refused(
    registry: ModelRegistry, folder: Path, tmp_path: Path
) -> None:
    registry.publish(folder, "v1")
    fetched = registry.fetch("v1", tmp_path / "v1")
    fs, path = _path(registry, "v1/card.json")
    fs.rm_file(path)
    assert registry.fetch("v1", tmp_path / "v1") == fetched
    (fetched / "card.json").write_text("[]")
    with pytest.raises(ModelError, match="is not what was published"):
        registry.fetch("v1", tmp_path / "v1")


def test_two_workers_that_fetch_at_once_both_get_it(
    registry: ModelRegistry, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.publish(folder, "v1")
    other, download = ModelRegistry(registry.url), ModelRegistry._download

    def overtaken(self: ModelRegistry, *arguments: Any) -> None:
        monkeypatch.setattr(ModelRegistry, "_download", download)
        other.fetch("v1", tmp_path / "cache" / "v1")
        download(self, *arguments)

    monkeypatch.setattr(ModelRegistry, "_download", overtaken)
    fetched = registry.fetch("v1", tmp_path / "cache" / "v1")
    assert manifest.verify(fetched).version == "v1"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["v1"]


def test_a_folder_with_other_things_is_not_touched(registry: ModelRegistry, folder: Path, tmp_path: Path) -> None:
    registry.publish(folder, "v1")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ModelError, match="something other"):
        registry.fetch("v1", tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize("name", ["", "../other", "a/b", ".hidden", "x" * 81, "a b"])
def test_names_that_leave_the_store_are_refused(registry: ModelRegistry, folder: Path, name: str) -> None:
    for use in (registry.promote, registry.manifest, lambda version: registry.publish(folder, version)):
        with pytest.raises(ModelError, match="cannot name a model version"):
            use(name)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "a\\b", ""])
def test_a_manifest_that_points_outside_is_refused(registry: ModelRegistry, tmp_path: Path, name: str) -> None:
    entry = manifest.FileEntry("0" * 64, 1)
    fs, path = _path(registry, f"v1/{MANIFEST}")
    fs.makedirs(path.rpartition("/")[0])
    fs.pipe_file(path, manifest.encode(manifest.Manifest(manifest.FORMAT, "v1", {name: entry})))
    with pytest.raises(ModelError, match="lies outside the model"):
        registry.fetch("v1", tmp_path / "v1")


def test_a_version_that_was_put_under_another_name_is_refused(
    registry: ModelRegistry, folder: Path, tmp_path: Path
) -> None:
    for version in ("v1", "v2"):
        registry.publish(folder, version)
    fs, old = _path(registry, f"v1/{MANIFEST}")
    fs.pipe_file(_path(registry, f"v2/{MANIFEST}")[1], fs.cat_file(old))
    with pytest.raises(ModelError, match="manifest of version v1, not of v2"):
        registry.fetch("v2", tmp_path / "v2")


@pytest.mark.parametrize("tampered", ["card.json", "added.py"])
def test_a_fetched_copy_is_compared_at_every_start(
    registry: ModelRegistry, folder: Path, tmp_path: Path, tampered: str
) -> None:
    """Also where its manifest was made to fit: the store's counts."""
    registry.publish(folder, "v1")
    fetched = registry.fetch("v1", tmp_path / "v1")
    (fetched / tampered).write_text("[]")
    manifest.write(fetched, "v1")
    with pytest.raises(ModelError, match="something other than model v1"):
        registry.fetch("v1", tmp_path / "v1")


@pytest.mark.parametrize(
    ("content", "message"), [(b"{", "damaged"), (b'{"format":9,"version":"v1","files":{}}', "format 9")]
)
def test_a_manifest_that_cannot_be_read_says_so(registry: ModelRegistry, content: bytes, message: str) -> None:
    fs, path = _path(registry, f"v1/{MANIFEST}")
    fs.makedirs(path.rpartition("/")[0])
    fs.pipe_file(path, content)
    with pytest.raises(ModelError, match=message):
        registry.manifest("v1")


def test_a_damaged_pointer_says_what_to_do(registry: ModelRegistry, folder: Path) -> None:
    registry.publish(folder, "v1")
    fs, path = _path(registry, "current.json")
    fs.pipe_file(path, b"?")
    with pytest.raises(ModelError, match="remove it and promote one of v1"):
        registry.current()


def test_an_empty_folder_is_no_model(registry: ModelRegistry, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ModelError, match="holds no files"):
        registry.publish(tmp_path / "nothing", "v1")
