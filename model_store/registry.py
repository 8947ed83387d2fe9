"""Versioned model store at any fsspec URL (a folder, `s3://`, `gs://`, `memory://`, ...).

    <url>/<version>/...            the files of a version, or their differences from another one's
    <url>/<version>/manifest.json  their checksums; written last, and a version without it does not exist
    <url>/current.json             which version is served, and what was served before it
    <url>/current-g2.json          the same of the second generation, and so on

A version serves its own generation and no other: `promote` looks into its `model.json`. A version never changes once it
is published; what changes is the pointer. Nothing read from the store is unpickled or imported: arrays load with
`allow_pickle=False`, and graphs load only after their checksums were compared.
"""

import io
import re
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import numpy as np

from model_store import manifest as manifests
from model_store.manifest import MANIFEST, PATCH, ModelError, check_version
from model_store.patches import PatchError, applied, patch_of

_CARD, _WRITES = "model.json", "writes.npz"
_POINTER = "current.json"
_POINTERS = re.compile(r"current(?:-g([1-9][0-9]*))?\.json")
FIRST_GENERATION = 1
_LARGEST_DELTA = 0.5  # of the whole: what is larger saves too little to be worth a base that must stay
_HISTORY = 100  # versions a pointer remembers, enough to roll back for weeks; the file stays small


class Pointer(msgspec.Struct, frozen=True):
    """What `current.json` holds: the version served now and those before it, oldest first."""

    version: str
    history: tuple[str, ...] = ()


class HalfLives(msgspec.Struct, frozen=True):
    """By which states forget, as `model.json` has them."""

    rank_half_lives_events: tuple[float, ...] = ()
    time_half_lives_ms: tuple[float, ...] = ()
    content_half_life_ms: float = 0.0
    context_half_life_ms: float = 0.0


class Notes(HalfLives, frozen=True):
    """What a version's `model.json` says for people and registries; `model.Card` is all of it."""

    generation: int = FIRST_GENERATION
    made: dict[str, Any] = {}

    @property
    def half_lives(self) -> HalfLives:
        return HalfLives(
            self.rank_half_lives_events, self.time_half_lives_ms, self.content_half_life_ms, self.context_half_life_ms
        )


@dataclass(frozen=True)
class ModelRegistry:
    """Publish, list, promote, roll back and fetch model versions.

    Each generation of states has a pointer of its own, so what one's workers serve is none of another's.

    `options` go to the filesystem (credentials, endpoint). Several readers and one writer may work at once;
    two writers that promote at the same moment: the later one wins, and both versions stay.
    All methods block on the store and raise `ModelError` for what a user can mend, `OSError` where it is unreachable.
    """

    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def publish(self, folder: Path, version: str, base: Path | None = None) -> manifests.Manifest:
        """Copy the files of `folder` into the store as `version`. It is visible once complete, and not served yet.

        `base`: the whole folder of a version that the store has whole. Only what differs from it is stored then, unless
        that is more than `_LARGEST_DELTA` of the files: the manifest that is returned says which (`base`).
        """
        fs, root = self._store()
        where = f"{root}/{check_version(version)}"
        if fs.exists(f"{where}/{MANIFEST}"):
            raise ModelError(f"version {version} is already in {self.url}: versions never change, choose another name")
        manifest = manifests.describe(folder, version)
        manifest, patches = self._against(manifest, folder, base) if base else (manifest, {})
        for name in manifest.files:
            fs.makedirs(f"{where}/{name}".rpartition("/")[0], exist_ok=True)
            if name not in manifest.patches:
                fs.put_file(str(folder / name), f"{where}/{name}")
            elif name in patches:
                fs.pipe_file(f"{where}/{name}{PATCH}", patches[name])
        _write_whole(fs, f"{where}/{MANIFEST}", manifests.encode(manifest))
        return manifest

    def list(self) -> tuple[str, ...]:
        """Complete versions in the order of their names; empty if the store does not exist yet."""
        fs, root = self._store()
        if not fs.exists(root):
            return ()
        names = (path.rstrip("/").rpartition("/")[2] for path in fs.ls(root, detail=False))
        return tuple(sorted(name for name in names if fs.exists(f"{root}/{name}/{MANIFEST}")))

    def current(self, generation: int = FIRST_GENERATION) -> str | None:
        """The version to serve; None if none was promoted yet."""
        pointer = self._pointer(generation)
        return pointer.version if pointer else None

    def history(self, generation: int = FIRST_GENERATION) -> tuple[str, ...]:
        """Versions served before the current one, oldest first."""
        pointer = self._pointer(generation)
        return pointer.history if pointer else ()

    def generations(self) -> tuple[int, ...]:
        """Those of which a version was promoted."""
        fs, root = self._store()
        names = (path.rstrip("/").rpartition("/")[2] for path in fs.ls(root, detail=False)) if fs.exists(root) else ()
        found = (_POINTERS.fullmatch(name) for name in names)
        return tuple(sorted(int(one[1] or FIRST_GENERATION) for one in found if one))

    def next_generation(self) -> int:
        """A number that no published version has; the first one where there is none."""
        used = [self.notes(version).generation for version in self.list()]
        return max([*used, *self.generations()], default=FIRST_GENERATION - 1) + 1

    def promote(self, version: str) -> None:
        """Make a published version the one that its generation serves. Refuses one that would read states which another
        write table or other half-lives have made."""
        generation = self.notes(version).generation
        pointer = self._pointer(generation)
        if pointer and pointer.version == version:
            return
        if pointer:
            self._require_same_states(version, pointer.version, generation)
        before = (*pointer.history, pointer.version)[-_HISTORY:] if pointer else ()
        self._point(Pointer(version, before), generation)

    def roll_back(self, generation: int = FIRST_GENERATION) -> str:
        """Serve the version that was served before this one again, and return it."""
        pointer = self._pointer(generation)
        if pointer is None or not pointer.history:
            raise ModelError(
                f"{self.url} has no earlier version of generation {generation} to roll back to: promote one of "
                f"{self._names()}"
            )
        self._point(Pointer(pointer.history[-1], pointer.history[:-1]), generation)
        return pointer.history[-1]

    def remove(self, version: str) -> None:
        """Take a version out of the store, and out of what can be rolled back to. Refuses one that is served, or that
        others are stored as differences from."""
        fs, root = self._store()
        self.manifest(version)
        if version in self.bases():
            raise ModelError(f"{version} is what other versions are stored as differences from: remove those first")
        for generation in self.generations():
            pointer = self._pointer(generation)
            if pointer and pointer.version == version:
                raise ModelError(f"{version} is served by generation {generation}: promote another one first")
            if pointer and version in pointer.history:
                left = tuple(before for before in pointer.history if before != version)
                self._point(Pointer(pointer.version, left), generation)
        fs.rm_file(f"{root}/{version}/{MANIFEST}")  # first: what is not whole is not there
        fs.rm(f"{root}/{version}", recursive=True)

    def bases(self) -> frozenset[str]:
        """Versions that others are stored as differences from."""
        found = set()
        for version in self.list():
            with suppress(ModelError):  # what nobody can fetch needs no base
                found.add(self.manifest(version).base)
        return frozenset(found - {""})

    def notes(self, version: str) -> Notes:
        """Generation and figures of a published version. What holds no model is of the first generation."""
        fs, root = self._store()
        if _CARD not in self.manifest(version).files:
            return Notes()
        where = f"{root}/{version}/{_CARD}"
        try:
            return msgspec.json.decode(fs.cat_file(where), type=Notes)
        except (FileNotFoundError, *manifests.UNREADABLE) as error:
            raise ModelError(f"{where} cannot be read ({str(error)[:200]}): publish the version again") from error

    def manifest(self, version: str) -> manifests.Manifest:
        """The manifest of a published version."""
        fs, root = self._store()
        path = f"{root}/{check_version(version)}/{MANIFEST}"
        if not fs.exists(path):
            raise ModelError(self._unknown(version))
        manifest = manifests.decode(fs.cat_file(path), f"{self.url}/{version}")
        if manifest.version != version:
            raise ModelError(
                f"{path} is the manifest of version {manifest.version}, not of {version}: publish the version again"
            )
        return manifest

    def fetch(self, version: str, into: Path) -> Path:
        """Copy a version to the local folder `into`, which is `into` as returned; every checksum is compared.

        A copy that is already there and whole is kept. The folder appears complete or not at all. For a version that is
        stored as differences, a copy of its base is put (or found) beside it, under its name.
        """
        manifest = self.manifest(version)
        if (into / MANIFEST).is_file() and manifests.verify(into) == manifest:
            return into
        if into.exists() and any(into.iterdir()):
            raise ModelError(f"{into} holds something other than model {version}: remove it or name another folder")
        base = self.fetch(self._base_of(manifest).version, into.parent / manifest.base) if manifest.base else None
        into.parent.mkdir(parents=True, exist_ok=True)
        partial = into.parent / f".{into.name}.{uuid.uuid4().hex}"
        try:
            self._download(manifest, partial, base)
            _move(partial, into, manifest)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return into

    def _require_same_states(self, version: str, served: str, generation: int) -> None:
        old, new = self.notes(served), self.notes(version)
        if new.half_lives == old.half_lives and self._same_writes(version, served):
            return
        raise ModelError(
            f"{version} makes states otherwise than {served}, which generation {generation} serves: its states must be "
            f"built anew, as a generation of its own. Train it as one (interest train --generation "
            f"{self.next_generation()}); if no worker ever ran, remove {self.url}/{_pointer_of(generation)} instead"
        )

    def _same_writes(self, one: str, other: str) -> bool:
        entries = [self.manifest(version).files.get(_WRITES) for version in (one, other)]
        if None in entries or entries[0] == entries[1]:
            return entries[0] == entries[1]
        first, second = (self._arrays(version, _WRITES) for version in (one, other))
        return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)

    def _arrays(self, version: str, name: str) -> dict[str, Any]:
        with np.load(io.BytesIO(self._content(self.manifest(version), name)), allow_pickle=False) as arrays:
            return dict(arrays)

    def _content(self, manifest: manifests.Manifest, name: str) -> bytes:
        if name in manifest.patches:
            return self._patched(manifest, name, self._content(self._base_of(manifest), name))
        fs, root = self._store()
        return bytes(fs.cat_file(f"{root}/{manifest.version}/{name}"))

    # -- versions as differences from another

    def _against(
        self, manifest: manifests.Manifest, folder: Path, base: Path
    ) -> tuple[manifests.Manifest, dict[str, bytes]]:
        """The manifest of what is to be stored of `folder`, and the patches; the same manifest and none if they save
        too little. `model.json` stays whole, so that it can be read without fetching anything."""
        of = manifests.verify(base)
        if of.base or self.manifest(of.version) != of:
            raise ModelError(f"{of.version} is not whole in {self.url}, or not what lies in {base}: name another base")
        common = {name: entry for name, entry in manifest.files.items() if name in of.files and name != _CARD}
        patches = {
            name: patch_of((folder / name).read_bytes(), (base / name).read_bytes())
            for name, entry in common.items()
            if entry != of.files[name]
        }
        sizes = {name: len(patches.get(name, b"")) for name in common}
        delta = msgspec.structs.replace(manifest, format=manifests.PATCHED_FORMAT, base=of.version, patches=sizes)
        return (delta, patches) if delta.stored() <= _LARGEST_DELTA * manifest.stored() else (manifest, {})

    def _base_of(self, manifest: manifests.Manifest) -> manifests.Manifest:
        base = self.manifest(manifest.base)
        if base.base:
            raise ModelError(
                f"{manifest.version} in {self.url} is stored as differences from {base.version}, which is not whole "
                "itself: do not use this version"
            )
        return base

    def _patched(self, manifest: manifests.Manifest, name: str, base: bytes) -> bytes:
        """The file, not yet compared with its checksum."""
        if not manifest.patches[name]:
            return base
        fs, root = self._store()
        where = f"{manifest.version}/{name}{PATCH}"
        try:
            return applied(fs.cat_file(f"{root}/{where}"), base, manifest.files[name].size)
        except (FileNotFoundError, PatchError) as error:
            raise ModelError(f"{self.url}/{where} cannot be used ({error}): publish the version again") from error

    def _download(self, manifest: manifests.Manifest, folder: Path, base: Path | None) -> None:
        """`base`: a whole local copy of the manifest's base, if it has one."""
        fs, root = self._store()
        for name, entry in manifest.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if base and name in manifest.patches:
                target.write_bytes(self._patched(manifest, name, (base / name).read_bytes()))
            else:
                try:
                    fs.get_file(f"{root}/{manifest.version}/{name}", str(target))
                except FileNotFoundError:
                    target.unlink(missing_ok=True)
            manifests.check(target, entry, f"{self.url}/{manifest.version}")
        (folder / MANIFEST).write_bytes(manifests.encode(manifest))

    def _store(self) -> tuple[Any, str]:
        fs, root = fsspec.core.url_to_fs(self.url, **self.options)
        fs.invalidate_cache()  # object stores remember listings, and another process publishes
        return fs, str(root).rstrip("/")

    def _pointer(self, generation: int) -> Pointer | None:
        fs, root = self._store()
        name = _pointer_of(generation)
        try:
            content = fs.cat_file(f"{root}/{name}")
        except FileNotFoundError:
            return None
        try:
            pointer = msgspec.json.decode(content, type=Pointer)
            for version in (pointer.version, *pointer.history):
                check_version(version)
            return pointer
        except (*manifests.UNREADABLE, ModelError) as error:
            raise ModelError(
                f"{self.url}/{name} is damaged ({str(error)[:200]}): remove it and promote one of {self._names()}"
            ) from error

    def _point(self, pointer: Pointer, generation: int) -> None:
        fs, root = self._store()
        _write_whole(fs, f"{root}/{_pointer_of(generation)}", msgspec.json.encode(pointer))

    def _unknown(self, version: str) -> str:
        return f"version {version} is not in {self.url}: it has {self._names()}; `interest train` makes one"

    def _names(self) -> str:
        return ", ".join(self.list()) or "no versions"


def _pointer_of(generation: int) -> str:
    return _POINTER if generation == FIRST_GENERATION else f"current-g{generation}.json"


def _move(partial: Path, into: Path, manifest: manifests.Manifest) -> None:
    """Give a complete copy its name, unless another worker on this machine was faster with the same one."""
    try:
        partial.replace(into)
    except OSError:
        if not (into / MANIFEST).is_file() or manifests.verify(into) != manifest:
            raise


def _write_whole(fs: Any, path: str, content: bytes) -> None:
    """Readers see the old file or the new one. A rename does it on a disk; on object stores every write is whole."""
    partial = f"{path}.{uuid.uuid4().hex}.partial"
    fs.pipe_file(partial, content)
    fs.mv(partial, path)
