"""Logs: structlog for ours, the same look for those of the libraries, secrets masked in both.

What they say, at which level, and what is worth an alert is in `deploy/docs/logs.md`: the text of a message is its
name, and what varies is in fields, which name their units. No message names a user, a key or a title.
"""

import logging
import re
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from stream_app.faust_slab import fatal
from stream_app.masking import MASK, hidden
from stream_app.repeats import Later, Repeats
from stream_app.settings import Log

_SECRET_NAME = re.compile(r"password|passwd|secret|token|api_?key|credential", re.IGNORECASE)
# The password of a URL: between the colon after the user and the last @ before the path.
_URL_PASSWORD = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://[^:/@\s]*:)[^/\s]*(?=@)", re.IGNORECASE)

# What these say below warning is theirs to know.
_QUIET = ("aiokafka", "faust", "mode", "asyncio", "absl", "tensorflow", "numba", "fsspec", "opentelemetry", "urllib3")


class RateLimited(logging.StreamHandler[Any]):
    """Shows a warning or an error five times a minute, and then says how often it came: a fault that repeats with each
    cycle must neither fill the disk nor hide the others. What is said below a warning is said at moments of its own."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._repeats = Repeats[logging.LogRecord](self._tell)
        self._later = Later(self._tell_due)

    def emit(self, record: logging.LogRecord) -> None:
        limited = logging.WARNING <= record.levelno < logging.CRITICAL
        if not limited or self._repeats.is_shown(_key(record), record, time.monotonic()):
            super().emit(record)
        else:
            self._later.ask()

    def close(self) -> None:
        with self._locked():
            self._repeats.tell_all(time.monotonic())
        super().close()

    def _tell_due(self) -> None:
        with self._locked():
            self._repeats.tell_due(time.monotonic())
            if self._repeats.holds_back:
                self._later.ask()

    def _locked(self) -> threading.RLock:
        assert self.lock is not None
        return self.lock

    def _tell(self, last: logging.LogRecord, times: int, seconds: float) -> None:
        """The last one again, with how often it came."""
        told = logging.makeLogRecord(last.__dict__)
        counts = {"repeated": times, "in_s": round(seconds)}
        if isinstance(last.msg, dict):
            told.msg = {**last.msg, **counts}
        else:
            told.__dict__["_repeated"] = counts
        super().emit(told)


def _key(record: logging.LogRecord) -> tuple[str, int, str]:
    """What is the same said again: by its name, without what varies."""
    event = record.msg.get("event") if isinstance(record.msg, dict) else record.msg
    return record.name, record.levelno, str(event)


def configure(log: Log, **bound: str | int) -> None:
    """Send all logs to standard error: aligned and coloured on a terminal, or one JSON object a line, which has the
    `bound` fields as well: what tells this process from others."""
    fields = bound if log.json_lines else {}

    def bind(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**fields, **event}

    fatal.as_json = fields if log.json_lines else None
    shared: list[Processor] = [
        bind,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = RateLimited(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(log)))
    logging.basicConfig(handlers=[handler], level=log.level.upper(), force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    # kafka-python logs each attempt of what it then raises; here it only administers and replays.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def _rendering(log: Log) -> list[Processor]:
    renderer: Processor = structlog.processors.JSONRenderer() if log.json_lines else _console()
    return [
        _count_repeats,
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        mask_secrets,
        renderer,
        _hide_known,
    ]


def _count_repeats(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Of a library's message, which has no fields."""
    return {**event, **getattr(event.get("_record"), "_repeated", {})}


def _hide_known(_logger: WrappedLogger, _method: str, line: Any) -> str:
    return hidden(line)


def _console() -> structlog.dev.ConsoleRenderer:
    # The plain traceback: rich ones print local variables, secrets among them.
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask values whose name says secret and passwords inside URLs, at any depth."""
    return {key: masked(value, key) for key, value in event.items()}


def masked(value: Any, name: str = "") -> Any:
    """`value` with its secrets masked; `name` is what it is called."""
    if _SECRET_NAME.search(name):
        return MASK
    if isinstance(value, str):
        return _URL_PASSWORD.sub(rf"\g<before>{MASK}", value)
    if isinstance(value, Mapping):
        return {key: masked(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(inner) for inner in value]
    return value
