"""How `item:vectors` makes a cosine of an item's score, since Redis ranks what it finds by the cosine.

The score of an item is `q @ v + b`. Written as `[v, b, sqrt(bound**2 - |v|**2 - b**2)]` every item has the length
`bound`, so the cosine with `[q, 1, 0]` is the score over `bound * |[q, 1]|`, and orders as the score does.
"""

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


def lengths(vectors: Float32, bias: Float32) -> Float64:
    """Of n items float64 [n], the length of `[v, b]`: what `bound` must not be smaller than."""
    sums: Float64 = np.square(vectors, dtype=np.float64).sum(axis=1) + np.square(bias, dtype=np.float64)
    return np.sqrt(sums)


def elements(vectors: Float32, bias: Float32, bound: float) -> Float32:
    """float32 [n, DIM + 2] of float32 [n, DIM] and float32 [n]. Raises ValueError if one is longer than `bound`."""
    rest = bound**2 - lengths(vectors, bias) ** 2
    if (rest < 0).any():
        raise ValueError(f"an item is longer than the bound {bound}")
    return np.concatenate([vectors, bias[:, None], np.sqrt(rest)[:, None]], axis=1).astype("<f4")


def question(vector: Float32) -> Float32:
    """float32 [DIM + 2], what to search with for a user's float32 [DIM]."""
    return np.append(vector, [1.0, 0.0]).astype("<f4")


def score(similarity: float, asked: Float32, bound: float) -> float:
    """`q @ v + b` of what VSIM says of an item, 0..1; `asked`: the `question`."""
    return float((2.0 * similarity - 1.0) * np.linalg.norm(asked.astype(np.float64)) * bound)
