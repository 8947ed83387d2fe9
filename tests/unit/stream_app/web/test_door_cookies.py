"""The cookie of who has shown the token: how long it is good, and for whose token."""

from aiohttp.test_utils import make_mocked_request
from pydantic import SecretStr

from stream_app.settings import Web
from stream_app.web.answers import Refusal
from stream_app.web.door import COOKIE, COOKIE_S, Door

TOKEN, OTHER = "t" * 32, "o" * 32


def lets_in(door: Door, cookie: str, path: str = "/api/users") -> bool:
    try:
        door.check(make_mocked_request("GET", path, headers={"Cookie": f"{COOKIE}={cookie}", "Host": "pages.example"}))
    except Refusal as refusal:
        return refusal.status != 401
    return True


def door(token: str, now_s: float) -> Door:
    return Door(Web(token=SecretStr(token)), lambda: now_s)


def test_it_is_good_for_hours_and_for_this_token_alone() -> None:
    cookie = door(TOKEN, 1_000).cookie()
    assert lets_in(door(TOKEN, 1_000 + COOKIE_S - 1), cookie)
    assert not lets_in(door(TOKEN, 1_000 + COOKIE_S), cookie)
    assert not lets_in(door(OTHER, 1_000), cookie)
    assert not lets_in(door(TOKEN, 1_000), cookie.replace("4", "5", 1))


def test_what_a_login_needs_is_open() -> None:
    assert lets_in(door(TOKEN, 0), "", "/login")
    assert lets_in(door(TOKEN, 0), "", "/static/base.css")
    assert not lets_in(door(TOKEN, 0), "", "/")
