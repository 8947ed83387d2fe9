"""The clients of other languages, made ready to run. Where a toolchain is missing, tests are skipped and say which.

What is fetched is kept in the user's cache, never in the repository.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import platformdirs
import pytest

from stream_app.local.jars import class_path, kafka_class_path

CLIENTS = Path(__file__).parents[2] / "deploy" / "clients"
JEDIS = "redis.clients:jedis:8.0.2"


def needed(*programs: str) -> None:
    """Skips where one of them is not installed."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def node(folder: Path) -> Path:
    """A copy of the Node package whose dependencies are installed."""
    needed("node", "npm")
    shutil.copytree(CLIENTS / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(_node_modules())
    return folder


def go(name: str, folder: Path) -> Path:
    """A program of the Go module, built."""
    needed("go")
    _fetch(["go", "list", "-deps", f"./{name}"], CLIENTS / "go")
    # Without optimisation: a third less time where nothing is compiled yet.
    flags = ["-gcflags=all=-N -l", "-ldflags=-s -w"]
    _run(["go", "build", *flags, "-o", str(folder / name), f"./{name}"], CLIENTS / "go")
    return folder / name


def java(folder: Path) -> str:
    """The class path of the Java programs, compiled."""
    needed("javac", "java")
    jars = f"{class_path(JEDIS, _cache() / 'jedis', 'fetching Jedis')}:{kafka_class_path()}"
    sources = [str(path) for path in sorted((CLIENTS / "java").glob("*.java"))]
    _run(["javac", "-Xlint:all,-serial,-processing", "-Werror", "-d", str(folder), "-cp", jars, *sources], folder)
    return f"{folder}:{jars}"


def _node_modules() -> Path:
    """What the lock file names, installed once for each lock file."""
    lock = (CLIENTS / "node" / "package-lock.json").read_bytes()
    kept = _cache() / "node" / hashlib.sha256(lock).hexdigest()[:16]
    if not (kept / "node_modules").is_dir():
        making = kept.with_suffix(f".{os.getpid()}")
        making.mkdir(parents=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(CLIENTS / "node" / name, making)
        _fetch(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], making)
        shutil.rmtree(kept, ignore_errors=True)
        making.rename(kept)
    return kept / "node_modules"


def _cache() -> Path:
    return platformdirs.user_cache_path("interest-updater") / "clients"


def _run(argv: list[str], folder: Path) -> None:
    assert (why := _why_it_failed(argv, folder)) is None, why


def _fetch(argv: list[str], folder: Path) -> None:
    """Whoever works without a network is not kept from the other tests; CI has one."""
    why = _why_it_failed(argv, folder)
    if why and not os.environ.get("CI"):
        pytest.skip(f"{' '.join(argv[:3])} failed: {why[-300:]}")
    assert why is None, why


def _why_it_failed(argv: list[str], folder: Path) -> str | None:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=280)
    return (done.stdout + done.stderr)[-4_000:] if done.returncode else None
