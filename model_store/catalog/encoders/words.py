"""What every encoder does to a text before it reads it."""

import re
import unicodedata

_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


def readable(text: str, longest: int) -> str:
    """At most `longest` characters of a text in Unicode's NFKC form; control characters and lone surrogates, which
    tokenizers and C libraries trip over, are spaces."""
    return _NO_TEXT.sub(" ", unicodedata.normalize("NFKC", text[:longest]))[:longest]


def has_word(text: str) -> bool:
    """Whether a letter or a digit of any script is in it."""
    return any(map(str.isalnum, text))
