"""Which items are alike by their content."""

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

_CHUNK = 1_000


def alike(content: Float32, rows: Int64, most: int) -> tuple[Int32, Int32]:
    """Pairs (int32 [pairs] each) of an item of `rows` and one of the `most` whose content has the largest cosine with
    its own, both ways round. `content`: float32 [m, FACET_DIM] of all items; what is not known has no pairs."""
    units = content / np.maximum(np.linalg.norm(content, axis=1, keepdims=True), np.float32(1e-12))
    told = np.flatnonzero(content.any(axis=1))
    rows = rows[content[rows].any(axis=1)]
    most = min(most, len(told) - 1)
    if most < 1 or not len(rows):
        return np.empty(0, np.int32), np.empty(0, np.int32)
    parts = [_nearest(units, rows[start : start + _CHUNK], told, most) for start in range(0, len(rows), _CHUNK)]
    near = np.concatenate(parts)
    first, second = np.repeat(rows, most).astype(np.int32), near.ravel().astype(np.int32)
    return np.concatenate([first, second]), np.concatenate([second, first])


def _nearest(units: Float32, rows: Int64, told: Int64, most: int) -> Int64:
    """int64 [n, most]: those of `told` nearest to each of `rows`, itself left out."""
    cosines = units[rows] @ units[told].T
    cosines[rows[:, None] == told[None, :]] = -np.inf
    best: Int64 = told[np.argpartition(-cosines, most - 1, axis=1)[:, :most]]
    return best
