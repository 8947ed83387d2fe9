"""Where MovieLens 100K comes from: a folder of the user's, else the `recbole` wheel of the package index.

The publisher forbids redistribution, so this project ships no ratings; the wheel's authors ship them as an example.
Only its data files are unpacked: nothing of the package is installed or run.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
import zipfile
from pathlib import Path

from model_store.training import datasets

TERMS = (
    "MovieLens 100K, GroupLens Research, University of Minnesota: research use only, no redistribution, no commercial "
    "use without permission, no endorsement implied. Cite: F. M. Harper and J. A. Konstan, The MovieLens Datasets, "
    "ACM TiiS 5(4), 2015."
)
_WHEEL = "recbole==1.2.1"
_WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
_INSIDE = "recbole/dataset_example/ml-100k"
_FILES = ("ml-100k.inter", "ml-100k.item")
_ENVIRONMENT = "INTEREST_DATA"
_TIMEOUT_SECONDS = 300


class FetchError(Exception):
    """The data could not be had; the message says why and what to do."""


def find_ml_100k(folder: Path | None, cache: Path) -> Path:
    """The folder that holds MovieLens 100K.

    In this order: `folder` itself (must hold it); `ml-100k` in the folder that the environment variable
    INTEREST_DATA names, or in `../shared/data` beside this repository; `cache`, filled from the package index if
    it is empty. `datasets.load` reads what is returned. Raises `FetchError`, or `ValueError` for a `folder` without
    the set.
    """
    if folder is not None:
        datasets.detect(folder)
        return folder
    for candidate in _local_folders():
        if _holds_it(candidate):
            return candidate
    return cache if _holds_it(cache) else fetch_ml_100k(cache)


def fetch_ml_100k(into: Path) -> Path:
    """Download the wheel (2.1 MB), compare its checksum, unpack the two data files to `into`. Show `TERMS`."""
    with tempfile.TemporaryDirectory(prefix="interest-data-") as scratch:
        wheel = _download(Path(scratch))
        into.parent.mkdir(parents=True, exist_ok=True)
        partial = into.parent / f".{into.name}.{uuid.uuid4().hex}"
        try:
            _unpack(wheel, partial)
            shutil.rmtree(into, ignore_errors=True)
            partial.replace(into)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return into


def _local_folders() -> list[Path]:
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    named = os.environ.get(_ENVIRONMENT)
    roots = [Path(named), beside] if named else [beside]
    return [root / "ml-100k" for root in roots]


def _holds_it(folder: Path) -> bool:
    return any(known.is_in(folder) for known in datasets.KNOWN if known.name.startswith("ml-100k"))


def _download(scratch: Path) -> Path:
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{_WHEEL} --hash=sha256:{_WHEEL_SHA256}\n")
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", "--require-hashes", "--dest", str(scratch), "--requirement", str(requirements),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise FetchError(_message(f"pip gave no answer within {_TIMEOUT_SECONDS} s")) from error
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise FetchError(_message(last))
    return wheels[0]


def _unpack(wheel: Path, folder: Path) -> None:
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for name in _FILES:
            (folder / name).write_bytes(archive.read(f"{_INSIDE}/{name}"))


def _message(why: str) -> str:
    return (
        f"MovieLens 100K could not be fetched with the {_WHEEL} wheel: {why}. Check that pip reaches your package "
        f"index, or put u.data, u.item and u.genre into a folder and name it (or its parent, as {_ENVIRONMENT})"
    )
