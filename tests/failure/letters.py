"""Dead letters as they are found, and whether they are those of the poison that was sent."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Message

from tests.failure.poison import Place, Poison

HEADERS = ("error", "reason", "topic", "partition", "offset", "truncated")
CUT_BYTES = 900_000
"""A value is cut off there, as the contract says."""


@dataclass(frozen=True)
class Letter:
    """A dead letter. `headers` are all of them, the original ones first; `said` has the last one of each name."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]

    @property
    def said(self) -> dict[str, str]:
        return {name: value.decode() for name, value in self.headers if name in HEADERS and value}

    @property
    def place(self) -> Place:
        said = self.said
        return said["topic"], int(said["partition"]), int(said["offset"])


@dataclass
class Post:
    """What became of the poison. `strange`: letters that are of no record sent, or wrong, in words."""

    missing: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    repeats: int = 0


def letter_of(message: Message) -> Letter:
    return Letter(message.key(), message.value(), message.headers() or [])


def compare(sent: Mapping[Place, Poison], letters: Sequence[Letter], partitions: int) -> Post:
    """Each record must have a letter, every letter must be right; more than one there may be after a crash."""
    post, found = Post(), Counter(letter.place for letter in letters)
    post.repeats = found.total() - len(found)
    post.missing = [f"{place}: {str(sent[place])[:200]}" for place in sent.keys() - found.keys()]
    for letter in letters:
        fault = _fault_of(letter, sent.get(letter.place), partitions)
        if fault:
            post.strange.append(f"{letter.place}: {fault}: {str(letter)[:200]}")
    return post


def _fault_of(letter: Letter, sent: Poison | None, partitions: int) -> str | None:
    if sent is None:
        return f"a good event was set aside ({letter.said['error'][:200]})"
    value = sent.value or b""
    cut, count = len(value) > CUT_BYTES, len(sent.headers)
    allowed = sent.reasons(letter.place[1], partitions)
    if letter.key != sent.key or letter.value != value[:CUT_BYTES]:
        return "has other bytes"
    if list(letter.headers[:count]) != sent.headers:
        return "has other headers"
    if [name for name, _ in letter.headers[count:]] != list(HEADERS if cut else HEADERS[:-1]):
        return "lacks a header of ours"
    if cut and letter.said["truncated"] != str(len(value)):
        return "does not tell how long it was"
    return None if letter.said["reason"] in allowed else f"should give one of {sorted(allowed)} as the reason"
