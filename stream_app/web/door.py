"""Who is let in.

With a token, who sends it. A browser can send no header of ours when it opens a page or a stream, so a person types the
token once and gets a cookie: a time until which it is good, and the HMAC of that time under the token. Who has the
cookie does not have the token, and another token makes all cookies void.

Without a token the pages are on loopback, where a page that a browser got elsewhere could still ask them under a name
of its own (DNS rebinding), so only names of this machine are answered to.
"""

import hmac
import time
from collections.abc import Callable

from aiohttp import hdrs, web

from stream_app.settings import Web
from stream_app.web.answers import Refusal

OPEN = "/healthz"
"""Says nothing about anybody, and is asked by what has no token."""
LOGIN, STATIC = "/login", "/static/"
"""What a person needs to log in: says nothing about anybody either."""
COOKIE, COOKIE_S = "interest_session", 12 * 3600

_LOCAL = ("localhost", "127.0.0.1", "::1")
_SITE = "Sec-Fetch-Site"


class Door:
    """A middleware's decision, and what the login page asks."""

    def __init__(self, settings: Web, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since 1970."""
        self._token, self._clock = settings.token.get_secret_value().encode(), clock
        self._names = {*_LOCAL, settings.host}

    @property
    def asks(self) -> bool:
        """Whether there is a token."""
        return bool(self._token)

    def check(self, request: web.Request) -> None:
        """Raises Refusal."""
        if self._token:
            if not _is_open(request.path) and not self._has_token(request) and not self._has_cookie(request):
                raise Refusal(401, "no_token", "send Authorization: Bearer TOKEN", {hdrs.WWW_AUTHENTICATE: "Bearer"})
        elif _name(request.host) not in self._names:
            raise Refusal(421, "wrong_host", "ask for localhost or 127.0.0.1; for other names set INTEREST_WEB__TOKEN")
        if request.method != hdrs.METH_GET:
            _check_origin(request)

    def is_token(self, typed: str) -> bool:
        """Compared in any case, so that the time tells nothing."""
        return hmac.compare_digest(typed.strip().encode("utf-8", "surrogateescape"), self._token)

    def cookie(self) -> str:
        """The value for who has shown the token."""
        until_s = int(self._clock()) + COOKIE_S
        return f"{until_s}.{self._seal(str(until_s))}"

    def _has_token(self, request: web.Request) -> bool:
        scheme, _, sent = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        same = self.is_token(sent)
        return same and scheme.casefold() == "bearer"

    def _has_cookie(self, request: web.Request) -> bool:
        until_s, _, seal = request.cookies.get(COOKIE, "").partition(".")
        good = hmac.compare_digest(seal.encode("utf-8", "surrogateescape"), self._seal(until_s).encode())
        return good and until_s.isdecimal() and int(until_s) > self._clock()

    def _seal(self, until_s: str) -> str:
        return hmac.digest(self._token, b"interest web, until " + until_s.encode("utf-8", "replace"), "sha256").hex()


def _is_open(path: str) -> bool:
    return path in (OPEN, LOGIN) or path.startswith(STATIC)


def _check_origin(request: web.Request) -> None:
    """Nobody else's page may send a form here. Programs say nothing of where they come from. Raises Refusal."""
    origin = request.headers.get(hdrs.ORIGIN)
    foreign = origin is not None and origin.partition("://")[2] != request.host
    if foreign or request.headers.get(_SITE, "same-origin") not in ("same-origin", "none"):
        raise Refusal(403, "wrong_origin", "another site's page may not ask this")


def _name(host: str) -> str:
    """Of a Host header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].casefold()
