"""What of an index is worth publishing again: the rows that have moved since they were published last.

Adam moves every row a little in every step, and popularity fades all the time; a version as differences from another
one is as long as what is not the same to the bit.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from model_store.catalog.index import ItemIndex


def settled(index: ItemIndex, published: ItemIndex, least: float) -> ItemIndex:
    """`index` with the rows of `published` where they are nearly the same.

    That is, column by column, where the root mean square of the change is less than `least` times that of the whole
    column. So nothing is ever further than that from what was learnt, however often this is repeated. Items are those
    of `published` and, after them, new ones; these are as they are.
    """
    if not np.array_equal(index.hashes[: len(published)], published.hashes):
        raise ValueError("the items that were published are not the first ones of the index")
    return replace(
        index,
        vectors=_settled(index.vectors, published.vectors, least),
        bias=_settled(index.bias, published.bias, least),
        priors=_settled(index.priors, published.priors, least),
    )


def _settled(rows: npt.NDArray[Any], published: npt.NDArray[Any], least: float) -> npt.NDArray[Any]:
    out, change = rows.copy(), rows[: len(published)] - published
    still = _mean_square(change.reshape(len(change), -1)) < least**2 * np.mean(np.square(rows))
    out[: len(published)][still] = published[still]
    return out


def _mean_square(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.mean(np.square(rows), axis=1)
