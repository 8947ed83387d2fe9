"""One question to a chat model, answered as JSON by a schema.

Servers that know no `response_format` refuse it with status 400. They are asked again with the schema in words, and
from then on only so. What the model says is not checked here: that is for whoever asked.
"""

import json
from dataclasses import dataclass
from typing import Any

import msgspec

from model_store.catalog.errors import RefusedError
from model_store.catalog.remote import Access, Closing, Remote

_IN_WORDS = "\n\nAnswer with one JSON object and nothing else. It follows this JSON schema:\n"
_BYTES_PER_TOKEN = 3  # English has about 4, Chinese 2 to 3: an estimate that is seldom too low


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `output_tokens`: how long an answer may be."""

    system: str
    user: str
    schema_name: str
    schema: dict[str, Any]
    output_tokens: int = 600

    def tokens(self) -> int:
        """Estimate of the most that question and answer can come to."""
        return estimated_tokens(self.system + self.user + json.dumps(self.schema)) + self.output_tokens


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        content: the model's words, JSON if it did as asked.
        unfinished: why there is no whole answer: `cut` at the longest length, `declined` by the model or a filter; "".
        tokens_in, tokens_out: as the server counted them, or estimated from the length where it has not (`estimated`).
        requests: how many it took.
    """

    content: str
    unfinished: str
    tokens_in: int
    tokens_out: int
    estimated: bool
    requests: int = 1

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(msgspec.Struct, frozen=True):
    choices: list[_Choice]
    usage: _Usage | None = None


class StructuredChat(Closing):
    """A chat model behind an endpoint. Thread-safe; close it, or use it in a `with`."""

    def __init__(self, access: Access) -> None:
        """Does not connect. Raises MisconfiguredError."""
        self._remote = Remote(access)
        self._by_schema: bool | None = None  # whether the server does; None until it has shown

    def close(self) -> None:
        self._remote.close()

    @property
    def model(self) -> str:
        return self._remote.access.model

    def ask(self, question: Question) -> Answer:
        """One request, two until it is known what the server takes. Raises UnavailableError, RefusedError and
        MisconfiguredError."""
        if self._by_schema is False:
            return _read(self._sent(_in_words(question)), question)
        try:
            body = self._sent(_by_schema(question))
        except RefusedError:
            if self._by_schema:
                raise
            body = self._sent(_in_words(question))
            self._by_schema = False
            return _read(body, question, requests=2)
        self._by_schema = True
        return _read(body, question)

    def _sent(self, asked: dict[str, Any]) -> bytes:
        return self._remote.ask(
            lambda client: client.chat.completions.with_streaming_response.create(model=self.model, **asked)
        )


def closed_object(properties: dict[str, Any]) -> dict[str, Any]:
    """JSON schema of an object with these properties, all of them and no others, as strict mode wants it."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def json_object(content: str) -> str:
    """The outermost object in a model's words: some put a fence or a sentence around it."""
    return content[content.find("{") : content.rfind("}") + 1]


def estimated_tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


def _by_schema(question: Question) -> dict[str, Any]:
    schema = {"name": question.schema_name, "strict": True, "schema": question.schema}
    return {
        "messages": _messages(question.system, question.user),
        "response_format": {"type": "json_schema", "json_schema": schema},
        "max_completion_tokens": question.output_tokens,
    }


def _in_words(question: Question) -> dict[str, Any]:
    # Servers too old for `response_format` call the limit by its older name.
    system = question.system + _IN_WORDS + json.dumps(question.schema, ensure_ascii=False)
    return {"messages": _messages(system, question.user), "max_tokens": question.output_tokens}


def _messages(system: str, user: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def _read(body: bytes, question: Question, requests: int = 1) -> Answer:
    try:
        completion = msgspec.json.decode(body, type=_Completion)
        choice = completion.choices[0]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, IndexError) as error:
        raise RefusedError(f"the answer is no chat completion: {error}"[:300]) from error
    content = choice.message.content or ""
    counted = _counted(completion.usage)
    tokens_in, tokens_out = counted or (estimated_tokens(question.system + question.user), estimated_tokens(content))
    return Answer(content, _unfinished(choice), tokens_in, tokens_out, counted is None, requests)


def _counted(usage: _Usage | None) -> tuple[int, int] | None:
    """Tokens in and out; None where the server has not said, or nothing that can be."""
    if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    if min(usage.prompt_tokens, usage.completion_tokens) < 0:
        return None
    return usage.prompt_tokens, usage.completion_tokens


def _unfinished(choice: _Choice) -> str:
    if choice.finish_reason == "length":
        return "cut"
    declined = choice.finish_reason == "content_filter" or choice.message.refusal or not choice.message.content
    return "declined" if declined else ""
