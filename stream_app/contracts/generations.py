"""Generations: what must change together, and by what names each goes.

A state sums what the model's write table says, so another table (or another layout of the state) needs states of its
own, and vectors of its own that no older model card explains. All that belongs together is a *generation*: it has a
consumer group, a changelog, a pointer in the model store, and keys in Redis. The first one has the plain names.

Which one services are to read stands at one key, `interest:serving`, as JSON (`Serving`); without the key, the first
one serves. It is written whole, by `interest generations promote` and `roll-back`, so that readers that go by it see
one generation before and another after, and never a mixture.
"""

from typing import Annotated

import msgspec

FIRST = 1
SERVING_KEY = b"interest:serving"


class Serving(msgspec.Struct, frozen=True):
    """What `interest:serving` says.

    Attributes:
        generation: the one to read.
        prefix: of its keys: `interest:<prefix>{user}`, `rec:<prefix>{user}`, `interest:<prefix>model`.
        since: wall-clock ms, UTC, of the switch to it.
        previous: the one that served before, 0 if none did.
    """

    generation: Annotated[int, msgspec.Meta(ge=FIRST)]
    prefix: str
    since: int
    previous: Annotated[int, msgspec.Meta(ge=0)] = 0

    def then(self, generation: int, now_ms: int) -> "Serving":
        """Another one from now on."""
        return Serving(generation, prefix_of(generation), now_ms, self.generation)

    def publishes(self, generation: int, now_ms: int, handover_ms: int) -> bool:
        """Whether a generation's workers are to publish what others read as well: recommendations, dead letters.

        For the time of the handover both do. Each has read a little less or more than the other, and what the one has
        not read before it ends, the other may have read before it began.
        """
        if generation == self.generation:
            return True
        return generation == self.previous and now_ms < self.since + handover_ms


AT_FIRST = Serving(FIRST, "", 0)
"""What holds where no switch has ever been."""

_decoder = msgspec.json.Decoder(Serving)
UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


def encode(serving: Serving) -> bytes:
    """The value of `interest:serving`."""
    return msgspec.json.encode(serving)


def decode(raw: bytes | None) -> Serving:
    """What the key's value says, None where there is none. Raises one of `UNREADABLE` for what no command wrote."""
    return AT_FIRST if raw is None else _decoder.decode(raw)


def prefix_of(generation: int) -> str:
    """What stands in the keys of a generation before the brace: nothing, or `g2:`."""
    return "" if generation <= FIRST else f"g{generation}:"


def named(name: str, generation: int) -> str:
    """A name that each generation has for itself: `interest`, `interest-g2`."""
    return name if generation <= FIRST else f"{name}-g{generation}"
