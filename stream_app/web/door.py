"""Who is let in.

With a token, who sends it. Without one the pages are on loopback, where a page that a browser got elsewhere could still
ask them under a name of its own (DNS rebinding), so only names of this machine are answered to.
"""

import hmac

from aiohttp import hdrs, web

from stream_app.settings import Web
from stream_app.web.answers import Refusal

OPEN = "/healthz"
"""Says nothing about anybody, and is asked by what has no token."""

_LOCAL = ("localhost", "127.0.0.1", "::1")


class Door:
    """A middleware's decision."""

    def __init__(self, settings: Web) -> None:
        self._token = settings.token.get_secret_value().encode()
        self._names = {*_LOCAL, settings.host}

    def check(self, request: web.Request) -> None:
        """Raises Refusal."""
        if self._token:
            if request.path != OPEN and not self._has_token(request):
                raise Refusal(401, "no_token", "send Authorization: Bearer TOKEN", {hdrs.WWW_AUTHENTICATE: "Bearer"})
        elif _name(request.host) not in self._names:
            raise Refusal(421, "wrong_host", "ask for localhost or 127.0.0.1; for other names set INTEREST_WEB__TOKEN")

    def _has_token(self, request: web.Request) -> bool:
        scheme, _, sent = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        # Compared in any case, so that the time tells nothing.
        same = hmac.compare_digest(sent.strip().encode("utf-8", "surrogateescape"), self._token)
        return same and scheme.casefold() == "bearer"


def _name(host: str) -> str:
    """Of a Host header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].casefold()
