"""Asks readers of several languages what the worlds' readings say, and takes down what they give.

A driver of another language is a program: `DRIVER URL FILE` prints a JSON list, for each world of FILE a list, for each
reading of it `{"gives": ...}` or `{"raises": "layout"}` or `{"raises": "redis"}`. World n is in database n at URL.
"""

import asyncio
import inspect
import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import msgspec
import numpy as np
from redis import RedisError

from stream_app.client import AsyncInterestReader, InterestReader, LayoutError
from tests.conformance.worlds import FILE

Answers = list[list[dict[str, Any]]]


class Blocking:
    """An asyncio reader, whose coroutines are run to their end."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._reader = AsyncInterestReader(*args, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._reader, name)
        assert inspect.iscoroutinefunction(method)
        return lambda *args, **named: self._runner.run(method(*args, **named))

    def __enter__(self) -> "Blocking":
        return self

    def __exit__(self, *exc: object) -> None:
        self._runner.run(self._reader.aclose())
        self._runner.close()


PYTHON: dict[str, type[InterestReader] | type[Blocking]] = {"sync": InterestReader, "asyncio": Blocking}


def ask_python(kind: str, urls: Sequence[str], raw: dict[str, Any], **options: Any) -> Answers:
    """What a Python reader gives."""
    answers = []
    for url, world in zip(urls, raw["worlds"], strict=True):
        with PYTHON[kind](url, pseudonym_key=world["pseudonym_key"], **options) as reader:
            answers.append([_answer(reader, one) for one in world["readings"]])
    return answers


def ask_program(argv: Sequence[str], urls: Sequence[str], raw: dict[str, Any] | None = None) -> Answers:
    """What a driver in another language gives, to FILE or to other worlds."""
    base = urls[0].rsplit("/", 1)[0]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as other:
        json.dump(raw, other)
        other.flush()
        asked = [*argv, base, other.name if raw else str(FILE)]
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-4_000:]
    answers: Answers = json.loads(done.stdout)
    return answers


def _answer(reader: Any, one: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"gives": _plain(getattr(reader, one["call"])(one["of"]))}
    except LayoutError:
        return {"raises": "layout"}
    except RedisError:
        return {"raises": "redis"}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        assert value.dtype == np.float32
        return value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        fields = {name: _plain(getattr(value, name)) for name in asdict(value)}
        return {**fields, "topics": list(map(list, value.topics.items()))} if "topics" in fields else fields
    if isinstance(value, msgspec.Struct):
        return msgspec.json.decode(msgspec.json.encode(value))
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return value
