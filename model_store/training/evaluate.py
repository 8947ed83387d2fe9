"""Leave-one-out evaluation of a model as it is served: states advanced event by event, then read out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.encoder.columns import Outputs
from model_store.model import InterestModel
from model_store.state.features import features
from model_store.training.interactions import Interactions
from model_store.training.metrics import Ranking, TopicScores, ranking, ranks, topic_scores
from model_store.training.rivals import Popularity, Transitions, recent_items
from model_store.training.states import states_of

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

_CHUNK_SCORES = 1 << 24
HELD_OUT = 2
"""Interactions of each user that training never sees: the last is the test, the one before it validation."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an evaluation: `topics` where the method says something about topics."""

    name: str
    ranking: Ranking
    topics: TopicScores | None = None


def evaluate(model: InterestModel, data: Interactions, back: int = 0) -> tuple[Row, ...]:
    """The model, popularity and item transitions, each asked for the last interaction of every user.

    `back` = 1 asks for the second last instead (validation).
    States are built by the step form from everything before it. All three rank all items of the set, those really
    seen left out. The rivals count what training may see (all but the last `HELD_OUT`).
    """
    before, targets = data.without_last(back + 1), data.last(back)
    users = np.flatnonzero((targets >= 0) & (before.last() >= 0))
    seen, recent = _seen(before), recent_items(before)
    train = data.without_last(HELD_OUT)
    rivals: dict[str, Popularity | Transitions] = {
        "popularity": Popularity.fit(train),
        "item transitions": Transitions.fit(train),
    }
    found: dict[str, list[Int64]] = {"model": [], **{name: [] for name in rivals}}
    outputs = outputs_of(model, states_of(before, model.writes, model.decays).records, users)
    rows = index_rows(model, list(data.items))
    for part in _chunks(len(users), len(data.items)):
        of, hidden = users[part], seen(users[part])
        mine = np.where(rows >= 0, model.index.scores(outputs[part])[:, rows], np.float32(-np.inf))
        found["model"].append(ranks(mine, targets[of].astype(np.int64), hidden))
        for name, rival in rivals.items():
            found[name].append(ranks(rival.scores(recent[of]), targets[of].astype(np.int64), hidden))
    topics = _topics(model, outputs, rows[targets[users]])
    return tuple(
        Row(name, ranking(np.concatenate(parts)), topics if name == "model" else None) for name, parts in found.items()
    )


def metric_of_states(model: InterestModel, records: npt.NDArray[np.void], test_items: Int64) -> Row:
    """The same metric from states alone, wherever they come from (a file, or back from Kafka).

    records: `USER` [n]; test_items: int64 [n], rows of `model.index` (-1: leave the user out). What a user has seen
    is what the state's filter says, as when recommending, so a false positive on the target is a miss.
    """
    users = np.flatnonzero(test_items >= 0)
    outputs = outputs_of(model, records, users)
    found = [
        ranks(model.index.scores(outputs[part]), test_items[users[part]], model.index.seen(records, users[part]))
        for part in _chunks(len(users), len(model.index))
    ]
    return Row("model", ranking(np.concatenate(found)), _topics(model, outputs, test_items[users]))


def outputs_of(model: InterestModel, records: npt.NDArray[np.void], rows: Int64) -> Float32:
    """float32 [n, width]: the readout of `records[rows]`."""
    return model.readout.large(features(records, rows))


def index_rows(model: InterestModel, item_ids: list[str]) -> Int64:
    """int64 [n]: rows of `model.index` for item ids, -1 where the model does not have them."""
    place = {item: row for row, item in enumerate(model.index.item_ids)}
    return np.array([place.get(item, -1) for item in item_ids], np.int64)


def _topics(model: InterestModel, outputs: Float32, targets: Int64) -> TopicScores | None:
    if not model.topics:
        return None
    content = model.writes.content[model.writes.rows(model.index.hashes[np.maximum(targets, 0)])]
    actual = np.where(targets[:, None] >= 0, content[:, : len(model.topics)] > 0, False).astype(np.float32)
    return topic_scores(Outputs.of(outputs).topics, actual)


def _seen(before: Interactions) -> Callable[[Int64], Bool]:
    """Maps n users to bool [n, items]: what each really interacted with."""
    order = np.argsort(before.user, kind="stable")
    items = before.item[order]
    bounds = np.searchsorted(before.user[order], np.arange(len(before.users) + 1))

    def of(users: Int64) -> Bool:
        mask = np.zeros((len(users), len(before.items)), np.bool_)
        for row, user in enumerate(users):
            mask[row, items[bounds[user] : bounds[user + 1]]] = True
        return mask

    return of


def _chunks(count: int, items: int) -> Iterator[slice]:
    step = max(1, _CHUNK_SCORES // max(1, items))
    return (slice(start, min(count, start + step)) for start in range(0, count, step))
