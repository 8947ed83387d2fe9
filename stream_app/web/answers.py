"""How the pages answer: JSON, with headers that leave a browser no room."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "Server": "interest",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Refusal(Exception):  # noqa: N818  # an answer, not a fault
    """An answer that is not what was asked for. `outcome`: a word for programs and for a metric's label."""

    def __init__(self, status: int, outcome: str, says: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(says)
        self.status, self.outcome, self.says, self.headers = status, outcome, says, headers

    def response(self) -> web.Response:
        return json_response({"error": self.outcome, "says": self.says}, self.status, self.headers)


def json_response(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode(document) + b"\n"
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


async def harden(_request: web.Request, response: web.StreamResponse) -> None:
    """A signal of aiohttp: before an answer's head is sent."""
    response.headers.update(HEADERS)
