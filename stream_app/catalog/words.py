"""What producers say of items, and where they have said it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stream_app.contracts.items import Item, judge_item
from stream_app.contracts.validity import Record, Rejected


@dataclass(frozen=True, slots=True)
class Word:
    """One record of the items topic; `log` and `offset` as `Knowledge` has them."""

    item: Item
    partition: int
    offset: int
    log: str = ""


def judged(records: Sequence[Record], log_of: Callable[[int], str]) -> tuple[list[Word], list[Rejected]]:
    """The last word on each item, in the order in which the items were first spoken of, and what is none. `log_of` a
    partition."""
    words: dict[str, Word] = {}
    rejected = []
    for record in records:
        found = judge_item(record)
        if isinstance(found, Rejected):
            rejected.append(found)
        else:
            words[found.item_id] = Word(found, record.partition, record.offset, log_of(record.partition))
    return list(words.values()), rejected
