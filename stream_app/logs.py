"""Logs: structlog for ours, the same look for those of the libraries, secrets masked in both."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from stream_app.masking import MASK, hidden
from stream_app.settings import Log

_SECRET_NAME = re.compile(r"password|passwd|secret|token|api_?key|credential", re.IGNORECASE)
# The password of a URL: between the colon after the user and the last @ before the path.
_URL_PASSWORD = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://[^:/@\s]*:)[^/\s]*(?=@)", re.IGNORECASE)

# What these say below warning is theirs to know.
_QUIET = ("aiokafka", "faust", "mode", "asyncio", "absl", "tensorflow", "numba", "fsspec")


def configure(log: Log) -> None:
    """Send all logs to standard error: aligned and coloured on a terminal, or one JSON object a line."""
    shared: list[Processor] = [
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(log)))
    logging.basicConfig(handlers=[handler], level=log.level.upper(), force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    # kafka-python logs each attempt of what it then raises; here it only administers and replays.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def _rendering(log: Log) -> list[Processor]:
    renderer: Processor = structlog.processors.JSONRenderer() if log.json_lines else _console()
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        mask_secrets,
        renderer,
        _hide_known,
    ]


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
