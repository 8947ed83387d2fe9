"""One pass over a stream in order of time: predict each click, then learn from it.

What a recommender shows depends on how old three things are: the user's state, the weights, and what was counted
(popularity and transitions). Each variant of `Ages` is scored on the same clicks in the same pass, beside those that
only count.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model_store.catalog.transitions import LAG_WEIGHTS
from model_store.encoder.columns import POPULARITY_HALF_LIVES_DAYS, PRIORS, Outputs
from model_store.model import ModelParts
from model_store.state.arena import Arena
from model_store.state.content import ItemContent, Told
from model_store.state.hashing import hash_ids
from model_store.state.layout import FACET_DIM
from model_store.training.interactions import Interactions
from model_store.training.metrics import Ranking, ranking, ranks
from model_store.training.online.aged import AgedCounts, AgedStates, AgedWeights, Weights
from model_store.training.online.examples import Clicks, observe
from model_store.training.online.learner import OnlineLearner, OnlineRecipe
from model_store.training.states import Events

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]

POPULARITY, TRANSITIONS = "popularity", "item transitions"
RECENT = ("popularity, 6 hours", "popularity, 1 day", "popularity, 7 days", "popularity, 30 days")
"""With the half-lives `POPULARITY_HALF_LIVES_DAYS`."""
_SEVEN_DAYS = POPULARITY_HALF_LIVES_DAYS.index(7.0)
RECENT_POPULARITY = RECENT[_SEVEN_DAYS]
_TIE_BREAK = 1e-6


@dataclass(frozen=True, slots=True)
class Ages:
    """How old what a score is made of is, in ms of event time; 0: as of the click, and for weights as of the round."""

    state_ms: int = 0
    weights_ms: int = 0
    counts_ms: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with n interactions.

    Attributes:
        learn_from: those before are counted and advance states.
        score_from: those from here on are scored.
        round_clicks: the weights are trained after so many clicks.
        variants: name -> ages.
        catalogue: content of all items, of which a catalogue tells before the first event; by default items are met
            when they are clicked first, and nothing is said of them.
        asked_then: see `examples.observe`; for fresh states.
    """

    learn_from: int
    score_from: int
    round_clicks: int = 50
    variants: Mapping[str, Ages] = field(default_factory=lambda: {"model": Ages()})
    catalogue: ItemContent | None = None
    asked_then: bool = False


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of n scored clicks, in their order.

    Attributes:
        ranks: method -> int64 [n], the rank of the item that was clicked, from 0.
        clicks_before: int64 [n], how often anybody had clicked that item before.
    """

    ranks: Mapping[str, Int64]
    clicks_before: Int64

    def rankings(self, among: npt.NDArray[np.bool_] | slice = slice(None)) -> dict[str, Ranking]:
        """Figures of each method, over all clicks or those `among` them."""
        return {name: ranking(found[among]) for name, found in self.ranks.items()}


def prequential(
    data: Interactions,
    base: ModelParts,
    recipe: OnlineRecipe,
    plan: Plan,
    report: Callable[[int], None] = lambda _done: None,
) -> Followed:
    """How each variant, and those that count, ranked what was clicked. `report` gets the interactions done.

    Without a catalogue an item can be ranked from its first click on, and that first click is a miss for everyone. What
    a user had before is left out; ties count against the method.
    """
    run = _Run(data, base, recipe, plan)
    for start in range(0, len(data), plan.round_clicks):
        stop = min(len(data), start + plan.round_clicks)
        run.round(start, stop)
        report(stop)
    ranks = {name: np.concatenate(found) for name, found in run.found.items()}
    return Followed(ranks, np.array(run.clicks_before, np.int64))


class _Run:
    def __init__(self, data: Interactions, base: ModelParts, recipe: OnlineRecipe, plan: Plan) -> None:
        self._data, self._plan, self._base, self._events = data, plan, base, Events(data)
        self._arena, self._learner, self._writes = Arena(len(data.users)), OnlineLearner(base, recipe), base.writes
        self._number = {name: item for item, name in enumerate(data.items)}
        self._row = np.full(len(data.items), -1, np.int64)
        self._note_rows(0)
        ages = plan.variants.values()
        state_ages = {one.state_ms for one in ages} - {0}
        self._shares = data.topic_shares()
        if plan.catalogue is not None:
            self._tell(plan.catalogue)
        memory = self._writes, base.decays
        self._states = {age: AgedStates(data, *memory, age, plan.score_from) for age in state_ages}
        self._counts = {age: AgedCounts(age) for age in {0, *(one.counts_ms for one in ages)}}
        self._weights = {age: AgedWeights(base.network, age) for age in {one.weights_ms for one in ages}}
        self._past = _Past(len(data.users))
        self.clicks_before: list[int] = []
        self.found: dict[str, list[Int64]] = defaultdict(list)

    def round(self, start: int, stop: int) -> None:
        """Predict the clicks start..stop with what is known before each, then learn from all of them."""
        new = np.unique(self._data.item[start:stop])
        new = new[self._row[new] < 0]
        if len(new):
            nothing = np.zeros((len(new), FACET_DIM), np.float32)
            self._meet(new, nothing, nothing[:, :0])
        batch, asked_then = self._events.batch(start, stop), self._plan.asked_then
        clicks = observe(self._arena, batch, self._writes, self._base.decays, asked_then=asked_then)
        if start >= self._plan.score_from:
            self._score(clicks, start, stop)
        else:
            for place in range(start, stop):
                self._note(place)
        if start < self._plan.learn_from:
            self._learner.count(clicks)
        else:
            self._learner.learn(clicks)
        for aged in self._weights.values():
            if start + self._plan.round_clicks >= self._plan.score_from:
                aged.add(Weights.of(self._learner, int(self._data.ts_ms[stop - 1])))

    def _meet(self, items: npt.NDArray[np.integer], content: Float32, vectors: Float32) -> None:
        """Items (distinct), with their content as far as it is known."""
        known = len(self._learner.item_ids)
        names, titles = ([texts[item] for item in items.tolist()] for texts in (self._data.items, self._data.titles))
        self._learner.tell(Told(names, titles, content, self._shares[items], vectors))
        self._note_rows(known)

    def _tell(self, catalogue: ItemContent) -> None:
        new = np.flatnonzero(self._row < 0)
        self._meet(np.arange(len(self._row)), catalogue.coordinates, catalogue.vectors)
        names = [self._data.items[item] for item in new.tolist()]
        self._writes = self._writes.joined(hash_ids(names).hash, catalogue.coordinates[new])

    def _note_rows(self, known: int) -> None:
        for row, name in enumerate(self._learner.item_ids[known:], known):
            self._row[self._number[name]] = row

    def _note(self, place: int) -> None:
        """The click has happened."""
        user, item = int(self._data.user[place]), int(self._row[self._data.item[place]])
        for counts in self._counts.values():
            counts.add(int(self._data.ts_ms[place]), self._past.last(user), item)
        self._past.add(user, item)

    def _score(self, clicks: Clicks, start: int, stop: int) -> None:
        items, now_ms, kin = len(self._learner.item_ids), int(self._data.ts_ms[start]), self._learner.index().kin
        users, wanted = self._data.user[start:stop], self._row[self._data.item[start:stop]]
        hidden = np.zeros((stop - start, items), np.bool_)
        total = np.empty((stop - start, items), np.float32)
        columns = {age: np.empty((stop - start, items, PRIORS), np.float32) for age in self._counts}
        transitions = {age: counts.transitions(now_ms, items) for age, counts in self._counts.items()}
        for i, place in enumerate(range(start, stop)):
            hidden[i] = self._past.hidden(int(users[i]), items)
            total[i] = self._past.total(items)
            before = int(total[i, wanted[i]])
            hidden[i, wanted[i]] |= self._plan.catalogue is None and not before
            self.clicks_before.append(before)
            for age, counts in self._counts.items():
                columns[age][i] = counts.columns(int(self._data.ts_ms[place]), items)
            self._note(place)
        for name, ages in self._plan.variants.items():
            features, ring = (
                self._states[ages.state_ms].read(start, stop) if ages.state_ms else (clicks.features, clicks.ring)
            )
            scores, blend = self._by_weights(self._weights[ages.weights_ms], features, now_ms)
            scores += np.einsum("np,nmp->nm", blend.priors, columns[ages.counts_ms])
            pairs = transitions[ages.counts_ms].weighted(self._learner.pair_weight)
            pairs.add_to(scores, self._recent(ring), blend.transitions)
            if kin is not None:
                kin.add_to(scores, self._recent(ring))
            self.found[name].append(ranks(scores, wanted, hidden))
        recent = columns[0][:, :, _SEVEN_DAYS]
        counted = {POPULARITY: total, **{name: columns[0][:, :, place] for place, name in enumerate(RECENT)}}
        counted[TRANSITIONS] = transitions[0].shares(self._recent(clicks.ring)) + _TIE_BREAK * recent
        for name, scores in counted.items():
            self.found[name].append(ranks(scores, wanted, hidden))

    def _by_weights(self, aged: AgedWeights, features: Float32, now_ms: int) -> tuple[Float32, Outputs]:
        """float32 [n, items] without what is counted. Items that the weights do not know score as the least likely."""
        weights = aged.at(now_ms)
        outputs = Outputs.of(aged.outputs(weights, features))
        scores = np.full((len(features), len(self._learner.item_ids)), weights.bias.min(), np.float32)
        scores[:, : len(weights.bias)] = outputs.dots(weights.vectors) + weights.bias
        return scores, outputs

    def _recent(self, ring: UInt64) -> Int32:
        return self._learner.index().rows_of(ring[:, : len(LAG_WEIGHTS)]).astype(np.int32)


class _Past:
    """Who clicked what so far; items by their rows."""

    def __init__(self, users: int) -> None:
        self._items: list[list[int]] = [[] for _ in range(users)]
        self._times = np.zeros(0, np.float32)

    def add(self, user: int, item: int) -> None:
        """A click."""
        self._items[user].append(item)
        self._make_room(item + 1)
        self._times[item] += 1

    def last(self, user: int) -> int:
        """The item the user clicked last; -1 for none."""
        return self._items[user][-1] if self._items[user] else -1

    def hidden(self, user: int, items: int) -> npt.NDArray[np.bool_]:
        """bool [items]: what the user had."""
        out = np.zeros(items, np.bool_)
        out[self._items[user]] = True
        return out

    def total(self, items: int) -> Float32:
        """float32 [items]: clicks of each."""
        self._make_room(items)
        return self._times[:items]

    def _make_room(self, items: int) -> None:
        if items > len(self._times):
            self._times = np.concatenate([self._times, np.zeros(items, np.float32)])
