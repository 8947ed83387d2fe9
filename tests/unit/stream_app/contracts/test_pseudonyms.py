"""Pseudonyms are what `openssl` makes of an id and a key, so that any language can make them."""

import pytest
from pydantic import ValidationError

from stream_app.contracts.pseudonyms import naming
from stream_app.settings import load


def test_a_pseudonym_is_what_openssl_makes() -> None:
    # printf %s u42 | openssl dgst -sha256 -hmac abc -r | cut -c1-32
    assert naming("abc")(b"u42") == b"92ee90237c069f8cfccb5a54a4e0e7ec"


def test_without_a_key_an_id_is_its_own_name() -> None:
    assert naming("")(b"u42") == b"u42"


def test_a_key_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ValidationError, match="openssl rand") as refused:
        load(pseudonym_key="too-short")
    assert "too-short" not in str(refused.value)
