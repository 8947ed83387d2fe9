"""What processes that serve have in common: a name, and that they end when they are told to."""

import os
import signal
import socket
import threading
from typing import Any

import structlog

log = structlog.get_logger(__name__)


def process_name() -> str:
    """What this process goes by in logs and traces."""
    return f"{socket.gethostname()}:{os.getpid()}"


def stop_on_signals(stop: threading.Event, first: str) -> None:
    """Set `stop` at SIGTERM and SIGINT, and say so, and what is done first. Only the main thread may call it."""

    def on_signal(number: int, _frame: Any) -> None:
        log.info("stopping", signal=signal.Signals(number).name, first=first)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
