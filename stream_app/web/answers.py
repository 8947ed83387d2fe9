"""How the pages answer: JSON, with headers that leave a browser no room."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

POLICY, REFERRER = "Content-Security-Policy", "Referrer-Policy"
HEADERS = {
    "Cache-Control": "no-store",
    POLICY: "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    REFERRER: "no-referrer",
    "Server": "interest",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Of what a browser shows: files of this origin and nothing else, and no text that becomes markup."""


OUTCOME = web.RequestKey("outcome", str)
"""A word for a metric's label; `answered` where nobody sets it."""
IS_STREAM = web.RequestKey("is_stream", bool)


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
    """A signal of aiohttp: before an answer's head is sent. Pages have a policy of their own."""
    own = {name: response.headers[name] for name in (POLICY, REFERRER) if name in response.headers}
    response.headers.update({**HEADERS, **own})
