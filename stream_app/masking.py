"""Secrets are known by their value: once loaded, none of them is printed, whoever words the text."""

import json
from urllib.parse import unquote, urlsplit

MASK = "**********"

_secrets: set[str] = set()


def keep_secret(value: str) -> None:
    """Mask this value in whatever `hidden` sees from now on; of a URL, its password in both its spellings."""
    if "://" in value:
        password = urlsplit(value).password or ""
        _secrets.update(filter(None, (password, unquote(password))))
    elif value:
        _secrets.add(value)


def hidden(text: str) -> str:
    """The text with every known secret masked, as it is or as `repr` and JSON spell it."""
    for secret in sorted(_secrets, key=len, reverse=True):
        for spelling in _spellings(secret):
            text = text.replace(spelling, MASK)
    return text


def _spellings(secret: str) -> tuple[str, ...]:
    # `repr` escapes an apostrophe only beside a quotation mark, which the text around may hold.
    beside_both = repr(f"{secret}'\"")[1:-4]
    return secret, repr(secret)[1:-1], beside_both, json.dumps(secret)[1:-1]
