"""Where the pages may listen, and with which token."""

import pytest
from pydantic import ValidationError

from stream_app.settings import load

TOKEN = "t" * 32


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_loopback_it_needs_no_token(host: str) -> None:
    assert load(web={"host": host}).web.on_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "pages.example", ""])
def test_beyond_loopback_it_does_not_start_without_a_token(host: str) -> None:
    with pytest.raises(ValidationError, match="INTEREST_WEB__TOKEN"):
        load(web={"host": host})
    assert load(web={"host": host, "token": TOKEN}).web.host == host


@pytest.mark.parametrize("token", ["short", "t" * 31, "é" * 40, "a b" * 20, "t" * 40 + "\n"])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    with pytest.raises(ValidationError, match="token has at least 32"):
        load(web={"token": token})
