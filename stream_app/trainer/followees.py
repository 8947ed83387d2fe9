"""Whom users follow, as the trainer sees it: it has everybody's state, so it asks no Redis."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from model_store.catalog.targets import directions_of
from model_store.encoder.columns import Outputs
from model_store.state.arena import Arena
from model_store.state.features import features
from model_store.state.followees import Directions, followed, followee_hashes, social
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM
from model_store.training.online.learner import OnlineLearner
from stream_app.settings import Social

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
States = Mapping[int, Arena]
Place = tuple[Arena, int]


class Followees:
    """What followees like, by their states and the weights as they stand, as fresh as workers have it."""

    def __init__(self, settings: Social, learner: OnlineLearner) -> None:
        self._settings, self._learner = settings, learner
        self._read, self._fixed = Directions(settings.room), Directions(0)
        self._blocked = hash_ids(list(settings.blocked)).hash
        self._names: dict[int, bytes] = {}
        self._states: States = {}

    def stand(self, states: States) -> None:
        """These are everybody's states; whom they follow is found among their users."""
        self._states = states
        targets = [followed(arena.records, np.arange(len(arena))) for arena in states.values()]
        wanted = np.unique(np.concatenate(targets)) if targets else np.empty(0, np.uint64)
        for arena in states.values():
            users = arena.keys if len(wanted) else []
            hashes = followee_hashes(users)
            places = np.flatnonzero(np.isin(hashes, wanted))
            self._names |= {int(hashes[place]): users[place] for place in places.tolist()}

    def fix(self, topics: Sequence[str], creators: Sequence[str]) -> None:
        """What topics stand for from now on, and whose each of the learner's items is (`targets.directions_of`)."""
        self._fixed = directions_of(self._learner.index(), topics, creators).without(self._blocked)

    def meet(self, names: Mapping[int, bytes]) -> None:
        """Users whom somebody follows, by their hashes."""
        self._names |= names

    def social(self, arena: Arena, rows: Int64, now_ms: int) -> Float32 | None:
        """What `features` is to be given of these users; None where follows change no vector."""
        if not self._settings.enabled:
            return None
        self._look_up(followed(arena.records, rows), now_ms)
        return social(arena.records, rows, self._fixed, self._read)

    def _look_up(self, targets: npt.NDArray[np.uint64], now_ms: int) -> None:
        due = self._read.read_before(targets, now_ms - int(self._settings.max_age_s * 1000))
        if not len(due):
            return
        found = [(target, place) for target in due.tolist() if (place := self._place(target))]
        unknown = np.setdiff1d(due, np.array([target for target, _ in found], np.uint64))
        vectors = np.zeros((len(found), DIM), np.float32)
        for arena in {id(arena): arena for _, (arena, _) in found}.values():
            at = [number for number, (_, (of, _)) in enumerate(found) if of is arena]
            rows = np.array([found[number][1][1] for number in at])
            read = features(arena.records, rows, social(arena.records, rows, self._fixed, self._read))
            vectors[at] = Outputs.of(self._learner.outputs(read)).vector
        self._read.put(np.array([target for target, _ in found], np.uint64), vectors, now_ms)
        self._read.put(unknown, np.zeros((len(unknown), DIM), np.float32), now_ms)

    def _place(self, target: int) -> Place | None:
        """Where a followee's state is, if it holds anything."""
        user = self._names.get(target, b"")
        for arena in self._states.values():
            row = arena.row(user)
            if row is not None and arena.records["events"][row]:
                return arena, row
        return None
