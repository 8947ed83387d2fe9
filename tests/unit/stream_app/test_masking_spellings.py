"""A secret is masked however the text that quotes it spells it."""

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from stream_app import masking
from stream_app.masking import MASK, hidden, keep_secret

ODD = ('a"b-canary', "ü-canary", "a\\b-canary", "x'\"y-canary", "l1\nl2-canary", "p@:/w-canary")


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_secrets", set())


@pytest.mark.parametrize("secret", ODD)
@pytest.mark.parametrize(
    "spell",
    [
        str,
        repr,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps(repr(text)),
        lambda text: json.dumps(repr(text), ensure_ascii=False),
        lambda text: quote(text, safe=""),
    ],
    ids=["plain", "repr", "json", "json in UTF-8", "repr in json", "repr in json in UTF-8", "url"],
)
def test_every_spelling_of_a_secret_is_masked(secret: str, spell: Callable[[str], str]) -> None:
    keep_secret(secret)
    text = hidden(f"login failed: {spell(secret)}!")
    assert "canary" not in text
    assert MASK in text


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:canary@host:6379/0",
        "redis://:canary@host:99999999/0",
        "redis://user:canary@[host/0",
        "rediss://user:can%61ry@host/0",
    ],
)
def test_the_password_of_a_url_is_masked_even_of_one_that_cannot_be_parsed(url: str) -> None:
    keep_secret(url)
    assert "canary" not in hidden(f"{url} canary")
    assert "can%61ry" not in hidden(url)


def test_a_url_without_a_password_masks_nothing() -> None:
    keep_secret("redis://127.0.0.1:6379/0")
    assert hidden("redis://127.0.0.1:6379/0") == "redis://127.0.0.1:6379/0"
