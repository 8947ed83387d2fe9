"""Secrets are known by their value: once loaded, none of them is printed, whoever words the text."""

import json
import re
from urllib.parse import quote, unquote

MASK = "**********"

_secrets: set[str] = set()
"""In all spellings: they are looked for in every line that is logged, and kept once."""

# Up to the last @: a password may hold any character, and a URL that cannot be parsed still has one.
_URL_PASSWORD = re.compile(r"://[^:/@]*:(?P<password>.*)@", re.DOTALL)


def keep_secret(value: str) -> None:
    """Mask this value in whatever `hidden` sees from now on; of a URL, its password in both its spellings."""
    for secret in _passwords_in(value) if "://" in value else {value}:
        if secret:
            _secrets.update(_spellings(secret))


def hidden(text: str) -> str:
    """The text with every known secret masked, as it is or as `repr`, JSON and URLs spell it."""
    for spelling in sorted(_secrets, key=len, reverse=True):
        text = text.replace(spelling, MASK)
    return text


def _passwords_in(url: str) -> set[str]:
    found = _URL_PASSWORD.search(url)
    return {found["password"], unquote(found["password"])} if found else set()


def _spellings(secret: str) -> set[str]:
    # `repr` escapes an apostrophe only beside a quotation mark, which the text around may hold.
    plain = {secret, repr(secret)[1:-1], repr(f"{secret}'\"")[1:-4]}
    # A line of JSON may quote a `repr`.
    in_json = {json.dumps(text, ensure_ascii=ascii_)[1:-1] for text in plain for ascii_ in (True, False)}
    return plain | in_json | {quote(secret, safe="")}
