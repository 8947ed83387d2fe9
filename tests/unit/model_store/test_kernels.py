"""Compiled kernels that come with an image."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from model_store.kernels import begin_with_a_copy

SOURCES = "04da56977268ac53"


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as an image has it, which nobody may write to."""
    folder = tmp_path / "brought"
    (folder / SOURCES / "state").mkdir(parents=True)
    (folder / SOURCES / "state" / "advance.nbi").write_bytes(b"compiled")
    monkeypatch.setenv("INTEREST_KERNELS", str(folder))
    return folder


def test_a_process_begins_with_the_kernels_that_were_brought(brought: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / SOURCES
    begin_with_a_copy(cache)
    assert (cache / "state" / "advance.nbi").read_bytes() == b"compiled"
    assert [one.name for one in cache.parent.iterdir()] == [SOURCES]


def test_what_was_compiled_since_stays(brought: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / SOURCES
    cache.mkdir(parents=True)
    (cache / "more.nbi").touch()
    begin_with_a_copy(cache)
    assert [one.name for one in cache.iterdir()] == ["more.nbi"]


def test_kernels_of_other_sources_are_not_taken(brought: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "ffffffffffffffff"
    begin_with_a_copy(cache)
    assert not cache.exists()


def test_a_folder_without_room_is_no_error(brought: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    begin_with_a_copy(tmp_path / "cache" / SOURCES)


def test_numba_runs_what_was_brought_and_compiles_nothing(tmp_path: Path) -> None:
    """One process compiles, its folder is brought to another, and that finds everything."""
    code = (
        "from model_store.state import hashing\n"
        "hashing.partition_of(b'u42', 8)\n"
        "found = hashing._murmur2.stats\n"
        "print(sum(found.cache_hits.values()), sum(found.cache_misses.values()))"
    )

    def hits_and_misses(name: str, brought: Path) -> list[int]:
        env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / name), "INTEREST_KERNELS": str(brought)}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        return [int(word) for word in done.stdout.split()]

    brought = tmp_path / "first" / "interest-updater" / "kernels"
    assert hits_and_misses("first", tmp_path / "nothing") == [0, 1]
    assert hits_and_misses("second", brought) == [1, 0]
