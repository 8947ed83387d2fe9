"""Words of strangers in a prompt: as data, between lines that they cannot know."""

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Fence:
    """Around data in a prompt. `canary` and `boundary`, made anew for each, are words that no stranger can know: a
    model that says one of them repeats its instructions.

    `of`: what the fence's lines call the data.
    """

    of: str
    canary: str = field(default_factory=lambda: f"canary-{secrets.token_hex(8)}", repr=False)
    boundary: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)

    @property
    def begin(self) -> str:
        return f"{self.of}-{self.boundary}"

    @property
    def end(self) -> str:
        return f"END-{self.boundary}"

    def around(self, data: str) -> str:
        return f"{self.begin}\n{data}\n{self.end}"

    def leaks(self, said: str) -> bool:
        return self.canary in said or self.boundary in said


def one_line(text: str, longest: int) -> str:
    """Without control characters, without what turns the direction of writing, and at most so many characters long."""
    return " ".join(_NO_TEXT.sub(" ", text).split())[:longest]


def as_json(data: Any) -> str:
    """On one line, without angle brackets, which mark speakers for some models."""
    return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")
