"""Leave-one-out evaluation of a model as it is served: states advanced event by event, then read out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from model_store.encoder.columns import Outputs
from model_store.model import InterestModel
from model_store.state.features import features
from model_store.training.interactions import Interactions
from model_store.training.metrics import (
    CUTOFFS,
    Ranking,
    TopicScores,
    coverage,
    gains_at,
    ranking,
    ranks,
    top_items,
    topic_scores,
)
from model_store.training.rivals.counts import recent_items
from model_store.training.rivals.fitted import Scores, counted
from model_store.training.states import follow, social_of, states_of

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

Scorer = Callable[[Int64], tuple[Float32, Float32]]
"""From users to scores of all items, float32 [n, m], and weights of topics, float32 [n, topics]."""

_CHUNK_SCORES = 1 << 24
_LENGTHS = (1, 10, 20, 50, 100, 200)
TRANSITION_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5)
HELD_OUT = 2
"""Interactions of each user that training never sees: the last is the test, the one before it validation."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an evaluation.

    Attributes:
        name: of the method.
        ranking: over all users.
        by_length, by_popularity: the same by the length of the user's history, and by how popular the target is: the
            items that make up the first, second and last third of what training saw.
        coverage: cutoff -> share of the catalogue that is in somebody's first so many; empty where lists were not made.
        topics: None where the data set or the method names no topics.
    """

    name: str
    ranking: Ranking
    topics: TopicScores | None = None
    by_length: Mapping[str, Ranking] = field(default_factory=dict)
    by_popularity: Mapping[str, Ranking] = field(default_factory=dict)
    coverage: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """Who is asked for what, and given what.

    Attributes:
        before: all that states and rivals may be made of.
        users: int64 [n], those who have an item to be asked for and something before it.
        wanted: int64 [n], the item of each.
    """

    before: Interactions
    users: Int64
    wanted: Int64

    @staticmethod
    def of(data: Interactions, back: int = 0) -> "Question":
        """The last interaction of every user, or the one `back` before it."""
        before, targets = data.without_last(back + 1), data.last(back)
        users = np.flatnonzero((targets >= 0) & (before.last() >= 0))
        return Question(before, users, targets[users].astype(np.int64))


@dataclass(frozen=True, slots=True)
class Answers:
    """What one method said of n users: int64 [n] ranks and [n, k] best items, float32 [n, topics] weights of topics."""

    rank: Int64
    top: Int64
    topics: Float32


def evaluate(
    model: InterestModel, data: Interactions, back: int = 0, rivals: Mapping[str, Scores] | None = None
) -> tuple[Row, ...]:
    """The model, those that count, and `rivals`, each asked for the last interaction of every user.

    `back` = 1 asks for the second last instead (validation). States are built by the step form from everything before
    it. All rank all items of the set, those really seen left out. Rivals count what training may see (all but the last
    `HELD_OUT`).
    """
    asked = Question.of(data, back)
    others = {**counted(data.without_last(HELD_OUT), asked.before), **(rivals or {})}
    methods = {
        "model": model_scorer(model, data, *states_and_social(model, asked.before)),
        **{name: _with_topics(data, rival) for name, rival in others.items()},
    }
    return rows_of(data, asked, answers(asked, methods))


def answers(asked: Question, methods: Mapping[str, Scorer]) -> dict[str, Answers]:
    """What each method says, those items left out that a user has really seen."""
    items = len(asked.before.items)
    seen, found = _seen(asked.before), {name: list[Answers]() for name in methods}
    for part in _chunks(len(asked.users), items):
        users, hidden = asked.users[part], seen(asked.users[part])
        for name, method in methods.items():
            scores, topics = method(users)
            best = top_items(scores, hidden, CUTOFFS[-1])
            found[name].append(Answers(ranks(scores, asked.wanted[part], hidden), best, topics))
    return {name: _joined(parts) for name, parts in found.items()}


def rows_of(data: Interactions, asked: Question, found: Mapping[str, Answers]) -> tuple[Row, ...]:
    """The figures of what each method said."""
    lengths = np.bincount(asked.before.user, minlength=len(data.users))[asked.users]
    groups = _length_groups(lengths), _popularity_groups(data.without_last(HELD_OUT), asked.wanted)
    actual = data.item_topics[asked.wanted]
    return tuple(_row(name, of, groups, actual, len(data.items)) for name, of in found.items())


def best_transition_weight(model: InterestModel, data: Interactions) -> float:
    """Of `TRANSITION_WEIGHTS` the one with the best NDCG@10 on the validation items, whatever the model's is now."""
    transitions = model.index.transitions
    if transitions is None:
        return 0.0
    plain = replace(model, index=replace(model.index, transitions=None))
    asked = Question.of(data, HELD_OUT - 1)
    score = model_scorer(plain, data, *states_and_social(model, asked.before))
    seen, rows, recent = _seen(asked.before), index_rows(model, list(data.items)), recent_items(asked.before)
    gain = dict.fromkeys(TRANSITION_WEIGHTS, 0.0)
    for part in _chunks(len(asked.users), len(data.items)):
        users = asked.users[part]
        base, _ = score(users)
        hidden = seen(users)
        last = np.where(recent[users] >= 0, rows[recent[users]], -1).astype(np.int32)
        added = np.zeros((len(base), len(model.index)), np.float32)
        transitions.weighted(1.0).add_to(added, last)
        added = added[:, rows]
        for weight in gain:
            _, ndcg, _ = gains_at(10, ranks(base + np.float32(weight) * added, asked.wanted[part], hidden))
            gain[weight] += float(ndcg.sum())
    return max(gain, key=lambda weight: gain[weight])


Groups = Mapping[str, Bool]
"""Name -> bool [n], which users are in the group."""


def _joined(parts: list[Answers]) -> Answers:
    return Answers(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("rank", "top", "topics")))


def _row(name: str, found: Answers, groups: tuple[Groups, Groups], actual: Float32, items: int) -> Row:
    by_length, by_popularity = ({group: ranking(found.rank[of]) for group, of in one.items()} for one in groups)
    return Row(
        name,
        ranking(found.rank),
        _topic_scores(found.topics, actual),
        by_length,
        by_popularity,
        coverage(found.top, items),
    )


def _length_groups(lengths: Int64) -> Groups:
    ends = [*_LENGTHS[1:], None]
    groups = {
        f"{start}+" if end is None else f"{start}-{end - 1}": (lengths >= start) & (end is None or lengths < end)
        for start, end in zip(_LENGTHS, ends, strict=True)
    }
    return {name: np.asarray(of) for name, of in groups.items() if np.any(of)}


def _popularity_groups(train: Interactions, wanted: Int64) -> Groups:
    """By the third of all interactions that an item belongs to, the most popular items first."""
    counts = np.bincount(train.item, minlength=len(train.items))
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    third = np.empty(len(counts), np.int64)
    third[order] = np.minimum(2, 3 * before // max(1, int(counts.sum())))
    return {name: third[wanted] == place for place, name in enumerate(("head", "middle", "tail"))}


def states_and_social(model: InterestModel, data: Interactions) -> tuple[npt.NDArray[np.void], Float32 | None]:
    """Users' states after all of `data`, `USER` [users], and what their followees' are: float32 [users, SOCIAL_WIDTH];
    None where the set has no follows."""
    arena = states_of(data, model.writes, model.decays)
    if not data.follows:
        return arena.records, None
    follow(arena, data, model.writes, model.decays)
    return arena.records, social_of(arena, data, lambda rows: Outputs.of(model.readout.large(rows)).vector)


def model_scorer(
    model: InterestModel, data: Interactions, records: npt.NDArray[np.void], social: Float32 | None = None
) -> Scorer:
    """The model as it is served, from users' states, `USER` [users], and followees, float32 [users, SOCIAL_WIDTH]."""
    rows, columns = index_rows(model, list(data.items)), topic_columns(model, data)

    def scores(users: Int64) -> tuple[Float32, Float32]:
        outputs = outputs_of(model, records, users, social)
        known = in_columns(model.index.scores(records, users, outputs), rows)
        return known, Outputs.of(outputs).topics[:, columns]

    return scores


def in_columns(scores: Float32, rows: Int64) -> Float32:
    """float32 [n, len(rows)]: those columns of `scores`; -inf where the row is -1, an item that the model lacks."""
    return np.where(rows >= 0, scores[:, rows], np.float32(-np.inf))


def _with_topics(data: Interactions, rival: Scores) -> Scorer:
    """The topics of a rival are those of the items that it scores high."""
    share = data.topic_shares()

    def scores(users: Int64) -> tuple[Float32, Float32]:
        found = rival(users)
        return found, found @ share

    return scores


def metric_of_states(model: InterestModel, records: npt.NDArray[np.void], test_items: Int64) -> Row:
    """The same metric from states alone, wherever they come from (a file, or back from Kafka).

    records: `USER` [n]; test_items: int64 [n], rows of `model.index` (-1: leave the user out). What a user has seen
    is what the state's filter says, as when recommending, so a false positive on the target is a miss.
    """
    users = np.flatnonzero(test_items >= 0)
    outputs = outputs_of(model, records, users)
    found = [
        ranks(
            model.index.scores(records, users[part], outputs[part]),
            test_items[users[part]],
            model.index.seen(records, users[part]),
        )
        for part in _chunks(len(users), len(model.index))
    ]
    actual = (model.index.shares[test_items[users]] > 0).astype(np.float32)
    return Row("model", ranking(np.concatenate(found)), _topic_scores(Outputs.of(outputs).topics, actual))


def outputs_of(
    model: InterestModel, records: npt.NDArray[np.void], rows: Int64, social: Float32 | None = None
) -> Float32:
    """float32 [n, width]: the readout of `records[rows]`, with what `social` has of them."""
    return model.readout.large(features(records, rows, None if social is None else social[rows]))


def index_rows(model: InterestModel, item_ids: list[str]) -> Int64:
    """int64 [n]: rows of `model.index` for item ids, -1 where the model does not have them."""
    place = {item: row for row, item in enumerate(model.index.item_ids)}
    return np.array([place.get(item, -1) for item in item_ids], np.int64)


def _topic_scores(predicted: Float32, actual: Float32) -> TopicScores | None:
    return topic_scores(predicted, actual) if predicted.shape[1] else None


def topic_columns(model: InterestModel, data: Interactions) -> list[int]:
    """Where the data set's topics stand among the model's. Raises `ValueError` if they are not the same ones."""
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
