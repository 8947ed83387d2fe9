"""An explanation, and of what it is one."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from stream_app.client import Interest
from stream_app.words.phrases import Language

TEMPLATE = "template"


class Stand(NamedTuple):
    """At which a user's interests are. `model`: the version that made the vectors, not a language model."""

    generation: int
    version: int
    model: str

    @classmethod
    def of(cls, interest: Interest) -> Self:
        return cls(interest.generation, interest.version, interest.model)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a user is interested in, in words.

    Attributes:
        text: one paragraph; in it may stand titles, which strangers wrote: no HTML.
        made_by: `TEMPLATE`, or the name of the language model whose wording it is.
        version: of the interests that it explains.
        made_at_ms: wall clock, UTC.
    """

    text: str
    made_by: str
    version: int
    made_at_ms: int
    language: Language

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "text": self.text,
            "made_by": self.made_by,
            "version": self.version,
            "made_at": self.made_at_ms,
            "language": self.language,
        }
