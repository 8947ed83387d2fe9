"""What says of an item what it is about and whom it is for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from model_store.catalog.text import ItemText


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is known of an item beside its own words.

    Attributes:
        topics: (name, weight) of topics of the taxonomy, heaviest first; weights are positive and sum to 1; may be
            empty.
        audience: one line, whom the item is for; "" where nobody has said.
        mood: one or two words; "" likewise.
        related: concepts close to the item, at most 8.
        source: who says so: `tags`, `nearest` (the encoder's nearest topics) or the name of a language model.
    """

    topics: tuple[tuple[str, float], ...] = ()
    audience: str = ""
    mood: str = ""
    related: tuple[str, ...] = ()
    source: str = "tags"


class Annotator(Protocol):
    """Annotates items. Calls block, for as long as its own limits allow."""

    def annotate(self, items: Sequence[ItemText]) -> list[Annotation]:
        """One for each of n items, in their order. Never raises over an item's text: where the best source fails, a
        worse one answers, and `source` says which."""
