"""Services that end when they are told to, after what they are at."""

import signal
import threading
from typing import Any

import structlog

log = structlog.get_logger(__name__)


def stop_on_signals(stop: threading.Event, saying: str) -> None:
    """Set `stop` at SIGTERM and SIGINT, and say so. Only the main thread may call it."""

    def on_signal(number: int, _frame: Any) -> None:
        log.info(saying, signal=signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
