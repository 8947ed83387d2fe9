"""Candidates out of very many items: those that score highest for a user, found approximately and fast.

A score without transitions is an inner product, of the item's (vector, popularity, bias) and the user's (vector,
weights, 1). With one more column that makes all items equally long, the item of the largest product is the nearest one
(Bachrach et al., Speeding Up the Xbox Recommender System Using a Euclidean Transformation for Inner-Product Spaces,
2014), and nearest ones are what an inverted file with product quantisation finds (Johnson et al., Billion-scale
similarity search with GPUs, 2017). Whoever asks scores the candidates exactly.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

EXACT_UP_TO = 200_000
"""Items of which all are scored: a thousand users a second on one core."""

_PROBED_LISTS = 64
_TRAINED_ON = 100_000


def is_available() -> bool:
    """Whether the extra `large` is installed."""
    try:
        import faiss  # noqa: F401
    except ImportError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Candidates:
    """A search structure over m items; about 43 bytes an item, and no copy of their vectors."""

    _searched: Any
    _per_user: Float32

    @staticmethod
    def of(factors: Float32, bias: Float32, users: Float32, seed: int = 0) -> "Candidates":
        """Of items with these factors (float32 [m, d]) and biases (float32 [m]); `users`: factors of some users
        (float32 [n, d]). 15 s for a million on one core.

        What users weigh little must count for little in a distance as well: columns are scaled by the users' root mean
        square. Raises ImportError without the extra `large`, RuntimeError for less than 16 items.
        """
        import faiss

        faiss.omp_set_num_threads(1)  # a worker has one core; it would take all of them
        sizes = np.append(np.sqrt(np.mean(users**2, axis=0)), 1.0).astype(np.float32)
        columns = _equally_long(np.concatenate([factors, bias[:, None]], axis=1) * sizes)
        lists = max(1, min(2 * int(len(columns) ** 0.5), len(columns) // 40))
        searched: Any = faiss.index_factory(columns.shape[1], f"IVF{lists},PQ{columns.shape[1]}x4fs", faiss.METRIC_L2)
        searched.nprobe = _PROBED_LISTS
        sample = np.random.default_rng(seed).permutation(len(columns))[:_TRAINED_ON]
        searched.train(columns[sample])
        searched.add(columns)
        return Candidates(searched, np.divide(1, sizes, out=np.zeros_like(sizes), where=sizes > 0))

    def __len__(self) -> int:
        return int(self._searched.ntotal)

    @property
    def nbytes(self) -> int:
        """Bytes of the structure, about."""
        return len(self) * (self._searched.code_size + 8)

    def search(self, factors: Float32, count: int) -> Int64:
        """int64 [n, count]: rows of about the best items of n users with these factors (float32 [n, d]), in no useful
        order; -1 where there are fewer."""
        asked = np.zeros((len(factors), self._searched.d), np.float32)
        asked[:, : factors.shape[1]], asked[:, factors.shape[1]] = factors, 1.0
        asked[:, : len(self._per_user)] *= self._per_user
        rows: Int64 = self._searched.search(asked, count)[1]
        return rows


def _equally_long(columns: Float32) -> Float32:
    """With a column more that makes them so."""
    squares = np.einsum("ij,ij->i", columns, columns)
    missing = np.sqrt(np.maximum(squares.max(initial=0.0) - squares, 0.0))
    return np.concatenate([columns, missing[:, None]], axis=1)
