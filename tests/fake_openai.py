"""A server on the loopback interface that speaks OpenAI's protocol, and misbehaves when it is told to.

    with FakeOpenAI(status(429, {"Retry-After": "2"}), hanging) as server:
        ...                       # the first request gets the one, the second the other, all later ones good answers

Bodies have the shapes that OpenAI's reference gives, as hosted services and local servers send them.
"""

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DIMENSION = 8
TOKENS_IN, TOKENS_OUT = 210, 40


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    path: str
    key: str
    body: dict[str, Any]

    @property
    def system(self) -> str:
        return str(self.body["messages"][0]["content"])

    @property
    def user(self) -> str:
        return str(self.body["messages"][-1]["content"])


Reply = Callable[["_Handler", Asked], None]


@dataclass
class FakeOpenAI:
    """`replies` are used up one by one; `usual` answers what comes after them."""

    replies: deque[Reply] = field(default_factory=deque)
    requests: list[Asked] = field(default_factory=list)

    def __init__(self, *replies: Reply, usual: Reply | None = None) -> None:
        self.replies, self.requests, self.usual = deque(replies), [], usual or good
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "FakeOpenAI":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: "_Handler", asked: Asked) -> None:
        self.requests.append(asked)
        reply = self.replies.popleft() if self.replies else self.usual
        reply(handler, asked)


class _Handler(BaseHTTPRequestHandler):
    fake: FakeOpenAI

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        with suppress(ConnectionError):  # the client has given up, as it should
            self.fake.answer(self, Asked(self.path, key, body))

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def good(handler: _Handler, asked: Asked) -> None:
    """Vectors for texts; for a chat the first topic of the schema."""
    (embeddings() if asked.path.endswith("/embeddings") else annotation())(handler, asked)


def status(code: int, headers: dict[str, str] | None = None, message: str = "no") -> Reply:
    """An error, in OpenAI's shape."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": None}}
    return lambda handler, _: handler.send(code, json.dumps(body).encode(), headers)


def raw(body: bytes, code: int = 200, content_type: str = "application/json") -> Reply:
    return lambda handler, _: handler.send(code, body, {"Content-Type": content_type})


not_json = raw(b"<html>Bad gateway</html>", content_type="text/html")


def cut_off(handler: _Handler, _: Asked) -> None:
    handler.send(200, b'{"object": "list", "da', length=10_000)


def hanging(handler: _Handler, _: Asked) -> None:
    """Takes the request and says nothing."""
    handler.fake.released.wait(300)


def dripping(handler: _Handler, _: Asked) -> None:
    """Sends a byte now and then, so that no read ever times out."""
    handler.send(200, b"", length=10_000)
    while not handler.fake.released.wait(0.02):
        handler.wfile.write(b" ")


def dripping_headers(handler: _Handler, _: Asked) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not handler.fake.released.wait(0.02):
        handler.wfile.write(b"x")


def vector_of(text: str) -> list[float]:
    """Made up, never zero, the same for the same text, of any length."""
    return [byte + 1.0 for byte in hashlib.blake2b(text.encode(), digest_size=DIMENSION).digest()]


def embeddings(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda data: data) -> Reply:
    """`change`: what is done to the answer's `data` before it is sent."""

    def reply(handler: _Handler, asked: Asked) -> None:
        data = [
            {"object": "embedding", "index": index, "embedding": vector_of(text)}
            for index, text in enumerate(asked.body["input"])
        ]
        body = {
            "object": "list",
            "data": change(data),
            "model": asked.body["model"],
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        }
        handler.send(200, json.dumps(body).encode())

    return reply


def chat(content: str | None, usage: bool = True, finish_reason: str = "stop", refusal: str | None = None) -> Reply:
    """A completion whose message is `content`."""
    counted = {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT, "total_tokens": TOKENS_IN + TOKENS_OUT}
    message = {"role": "assistant", "content": content, "refusal": refusal}
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "fake",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        **({"usage": counted} if usage else {}),
    }
    return lambda handler, _: handler.send(200, json.dumps(body).encode())


def annotation(usage: bool = True, **changed: Any) -> Reply:
    """A good annotation, with some fields changed (None: left out)."""
    fields = {
        "topics": [{"name": "Crime", "weight": 0.75}, {"name": "Drama", "weight": 0.25}],
        "audience": "Viewers who like slow detective stories",
        "mood": "tense",
        "related": ["heist", "noir"],
        **changed,
    }
    return chat(json.dumps({name: value for name, value in fields.items() if value is not None}), usage)
