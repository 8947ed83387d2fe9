"""How every compiled kernel of the project is made: no GIL, compiled once for each state of the sources.

numba notices a change of a function's own file only, not of the kernels that it calls, and would go on running stale
machine code after a pull. So its cache folder carries a digest of all kernel sources.
"""

import hashlib
from pathlib import Path

import numba
import platformdirs
from numba import njit

_SOURCES = ("state/*.py", "catalog/*.py", "kernels.py")


def _cache_folder() -> Path:
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(path for pattern in _SOURCES for path in root.glob(pattern)):
        digest.update(path.read_bytes())
    return platformdirs.user_cache_path("interest-updater") / "kernels" / digest.hexdigest()[:16]


numba.config.CACHE_DIR = str(_cache_folder())

kernel = njit(nogil=True, cache=True)

__all__ = ["kernel"]
