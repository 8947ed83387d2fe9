"""The list of a model version's files with their checksums; a folder without one is not a model.

`manifest.json` is written after every other file, so a version is either complete or not there. What is read from
a model folder (a TensorFlow graph can read and write files) is read only after `verify` has compared every byte.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec

MANIFEST = "manifest.json"
FORMAT, PATCHED_FORMAT = 6, 7
PATCH = ".patch"
UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What reading JSON that may be damaged raises."""
Size = Annotated[int, msgspec.Meta(ge=0)]
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class ModelError(Exception):
    """A model version is missing, incomplete, damaged or of another format; the message says what to do."""


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Checksum (hexadecimal) and size in bytes of one file."""

    sha256: str
    size: Size


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `manifest.json` holds.

    Attributes:
        format: `FORMAT`, or `PATCHED_FORMAT` with a base.
        version: its name.
        files: path inside the folder (with `/`) -> entry of the whole file.
        base: the version that some files are stored as differences from; empty if the store has all of them whole.
        patches: path -> bytes of the difference that is stored in place of a file of `files`, under the path with
            `PATCH` after it; 0 if the file is the base's as it is, and nothing is stored.
    """

    format: int
    version: str
    files: dict[str, FileEntry]
    base: str = ""
    patches: dict[str, Size] = {}

    def stored(self) -> int:
        """Bytes in the store, those of the base not counted."""
        return sum(self.patches.get(name, entry.size) for name, entry in self.files.items())


def entry_of(path: Path) -> FileEntry:
    """Entry of a local file."""
    with path.open("rb") as file:
        return FileEntry(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def check_version(version: str) -> str:
    """The version itself, if it may name a folder in any store; `ModelError` otherwise."""
    if not _VERSION.fullmatch(version):
        raise ModelError(
            f"{version[:100]!r} cannot name a model version: use 1 to 80 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit"
        )
    return version


def describe(folder: Path, version: str) -> Manifest:
    """The manifest that the files now in `folder` would have (an old `manifest.json` left aside)."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    if not paths:
        raise ModelError(f"{folder} holds no files, so there is no model in it to describe")
    files = {path.relative_to(folder).as_posix(): entry_of(path) for path in paths}
    return Manifest(FORMAT, check_version(version), files)


def write(folder: Path, version: str) -> Manifest:
    """Write `manifest.json` for what is in `folder`; call it last."""
    manifest = describe(folder, version)
    partial = folder / f".{MANIFEST}.partial"
    partial.write_bytes(encode(manifest))
    partial.replace(folder / MANIFEST)
    return manifest


def encode(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2)


def decode(content: bytes, where: str) -> Manifest:
    """Read `manifest.json`; `ModelError` if it is not one, of another format, or names files outside its folder."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except UNREADABLE as error:
        raise ModelError(f"{where}/{MANIFEST} is damaged ({str(error)[:200]}): publish the version again") from error
    if manifest.format != (PATCHED_FORMAT if manifest.base else FORMAT):
        raise ModelError(
            f"{where} has model format {str(manifest.format)[:20]}, this program reads {FORMAT}, and {PATCHED_FORMAT} "
            "where there is a base: train a new version"
        )
    check_version(manifest.version)
    if manifest.base:
        check_version(manifest.base)
    if manifest.base == manifest.version or not manifest.patches.keys() <= manifest.files.keys():
        raise ModelError(f"{where}/{MANIFEST} does not fit together: publish the version again")
    _refuse_outside(manifest.files, where)
    return manifest


def _refuse_outside(files: Mapping[str, FileEntry], where: str) -> None:
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not path.parts:
            raise ModelError(
                f"{where}/{MANIFEST} names {name[:100]!r}, which lies outside the model: do not use this version"
            )


def of_folder(folder: Path) -> Manifest:
    """The manifest in `folder`, whose files may be others by now."""
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise ModelError(f"{folder} has no {MANIFEST}: it is not a complete model version; fetch or train it again")
    return decode(path.read_bytes(), str(folder))


def verify(folder: Path) -> Manifest:
    """Compare every file of `folder` with its manifest; `ModelError` names the first that differs.

    Nothing may be there besides: a loader might prefer a file that nobody has checked, and a link's target may change
    after it was read.
    """
    manifest = of_folder(folder)
    where = f"{manifest.version} in {folder}"
    _refuse_others(folder, manifest, where)
    for name, entry in manifest.files.items():
        check(folder / name, entry, where)
    return manifest


def _refuse_others(folder: Path, manifest: Manifest, where: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ModelError(
                f"{path} of model {where} is a link, whose target may change: remove the folder and fetch it again"
            )
        if (
            not path.is_dir()
            and path != folder / MANIFEST
            and path.relative_to(folder).as_posix() not in manifest.files
        ):
            raise ModelError(f"{path} was not published with model {where}: remove it")


def check(path: Path, entry: FileEntry, where: str) -> None:
    """Raise `ModelError` unless the file at `path` is the one that `entry` describes."""
    if not path.is_file():
        raise ModelError(f"{path} is missing from model {where}: fetch or publish the version again")
    found = entry_of(path)
    if found != entry:
        raise ModelError(
            f"{path} of model {where} is not what was published (sha256 {found.sha256[:12]}, expected "
            f"{entry.sha256[:12]}): it was changed or cut off; remove a local copy, so that it is fetched again, or "
            "publish the version again"
        )
