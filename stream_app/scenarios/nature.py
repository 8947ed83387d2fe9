"""How a made-up world behaves: who is in it, what appears in it and for how long, and what people do there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream_app.contracts.events import TargetType

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Nature:
    """A world goes by in steps of `step_ms`; the early ones are what a model learns from, the late ones are played. In
    the gap between them it goes on unseen: the model is as old as that.

    Attributes:
        name, person: of the world, and what a user of it is called.
        topics: name -> what items of the topic are about.
        patterns, qualities: of titles; a pattern has room for `{thing}`, `{quality}` and `{creator}`.
        offer: pattern around the title of an item that will be withdrawn.
        users, creators: how many; `silent_share` of the users follow, and do nothing else.
        items_at_start, items_per_step: how many there are, and how many appear from the step `first_arrivals` on.
        ending_share: of the items that appear, those that are withdrawn, after `life_ms` (shortest, longest; uniform in
            its logarithm). `start_ends`: it is so of the items at the start, too; otherwise those stay.
        attention_half_life_ms: in which an item's pull on people halves.
        found_half_life_ms: after which half of those who would like an item have found it.
        loyalty: standard deviation of the logarithm of how much a user likes a creator.
        appeal_spread: standard deviation of the logarithm of items' appeal.
        sessions_per_step: of a user, on average; `clicks_per_session` likewise.
        rating_share, follow_share, unfollow_share: of clicks that are followed by such an event.
        followed: kind of target -> share of the follows.
        pull: how many times as likely an item of a followed creator is clicked.
        drift: share of the users whose tastes turn to something else, each step.
        bursts_per_step, burst_height, burst_half_life_ms: topics that break, how many times as much they draw at first.
        night: how much quieter it is at midnight than at noon, 0..1.
    """

    name: str
    person: str
    topics: Mapping[str, tuple[str, ...]]
    patterns: tuple[str, ...]
    qualities: tuple[str, ...]
    users: int
    creators: int
    step_ms: int
    early_steps: int
    late_steps: int
    items_at_start: int
    items_per_step: float
    attention_half_life_ms: float
    sessions_per_step: float
    clicks_per_session: float = 3.0
    offer: str = "{title}"
    silent_share: float = 0.0
    ending_share: float = 0.0
    start_ends: bool = True
    first_arrivals: int = 0
    life_ms: tuple[int, int] = (HOUR_MS, DAY_MS)
    found_half_life_ms: float = 1.0
    loyalty: float = 0.5
    appeal_spread: float = 0.6
    rating_share: float = 0.0
    follow_share: float = 0.0
    unfollow_share: float = 0.0
    followed: Mapping[TargetType, float] = field(default_factory=lambda: {"creator": 1.0})
    pull: float = 3.0
    drift: float = 0.02
    bursts_per_step: float = 0.0
    burst_height: float = 8.0
    burst_half_life_ms: float = 3.0 * HOUR_MS
    night: float = 0.0
    gap_steps: int = 0

    @property
    def steps(self) -> int:
        return self.early_steps + self.gap_steps + self.late_steps
