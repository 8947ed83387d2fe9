"""The feed's board: members who only follow, and how their interests in Redis move with a follow and back."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from stream_app.client import Interest, InterestReader
from stream_app.contracts.events import Follow
from stream_app.contracts.recommendations import Recommendation
from stream_app.demo.boards.board import Board, median
from stream_app.demo.ledger import Ledger, Trace
from stream_app.sources import Record

Float32 = npt.NDArray[np.float32]

MOVED = 1e-3
"""A vector that differs by no more than this has not moved."""
SHOWN = 6
STAYS = 40
"""Somebody silent is shown until others have moved so many times."""

_follow = msgspec.json.Decoder(Follow).decode


@dataclass(frozen=True, slots=True)
class Move:
    """What a follow or unfollow of somebody silent did to what Redis has.

    Attributes:
        social, vector: how far each moved, as a share of the longer of before and after.
        from_before: of an unfollow, how far social is from what it was before the follow, likewise; None where that is
            not known, or the follow had moved nothing. More than 0, since the others whom they follow move as well.
    """

    follow: Follow
    social: float
    vector: float
    from_before: float | None = None


@dataclass(slots=True)
class _Silent:
    """A silent member: `first` is the version of the state when this began, `seen` what Redis had, by version."""

    first: int = 0
    follows: list[Follow] = field(default_factory=list)
    seen: dict[int, Interest] = field(default_factory=dict)
    targets: set[tuple[str, str]] = field(default_factory=set)


class SocialBoard(Board):
    title = "social feed"

    def __init__(self, ledger: Ledger, silent: Sequence[str]) -> None:
        super().__init__(ledger)
        self._silent = {user: _Silent() for user in sorted(silent)}
        self._others = dict(zip(self._silent, [*list(self._silent)[1:], *list(self._silent)[:1]], strict=True))
        self._began = False
        self._shown, self._shown_until = "", 0
        self._moves: list[Move] = []
        self._latest: deque[Move] = deque(maxlen=SHOWN)
        self._lists = self._items = self._theirs = self._by_chance = 0

    def sent(self, record: Record) -> None:
        if record.kind != "follow":
            return
        follow = _follow(record.value)
        member = self._silent.get(follow.user_id)
        if member is None:
            return
        with self.ledger.lock:
            member.follows.append(follow)
            target = (follow.target_type, follow.target_id)
            (member.targets.add if follow.action == "follow" else member.targets.discard)(target)

    def offered(self, made: Recommendation) -> None:
        if made.user_id not in self._silent:
            return
        with self.ledger.lock:
            self._lists += 1
            for item in made.items:
                trace = self.ledger.traces.get(item.item_id)
                if trace is not None:
                    self._items += 1
                    self._theirs += self._follows(made.user_id, trace)
                    self._by_chance += self._follows(self._others[made.user_id], trace)

    def look(self, reader: InterestReader) -> None:
        for user, interest in reader.get_many(self._silent).items():
            self._take(self._silent[user], interest)
        self._began = True

    def watched(self, active: str) -> str:
        if self._moves and len(self._moves) >= self._shown_until:
            self._shown, self._shown_until = self._moves[-1].follow.user_id, len(self._moves) + STAYS
        return self._shown or active

    def figures(self) -> Mapping[str, str]:
        return {
            "silent members": f"{len(self._silent):,}",
            "of their follows and unfollows seen in Redis": f"{len(self._moves):,}",
            "social moved, median": _percent(median(move.social for move in self._moves)),
            "vector moved, median": _percent(median(move.vector for move in self._moves)),
            "social after an unfollow, from before, median": _percent(median(self._from_before_all())),
            "of their recommendations are by whom they follow": self._share(self._theirs),
            "of them are by whom another one follows": self._share(self._by_chance),
        }

    def document(self) -> dict[str, Any]:
        from_before = self._from_before_all()
        return {
            "silent_users": len(self._silent),
            "moves": len(self._moves),
            "social_moved_p50": median(move.social for move in self._moves),
            "vector_moved_p50": median(move.vector for move in self._moves),
            "unfollows_compared": len(from_before),
            "social_from_before_p50": median(from_before),
            "recommendations_to_silent": self._lists,
            "share_of_their_followees": self._items and round(self._theirs / self._items, 4),
            "share_of_anothers_followees": self._items and round(self._by_chance / self._items, 4),
        }

    def picture(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, title="silent members", title_justify="left", expand=True)
        table.add_column("member", no_wrap=True)
        table.add_column("did", ratio=1, no_wrap=True)
        table.add_column("social moved", justify="right")
        table.add_column("vector moved", justify="right")
        table.add_column("social from before", justify="right")
        for move in reversed(self._latest):
            told = move.follow
            table.add_row(
                escape(told.user_id),
                escape(f"{told.action}s {told.target_type} {told.target_id}"),
                _percent(move.social),
                _percent(move.vector),
                "" if move.from_before is None else _percent(move.from_before),
            )
        return Group(table, *self._shown_follows())

    def label(self, _item_id: str, trace: Trace) -> str:
        member = self._silent.get(self._shown)
        followed = member is not None and _is_of(member.targets, trace)
        return f"{trace.title}  (by {trace.creator_id}{', followed' if followed else ''})"

    def _shown_follows(self) -> list[Text]:
        """Whom the one that is shown follows now."""
        if not self._shown:
            return []
        with self.ledger.lock:
            targets = sorted(self._silent[self._shown].targets)
        told = ", ".join(f"{kind} {name}" for kind, name in targets) or "nobody"
        return [Text(), Text(f"{self._shown}, below, has clicked nothing and follows {told}")]

    def _follows(self, user: str, trace: Trace) -> bool:
        return _is_of(self._silent[user].targets, trace)

    def _take(self, member: _Silent, interest: Interest) -> None:
        if not self._began:
            member.first = interest.version
        done = interest.version - member.first
        if interest.version in member.seen:
            return
        member.seen[interest.version] = interest
        with self.ledger.lock:
            follows = list(member.follows)
        before = member.seen.get(interest.version - 1)
        if before is None or not 0 < done <= len(follows):
            return
        move = Move(
            follows[done - 1],
            apart(before.social, interest.social),
            apart(before.vector, interest.vector),
            self._from_before(member, follows[:done], interest),
        )
        self._moves.append(move)
        self._latest.append(move)

    def _from_before(self, member: _Silent, follows: Sequence[Follow], now: Interest) -> float | None:
        """Of an unfollow that came right after its follow, where that had moved something."""
        before, between = member.seen.get(now.version - 2), member.seen.get(now.version - 1)
        if len(follows) < 2 or before is None or between is None or follows[-1].action != "unfollow":
            return None
        if apart(before.social, between.social) <= MOVED:
            return None
        follow, unfollow = follows[-2:]
        if follow.action != "follow" or (follow.target_type, follow.target_id) != (
            unfollow.target_type,
            unfollow.target_id,
        ):
            return None
        return apart(before.social, now.social)

    def _from_before_all(self) -> list[float]:
        return [move.from_before for move in self._moves if move.from_before is not None]

    def _share(self, of: int) -> str:
        return _percent(of / self._items) if self._items else "-"


def apart(one: Float32, other: Float32) -> float:
    """Distance as a share of the longer of the two; 0 for two without length."""
    longer = max(float(np.linalg.norm(one)), float(np.linalg.norm(other)))
    return float(np.linalg.norm(one - other)) / longer if longer else 0.0


def _is_of(targets: set[tuple[str, str]], trace: Trace) -> bool:
    return ("creator", trace.creator_id) in targets or any(("topic", topic) in targets for topic in trace.topics)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
