"""Who lives in a made-up world: users with several tastes that drift, and whom they follow."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stream_app.contracts.events import TargetType
from stream_app.scenarios.nature import Nature

Float64 = npt.NDArray[np.float64]

_TASTES = (0.6, 0.25, 0.1)
"""How much a user's first, second and third taste weigh; all topics together have the rest."""
_TURN = 0.15
"""By how much a taste goes towards its aim in a step."""
_ACTIVITY_SPREAD = 0.8
_PEERS = 12
"""Of so many others a user follows the one whose tastes are nearest."""

Target = tuple[TargetType, str]


class Tastes:
    """`weights`, float64 [users, topics], sum to 1 for each user, and go towards aims that change now and then."""

    def __init__(self, nature: Nature, rng: np.random.Generator) -> None:
        self._rng, self._drift = rng, nature.drift
        self._topics = len(nature.topics)
        self._aims = self._draw(nature.users)
        self.weights = self._aims.copy()

    def step(self) -> None:
        turned = np.flatnonzero(self._rng.random(len(self._aims)) < self._drift)
        self._aims[turned] = self._draw(len(turned))
        self.weights += _TURN * (self._aims - self.weights)

    def _draw(self, users: int) -> Float64:
        drawn = np.full((users, self._topics), (1 - sum(_TASTES)) / self._topics)
        chosen = self._rng.permuted(np.tile(np.arange(self._topics), (users, 1)), axis=1)[:, : len(_TASTES)]
        drawn[np.arange(users)[:, None], chosen] += _TASTES[: chosen.shape[1]]
        scaled: Float64 = drawn / drawn.sum(axis=1, keepdims=True)
        return scaled


def activity_of(nature: Nature, rng: np.random.Generator) -> Float64:
    """float64 [users], 1 on average: a few do much of what is done."""
    drawn: Float64 = rng.lognormal(-(_ACTIVITY_SPREAD**2) / 2, _ACTIVITY_SPREAD, nature.users)
    return drawn


@dataclass(slots=True)
class Followings:
    """Whom each user follows now."""

    targets: dict[int, list[Target]] = field(default_factory=dict)

    def of(self, user: int) -> list[Target]:
        return self.targets.setdefault(user, [])

    def creators(self, user: int) -> set[str]:
        """Ids."""
        return {name for kind, name in self.targets.get(user, ()) if kind == "creator"}


def nearest_peer(user: int, weights: Float64, active: npt.NDArray[np.int64], rng: np.random.Generator) -> int:
    """Of some of the `active` users the one whose tastes are nearest."""
    others = rng.choice(active, min(_PEERS, len(active)), replace=False)
    likeness = weights[others] @ weights[user]
    likeness[others == user] = -1.0
    return int(others[likeness.argmax()])
