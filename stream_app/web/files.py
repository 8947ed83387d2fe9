"""The page's own files: read once, served from memory."""

import re
from importlib.resources import files
from typing import NamedTuple

from aiohttp import hdrs, web

from stream_app.web.answers import OUTCOME, PAGE_POLICY, POLICY, REFERRER
from stream_app.web.door import COOKIE, COOKIE_S, LOGIN, Door

_TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}
_NAME = re.compile(r"[a-z_]+\.(?:html|css|js|svg)")


class _File(NamedTuple):
    body: bytes
    content_type: str


class Files:
    """`index.html`, `login.html`, and what they load from `/static/`."""

    def __init__(self) -> None:
        folder = files("stream_app.web").joinpath("static")
        self._files = {
            one.name: _read(one.name, one.read_bytes()) for one in folder.iterdir() if _NAME.fullmatch(one.name)
        }

    async def index(self, _request: web.Request) -> web.StreamResponse:
        return self._answer("index.html")

    async def static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self._files or name.endswith(".html"):
            raise web.HTTPNotFound
        return self._answer(name)

    def login(self, status: int = 200) -> web.Response:
        return self._answer("login.html", status)

    def _answer(self, name: str, status: int = 200) -> web.Response:
        file = self._files[name]
        # With "no-referrer" a browser would not say either that the login form is of this origin.
        headers = {POLICY: PAGE_POLICY, REFERRER: "same-origin"}
        return web.Response(
            body=file.body, status=status, headers=headers, content_type=file.content_type, charset="utf-8"
        )


def _read(name: str, body: bytes) -> _File:
    return _File(body, _TYPES[name.rpartition(".")[2]])


class Login:
    """A person types the token and gets a cookie that no script can read and no other site sends."""

    def __init__(self, door: Door, pages: Files) -> None:
        self._door, self._pages = door, pages

    async def show(self, _request: web.Request) -> web.StreamResponse:
        return self._pages.login() if self._door.asks else web.Response(status=303, headers={hdrs.LOCATION: "/"})

    async def enter(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        typed = form.get("token")
        if not self._door.asks or not isinstance(typed, str) or not self._door.is_token(typed):
            request[OUTCOME] = "wrong_token"
            return web.Response(status=303, headers={hdrs.LOCATION: f"{LOGIN}?wrong"})
        response = web.Response(status=303, headers={hdrs.LOCATION: "/"})
        response.set_cookie(
            COOKIE, self._door.cookie(), max_age=COOKIE_S, httponly=True, samesite="Strict", secure=request.secure
        )
        return response

    async def leave(self, _request: web.Request) -> web.StreamResponse:
        response = web.Response(status=303, headers={hdrs.LOCATION: LOGIN})
        response.del_cookie(COOKIE, httponly=True, samesite="Strict")
        return response
