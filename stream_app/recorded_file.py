"""What users did, as a file of events tells it: a data set to train on, with the titles and tags of its items."""

from dataclasses import dataclass
from itertools import count

from model_store.state.layout import Kind
from model_store.training.interactions import Interactions, ItemFacts, assemble
from stream_app.contracts.events import Click, Erasure, Event, Follow, Rating
from stream_app.contracts.items import Item, judge_item
from stream_app.contracts.validity import Limits, Rejected, judge
from stream_app.recorded import Interaction, RecordedError, log_of
from stream_app.sources import Record, Source

_KINDS = {"click": Kind.CLICK, "follow": Kind.FOLLOW, "rating": Kind.RATING, "erasure": Kind.ERASURE}
_ANYWHERE = Limits(partitions=1)


@dataclass(frozen=True, slots=True)
class _Line:
    """A record as Kafka would give it back."""

    key: bytes | None
    value: bytes | None
    offset: int
    topic: str = ""
    partition: int = 0
    timestamp: int = 0
    headers: tuple[tuple[str, bytes | None], ...] = ()


def of_file(source: Source, now_ms: int) -> Interactions:
    """All interactions of the file's valid events, but those that users had erased.

    `now_ms`: UTC, against which event times are in the future. Raises `SourceError`, and `RecordedError` where nothing
    is to be learnt from.
    """
    events, items, rejected = _read(source, now_ms)
    erased: dict[str, int] = {}
    for event in events:
        if isinstance(event, Erasure):
            erased[event.user_id] = max(event.ts, erased.get(event.user_id, -1))
    kept = [event for event in events if event.ts > erased.get(event.user_id, -1)]
    done = [_interaction(event) for event in kept if isinstance(event, Click | Rating)]
    log = log_of(sorted(done, key=lambda each: each[:2]))
    if not log.users:
        why = f"; of its events {len(rejected):,} are not valid, the first: {rejected[0].message}" if rejected else ""
        raise RecordedError(f"{source.name} holds no clicks and no ratings to learn from{why}")
    titles = {item: told.title or item for item, told in items.items()}
    tags = {item: told.tags for item, told in items.items()}
    follows = tuple(
        (event.user_id, event.target_id)
        for event in kept
        if isinstance(event, Follow) and event.target_type == "user" and event.action == "follow"
    )
    name = source.name.partition(".")[0]
    return assemble(name, "your own", log, ItemFacts(titles, tags), follows)


def _read(source: Source, now_ms: int) -> tuple[list[Event], dict[str, Item], list[Rejected]]:
    """Valid events, each id of a user once; items as the last word on each tells them; what is not valid."""
    events: dict[tuple[str, str], Event] = {}
    items: dict[str, Item] = {}
    rejected: list[Rejected] = []
    for number, record in zip(count(), source.records(), strict=False):
        told = _judged(record, number, now_ms)
        if isinstance(told, Rejected):
            rejected.append(told)
        elif isinstance(told, Item):
            items[told.item_id] = told
        else:
            events.setdefault((told.user_id, told.event_id), told)
    return [*events.values()], items, rejected


def _judged(record: Record, number: int, now_ms: int) -> Event | Item | Rejected:
    line = _Line(record.key, record.value, number)
    return judge_item(line) if record.kind == "item" else judge(_KINDS[record.kind], line, _ANYWHERE, now_ms)


def _interaction(event: Click | Rating) -> Interaction:
    user = event.user_id.encode()
    if isinstance(event, Click):
        return Interaction(event.ts, Kind.CLICK, user, event.item_id, float("nan"))
    share = float("nan") if event.rating is None else event.rating / event.scale_max
    return Interaction(event.ts, Kind.RATING, user, event.item_id, share)
