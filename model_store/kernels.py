"""How every compiled kernel of the project is made: no GIL, compiled once for each state of the sources.

numba notices a change of a function's own file only, not of the kernels that it calls, and would go on running stale
machine code after a pull. So its cache folder carries a digest of all kernel sources.

A folder that cannot be written to is no cache to numba, whatever lies in it. So an image brings its kernels in a folder
that `INTEREST_KERNELS` names, and a process begins with a copy of them.
"""

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

import numba
import platformdirs
from numba import njit

_SOURCES = ("state/*.py", "catalog/*.py", "kernels.py")


def cache_folder() -> Path:
    """Where the kernels of these sources are kept once they are compiled."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(path for pattern in _SOURCES for path in root.glob(pattern)):
        digest.update(path.read_bytes())
    return platformdirs.user_cache_path("interest-updater") / "kernels" / digest.hexdigest()[:16]


def begin_with_a_copy(cache: Path) -> None:
    """Of the kernels that came with an image, where there are some of these sources. numba itself sees whether they are
    for this machine; what is not it compiles."""
    brought = Path(os.environ.get("INTEREST_KERNELS", "")) / cache.name
    if cache.exists() or not brought.is_absolute() or not brought.is_dir():
        return
    mine = cache.with_name(f"{cache.name}.{os.getpid()}")
    with suppress(OSError):  # another process was quicker, or there is no room: numba says so, or compiles
        shutil.copytree(brought, mine, copy_function=shutil.copyfile)
        mine.rename(cache)
    shutil.rmtree(mine, ignore_errors=True)


numba.config.CACHE_DIR = str(cache_folder())
begin_with_a_copy(cache_folder())

kernel = njit(nogil=True, cache=True)

__all__ = ["kernel"]
