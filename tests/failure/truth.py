"""What every user's state must show, computed from what was sent by the naive oracle, event by event."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_store.state.hashing import hash_id
from tests.failure.people import Event
from tests.property import oracle

NAN = float("nan")


@dataclass(frozen=True)
class Facts:
    """What must hold of one user, and what was found, in the same terms.

    Attributes:
        version: events taken in ever, retries and forgotten ones too.
        events: applied since the last erasure.
        windows: length -> counts of clicks, dwell, ratings, sum of ratings in thousandths, follows.
        ratings: hash of an item -> rating in force, in thousandths.
        followees: hashes of targets followed.
    """

    version: int
    events: int
    event_ts: int
    erased_at: int
    windows: dict[str, dict[str, int]]
    ratings: dict[int, int]
    followees: frozenset[int]


def read_journal(path: Path) -> list[Event]:
    """Events in the order in which they were sent. Raises ValueError if the producer did not end in order."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
    if not lines or lines[-1].get("end") != len(lines) - 1:
        raise ValueError(f"{path} is not whole: the producer did not end in order")
    return lines[:-1]


def truth_of(journal: Iterable[Event]) -> dict[str, Facts]:
    """By user."""
    users: dict[str, oracle.Oracle] = {}
    offsets: Counter[str] = Counter()
    for event in journal:
        offsets[event["kind"]] += 1
        users.setdefault(event["user_id"], _oracle()).apply(_plain(event, offsets[event["kind"]]))
    return {user: _facts(one) for user, one in users.items()}


def _oracle() -> oracle.Oracle:
    def nothing(_: int) -> None:
        """Vectors are not compared here."""

    return oracle.Oracle(nothing, nothing, (), (), 0.0)


def _plain(event: Event, offset: int) -> oracle.Event:
    kind = event["kind"]
    name = event.get("item_id") or (f"{event['target_type']}:{event['target_id']}" if kind == "follow" else "")
    return oracle.Event(kind, offset, hash_id(event["event_id"]), event["ts"], hash_id(name), _value(event))


def _value(event: Event) -> float:
    if event["kind"] == "click":
        return float(event["dwell_ms"])
    if event["kind"] == "rating":
        return NAN if event["rating"] is None else event["rating"] / 5
    return float(event.get("action") == "follow")


def _facts(one: oracle.Oracle) -> Facts:
    names = ("clicks", "dwell_ms", "ratings", "rating_sum", "follows")
    return Facts(
        version=one.version,
        events=one.events,
        event_ts=one.event_ts,
        erased_at=one.erased_at,
        windows={length: {name: counts[name] for name in names} for length, counts in one.windows().items()},
        ratings={event.item: round(event.value * 1000) for event in one.rated()},
        followees=frozenset(event.item for event in one.followed()),
    )
