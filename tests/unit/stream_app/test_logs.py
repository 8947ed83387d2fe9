"""Logs do not tell secrets."""

import json
import logging

import pytest
import structlog

from stream_app import logs, masking
from stream_app.settings import Log

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets that other tests' settings had, a dash among them, would be masked in what is compared here."""
    monkeypatch.setattr(masking, "_secrets", set())


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (f"redis://user:{SECRET}@host:6379/0", "where"),
        (f"rediss://:{SECRET}@host/0", ""),
        (f"cannot reach redis://u:{SECRET}@h:1/0: refused", "event"),
        (f"redis://u:{SECRET}@{SECRET}@h/0", "a password with an @"),
        (SECRET, "redis_password"),
        ({"sasl": {"api_key": SECRET}}, "settings"),
        ([f"redis://:{SECRET}@a", (f"redis://:{SECRET}@b",)], "urls"),
    ],
)
def test_secrets_are_masked(value: object, name: str) -> None:
    assert SECRET not in repr(logs.masked(value, name))


@pytest.mark.parametrize("value", ["redis://host:6379/0", "a@b.c", "12:30 me@host", 7, None, {"users": 3}])
def test_everything_else_is_left(value: object) -> None:
    assert logs.masked(value, "event") == value


@pytest.mark.parametrize("json_lines", [True, False])
def test_exceptions_and_library_logs_are_masked_too(capsys: pytest.CaptureFixture[str], json_lines: bool) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.configure(Log(json_lines=json_lines))
        logging.getLogger("library").warning("lost redis://:%s@host", SECRET)
        try:
            raise ValueError(f"redis://:{SECRET}@host")
        except ValueError:
            structlog.get_logger("ours").exception("failed", token=SECRET)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    text = capsys.readouterr().err
    assert SECRET not in text
    assert "ValueError" in text
    # In the library line, the traceback's source line, the exception and the token.
    assert text.count(logs.MASK) == 4
    if json_lines:
        first, second = map(json.loads, text.splitlines())
        assert (first["level"], first["logger"]) == ("warning", "library")
        assert second["event"] == "failed"
