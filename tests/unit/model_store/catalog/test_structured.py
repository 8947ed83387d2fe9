"""One question to a chat model behind a server that may not do as it is asked."""

import json

import pytest

from model_store.catalog.errors import MisconfiguredError, RefusedError, UnavailableError
from model_store.catalog.remote import Access
from model_store.catalog.structured import Answer, Question, StructuredChat, estimated_tokens
from tests.fake_openai import (
    TOKENS_IN,
    TOKENS_OUT,
    Asked,
    FakeOpenAI,
    Reply,
    _Handler,
    chat,
    cut_off,
    dripping,
    hanging,
    not_json,
    raw,
    status,
)

QUESTION = Question("You sort.", "A film", "answer", {"type": "object"}, output_tokens=50)


def model(server: FakeOpenAI, timeout_s: float = 60.0) -> StructuredChat:
    return StructuredChat(Access(server.url, "m", "key", timeout_s))


def test_it_asks_by_schema() -> None:
    with FakeOpenAI(chat('{"a": 1}')) as server, model(server) as one:
        assert one.ask(QUESTION) == Answer('{"a": 1}', "", TOKENS_IN, TOKENS_OUT, False)
    [asked] = server.requests
    assert (asked.system, asked.user, asked.key) == ("You sort.", "A film", "key")
    assert asked.body["response_format"]["json_schema"] == {
        "name": "answer",
        "strict": True,
        "schema": {"type": "object"},
    }
    assert asked.body["max_completion_tokens"] == 50


def only_in_words(handler: _Handler, asked: Asked) -> None:
    """A server that knows no `response_format`."""
    (status(400, message="unknown field") if "response_format" in asked.body else chat("{}"))(handler, asked)


def test_a_server_without_schemas_is_asked_in_words_from_then_on() -> None:
    with FakeOpenAI(usual=only_in_words) as server, model(server) as one:
        assert [one.ask(QUESTION).requests for _ in range(3)] == [2, 1, 1]
    assert len(server.requests) == 4
    assert json.dumps(QUESTION.schema) in server.requests[-1].system
    assert server.requests[-1].body["max_tokens"] == 50


def test_a_server_that_knows_schemas_refuses_the_question_with_400() -> None:
    with FakeOpenAI(chat("{}"), status(400), chat("{}")) as server, model(server) as one:
        one.ask(QUESTION)
        with pytest.raises(RefusedError):
            one.ask(QUESTION)
        assert one.ask(QUESTION).requests == 1
    assert all("response_format" in asked.body for asked in server.requests)


def test_a_question_refused_in_both_forms_settles_nothing() -> None:
    with FakeOpenAI(status(400), status(400)) as server, model(server) as one:
        with pytest.raises(RefusedError):
            one.ask(QUESTION)
        assert one.ask(QUESTION).requests == 1
    assert ["response_format" in asked.body for asked in server.requests] == [True, False, True]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (status(429), UnavailableError),
        (status(500), UnavailableError),
        (cut_off, UnavailableError),
        (status(401), MisconfiguredError),
        (status(404), MisconfiguredError),
        (not_json, RefusedError),
        (raw(b'{"choices": []}'), RefusedError),
        (raw(b'{"error": "no"}'), RefusedError),
        (raw(b'"words"'), RefusedError),
        (raw(b"\xff"), RefusedError),
        (raw(b'{"x": ' + b"[" * 100_000), RefusedError),
    ],
)
def test_what_goes_wrong_by_what_the_caller_does(reply: Reply, expected: type[Exception]) -> None:
    with FakeOpenAI(usual=reply) as server, model(server) as one, pytest.raises(expected):
        one.ask(QUESTION)


@pytest.mark.parametrize("reply", [hanging, dripping])
def test_nothing_is_waited_for_longer_than_the_timeout(reply: Reply) -> None:
    with FakeOpenAI(usual=reply) as server, model(server, 0.2) as one, pytest.raises(UnavailableError, match=r"0\.2 s"):
        one.ask(QUESTION)


@pytest.mark.parametrize(
    ("reply", "unfinished"),
    [
        (chat('{"a":', finish_reason="length"), "cut"),
        (chat(None), "declined"),
        (chat(""), "declined"),
        (chat(None, refusal="I cannot"), "declined"),
        (chat("{}", finish_reason="content_filter"), "declined"),
    ],
)
def test_answers_that_are_not_whole_have_cost_all_the_same(reply: Reply, unfinished: str) -> None:
    with FakeOpenAI(reply) as server, model(server) as one:
        answer = one.ask(QUESTION)
    assert (answer.unfinished, answer.tokens) == (unfinished, TOKENS_IN + TOKENS_OUT)


@pytest.mark.parametrize(
    "usage",
    ["{}", '{"prompt_tokens": null, "completion_tokens": 3}', '{"prompt_tokens": -1, "completion_tokens": 3}', "null"],
)
def test_tokens_that_nobody_counted_are_estimated_and_marked(usage: str) -> None:
    body = f'{{"choices": [{{"message": {{"content": "四个字符"}}}}], "usage": {usage}}}'
    with FakeOpenAI(raw(body.encode())) as server, model(server) as one:
        answer = one.ask(QUESTION)
    assert answer.estimated
    assert (answer.tokens_in, answer.tokens_out) == (5, 4)  # 15 bytes and 12, three to a token


def test_estimates() -> None:
    assert [estimated_tokens(text) for text in ("", "a", "abcd", "字")] == [0, 1, 2, 1]
    assert QUESTION.tokens() == estimated_tokens('You sort.A film{"type": "object"}') + 50
