"""Lets a made-up world go by, step by step, and tells what happened in it."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from stream_app.contracts.events import Action, Click, Follow, Rating
from stream_app.scenarios.nature import DAY_MS, Nature
from stream_app.scenarios.people import Followings, Target, Tastes, activity_of, nearest_peer
from stream_app.scenarios.story import SCALE_MAX, Event, Story, numbered
from stream_app.scenarios.things import START_MS, Shelf, creator_id, creators_of, heat_of, shelves_at, things_of

Float64 = npt.NDArray[np.float64]

_STRAY = 0.25
"""Share of clicks after which a session goes on with another topic."""
_GAP_S, _GAP_SPREAD = 40.0, 0.7
_DWELL_S, _DWELL_SPREAD = 25.0, 0.8
_SILENT_FOLLOWS = 3
"""Times that somebody silent follows and unfollows again; one whom they follow first of all they keep."""
_SILENT_BEGIN = 0.1
"""Share of what is played in which they do that."""
_RATE_AFTER_MS = 2_000
"""A rating or follow comes so long after its click."""


def tell(nature: Nature, seed: int) -> Story:
    """The story of a world of this nature; the same for the same seed."""
    return _World(nature, np.random.default_rng(seed)).story(seed)


class _World:
    def __init__(self, nature: Nature, rng: np.random.Generator) -> None:
        self._nature, self._rng = nature, rng
        self._heat = heat_of(nature, rng)
        self._things = things_of(nature, self._heat, rng)
        self._tastes, self._activity = Tastes(nature, rng), activity_of(nature, rng)
        self._silent = np.arange(nature.users) >= round(nature.users * (1 - nature.silent_share))
        self._active = np.flatnonzero(~self._silent)
        self._followings = Followings()
        self._likes = rng.lognormal(0, nature.loyalty, (nature.users, nature.creators))
        self._clicked = np.zeros((nature.users, len(self._things.lives)), np.bool_)
        self._creators = np.array([creator_id(name) for name in creators_of(nature)])
        self._topics = tuple(nature.topics)
        self._events: list[Event] = []

    def story(self, seed: int) -> Story:
        nature = self._nature
        for step in range(nature.steps):
            self._step(step)
        self._events.extend(self._silent_follows())
        return Story(
            nature.name,
            seed,
            self._topics,
            self._things.lives,
            numbered(self._events),
            START_MS + nature.early_steps * nature.step_ms,
            self._late_ms,
            frozenset(self._user_id(int(user)) for user in np.flatnonzero(self._silent)),
            self._heat,
            START_MS,
            nature.step_ms,
        )

    @property
    def _late_ms(self) -> int:
        return START_MS + (self._nature.early_steps + self._nature.gap_steps) * self._nature.step_ms

    def _user_id(self, user: int) -> str:
        return f"{self._nature.person}-{user}"

    def _step(self, step: int) -> None:
        nature, rng = self._nature, self._rng
        begins_ms = START_MS + step * nature.step_ms
        self._tastes.step()
        shelves = shelves_at(self._things, nature, begins_ms)
        sessions = rng.poisson(self._activity * nature.sessions_per_step * self._rhythm(begins_ms))
        sessions[self._silent] = 0
        for user in np.repeat(np.arange(nature.users), sessions).tolist():
            self._session(user, begins_ms + int(rng.integers(nature.step_ms)), shelves, self._heat[step])

    def _rhythm(self, ts_ms: int) -> float:
        """1 on average over a day, least at midnight."""
        hour = (ts_ms % DAY_MS + self._nature.step_ms / 2) / DAY_MS
        return 1 - self._nature.night * float(np.cos(2 * np.pi * hour))

    def _session(self, user: int, ts_ms: int, shelves: list[Shelf], heat: Float64) -> None:
        rng = self._rng
        likes = np.cumsum(self._tastes.weights[user] * heat)
        topic = _drawn(likes, rng)
        for _ in range(int(rng.geometric(1 / self._nature.clicks_per_session))):
            item = self._choice(user, shelves[topic], ts_ms)
            if item is not None:
                self._click(user, item, ts_ms)
            ts_ms += 1000 + int(1000 * rng.lognormal(np.log(_GAP_S), _GAP_SPREAD))
            if item is None or rng.random() < _STRAY:
                topic = _drawn(likes, rng)

    def _choice(self, user: int, shelf: Shelf, ts_ms: int) -> int | None:
        """An item that the user has not clicked; None where the topic has none."""
        items, things = shelf.items, self._things
        draw = shelf.draw * self._likes[user, things.creator[items]]
        draw[self._clicked[user, items] | (things.withdrawn_ms[items] <= ts_ms)] = 0.0
        followed = self._followings.creators(user)
        if followed:
            draw *= np.where(np.isin(self._creators[things.creator[items]], list(followed)), self._nature.pull, 1.0)
        total = np.cumsum(draw)
        return int(items[_drawn(total, self._rng)]) if len(total) and total[-1] > 0 else None

    def _click(self, user: int, item: int, ts_ms: int) -> None:
        nature, rng = self._nature, self._rng
        self._clicked[user, item] = True
        taste = self._tastes.weights[user, self._things.topic[item]]
        dwell_ms = round(1000 * rng.lognormal(np.log(_DWELL_S * (0.5 + taste)), _DWELL_SPREAD))
        user_id, item_id = self._user_id(user), self._things.lives[item].item.item_id
        self._events.append(Click("", user_id, item_id, ts_ms, float(dwell_ms)))
        after_ms = ts_ms + _RATE_AFTER_MS
        if rng.random() < nature.rating_share:
            stars = 2.5 + 2 * taste + np.log(self._things.appeal[item]) + rng.normal(0, 0.5)
            self._events.append(Rating("", user_id, item_id, float(np.clip(round(stars), 1, SCALE_MAX)), after_ms))
        if rng.random() < nature.follow_share:
            self._follow(user, self._target(user, item), after_ms)
        if rng.random() < nature.unfollow_share and self._followings.of(user):
            place = int(rng.integers(len(self._followings.of(user))))
            self._events.append(self._followed(user, self._followings.of(user).pop(place), "unfollow", after_ms + 1))

    def _follow(self, user: int, target: Target, ts_ms: int) -> None:
        if target not in self._followings.of(user):
            self._followings.of(user).append(target)
            self._events.append(self._followed(user, target, "follow", ts_ms))

    def _target(self, user: int, item: int) -> Target:
        """Whom somebody follows who just clicked this."""
        kinds, shares = list(self._nature.followed), np.cumsum(list(self._nature.followed.values()))
        kind = kinds[_drawn(shares, self._rng)]
        if kind == "user":
            return kind, self._user_id(nearest_peer(user, self._tastes.weights, self._active, self._rng))
        if kind == "topic":
            return kind, self._topics[self._things.topic[item]]
        return kind, str(self._creators[self._things.creator[item]])

    def _followed(self, user: int, target: Target, action: Action, ts_ms: int) -> Follow:
        kind, name = target
        return Follow("", self._user_id(user), name, kind, action, ts_ms)

    def _silent_follows(self) -> Iterator[Follow]:
        """Somebody silent follows one, and then others, one at a time, whom they unfollow again."""
        nature, rng = self._nature, self._rng
        length_ms = nature.late_steps * nature.step_ms
        begun_ms = int(_SILENT_BEGIN * length_ms)
        for user in np.flatnonzero(self._silent).tolist():
            kept = self._silent_target(user)
            yield self._followed(user, kept, "follow", self._late_ms + int(rng.integers(begun_ms)))
            # Two at once have no order.
            moments = begun_ms + np.sort(rng.choice(length_ms - begun_ms, 2 * _SILENT_FOLLOWS, replace=False))
            for begins_ms, ends_ms in moments.reshape(-1, 2).tolist():
                target = self._silent_target(user, but=kept)
                yield self._followed(user, target, "follow", self._late_ms + begins_ms)
                yield self._followed(user, target, "unfollow", self._late_ms + ends_ms)

    def _silent_target(self, user: int, but: Target | None = None) -> Target:
        """By the user's tastes, as of those who click."""
        while True:
            topic = _drawn(np.cumsum(self._tastes.weights[user]), self._rng)
            target = self._target(user, int(self._rng.choice(np.flatnonzero(self._things.topic == topic))))
            if target != but:
                return target


def _drawn(cumulative: Float64, rng: np.random.Generator) -> int:
    """A place, each as likely as its step in these ascending sums."""
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
