"""What a fuzz target is."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

Cases = list[Any]
Check = Callable[[Cases], int]


@dataclass(frozen=True)
class Target:
    """One reader of outside bytes.

    Attributes:
        make: dice and a count -> so many cases, of what msgpack can hold, so that they can be kept and tried again.
        check: gives the check, which returns how many of the cases were rejected and raises over a finding.
        batch: cases of one call; what is cheaper together is checked together.
        share: of the time, relative to the others.
    """

    name: str
    make: Callable[[Random, int], Cases]
    check: Callable[[], AbstractContextManager[Check]]
    batch: int = 1_000
    share: float = 1.0

    def cases(self, seed: int, number: int) -> Cases:
        """Those of a batch."""
        return self.make(Random(f"{self.name}/{seed}/{number}"), self.batch)


def plain(check: Check) -> Callable[[], AbstractContextManager[Check]]:
    """For a check that needs no server."""

    @contextmanager
    def given() -> Iterator[Check]:
        yield check

    return given


def each(check: Callable[[Any], bool]) -> Check:
    """For cases that are checked one at a time; True means rejected."""
    return lambda cases: sum(map(check, cases))


MAX_MESSAGE = 2_000
"""Characters of the longest message that is still one for people."""


def check_message(text: str) -> None:
    """An error says something, and not the whole input."""
    assert text.strip(), "the message is empty"
    assert len(text) <= MAX_MESSAGE, f"the message has {len(text):,} characters: {text[:80]!r}..."
