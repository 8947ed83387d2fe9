"""What creators and topics stand for: where their items lie, compared with all items.

A user's vector is multiplied with items' vectors, so a direction that gives a topic's items more than the others is as
good as a user who likes just those.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model_store.catalog.index import ItemIndex
from model_store.state.followees import Directions, followee
from model_store.state.hashing import hash_ids

Float32 = npt.NDArray[np.float32]


def directions_of(index: ItemIndex, topics: Sequence[str], creators: Sequence[str] = ()) -> Directions:
    """Of the topics (names of the columns of `index.shares`), and of the creators: one for each item of the index,
    empty where nobody has said whose it is. A topic without items stands for nothing."""
    if not len(index):
        return Directions(0)
    usual = index.vectors.mean(axis=0)
    weight = index.shares.sum(axis=0)[:, None]
    by_topic = np.divide(index.shares.T @ index.vectors, weight, out=np.tile(usual, (len(weight), 1)), where=weight > 0)
    made, by_creator = _means_by(creators, index.vectors)
    names = [followee("topic", topic) for topic in topics[: len(by_topic)]]
    names += [followee("creator", creator) for creator in made]
    return Directions.of(hash_ids(names).hash, np.concatenate([by_topic, by_creator]) - usual)


def _means_by(names: Sequence[str], rows: Float32) -> tuple[list[str], Float32]:
    """The distinct names that are not empty, and float32 [n, d], the mean of the rows of each. Either a name for each
    row, or none at all."""
    told = np.flatnonzero(np.array([name != "" for name in names], np.bool_))
    if not len(told):
        return [], np.zeros((0, rows.shape[1]), np.float32)
    distinct, group, counts = np.unique([names[row] for row in told.tolist()], return_inverse=True, return_counts=True)
    starts = np.cumsum(counts) - counts
    sums = np.add.reduceat(rows[told[np.argsort(group, kind="stable")]], starts, axis=0)
    return distinct.tolist(), (sums / counts[:, None]).astype(np.float32)
