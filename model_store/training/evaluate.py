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

Scorer = Callable[[Int64], tuple[Float32, Float32]]
"""From users to scores of all items, float32 [n, m], and weights of topics, float32 [n, topics]."""

_CHUNK_SCORES = 1 << 24
HELD_OUT = 2
"""Interactions of each user that training never sees: the last is the test, the one before it validation."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an evaluation; `topics` is None where the data set names no topics."""

    name: str
    ranking: Ranking
    topics: TopicScores | None = None


def evaluate(model: InterestModel, data: Interactions, back: int = 0) -> tuple[Row, ...]:
    """The model, popularity and item transitions, each asked for the last interaction of every user.

    `back` = 1 asks for the second last instead (validation). States are built by the step form from everything before
    it. All three rank all items of the set, those really seen left out. The rivals count what training may see (all
    but the last `HELD_OUT`); their topics are those of the items that they recommend, by score.
    """
    before, targets = data.without_last(back + 1), data.last(back)
    users = np.flatnonzero((targets >= 0) & (before.last() >= 0))
    methods = {"model": _model_scorer(model, data, before), **_rival_scorers(data, before)}
    seen, wanted = _seen(before), targets[users].astype(np.int64)
    rank: dict[str, list[Int64]] = {name: [] for name in methods}
    topics: dict[str, list[Float32]] = {name: [] for name in methods}
    for part in _chunks(len(users), len(data.items)):
        hidden = seen(users[part])
        for name, method in methods.items():
            scores, predicted = method(users[part])
            rank[name].append(ranks(scores, wanted[part], hidden))
            topics[name].append(predicted)
    actual = data.item_topics[wanted]
    return tuple(
        Row(name, ranking(np.concatenate(rank[name])), _topic_scores(np.concatenate(topics[name]), actual))
        for name in methods
    )


def _model_scorer(model: InterestModel, data: Interactions, before: Interactions) -> Scorer:
    records = states_of(before, model.writes, model.decays).records
    rows, columns = index_rows(model, list(data.items)), _topic_columns(model, data)

    def scores(users: Int64) -> tuple[Float32, Float32]:
        outputs = outputs_of(model, records, users)
        known = np.where(rows >= 0, model.index.scores(outputs)[:, rows], np.float32(-np.inf))
        return known, Outputs.of(outputs).topics[:, columns]

    return scores


def _rival_scorers(data: Interactions, before: Interactions) -> dict[str, Scorer]:
    train, recent = data.without_last(HELD_OUT), recent_items(before)
    share = data.item_topics / np.maximum(data.item_topics.sum(axis=1, keepdims=True), 1)

    def scorer(rival: Popularity | Transitions) -> Scorer:
        def scores(users: Int64) -> tuple[Float32, Float32]:
            found = rival.scores(recent[users])
            return found, found @ share

        return scores

    return {"popularity": scorer(Popularity.fit(train)), "item transitions": scorer(Transitions.fit(train))}


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
    content = model.writes.content[model.writes.rows(model.index.hashes[test_items[users]])]
    actual = (content[:, : len(model.topics)] > 0).astype(np.float32)
    return Row("model", ranking(np.concatenate(found)), _topic_scores(Outputs.of(outputs).topics, actual))


def outputs_of(model: InterestModel, records: npt.NDArray[np.void], rows: Int64) -> Float32:
    """float32 [n, width]: the readout of `records[rows]`."""
    return model.readout.large(features(records, rows))


def index_rows(model: InterestModel, item_ids: list[str]) -> Int64:
    """int64 [n]: rows of `model.index` for item ids, -1 where the model does not have them."""
    place = {item: row for row, item in enumerate(model.index.item_ids)}
    return np.array([place.get(item, -1) for item in item_ids], np.int64)


def _topic_scores(predicted: Float32, actual: Float32) -> TopicScores | None:
    return topic_scores(predicted, actual) if actual.shape[1] else None


def _topic_columns(model: InterestModel, data: Interactions) -> list[int]:
    """Where the data set's topics stand among the model's; they must be the same ones."""
    if sorted(model.topics) != sorted(data.topics):
        raise ValueError(f"model {model.version} knows the topics {model.topics}, {data.name} has {data.topics}")
    return [model.topics.index(topic) for topic in data.topics]


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
