"""Ending the process on a fault.

Raising would make Faust stop gracefully, and a graceful stop commits: past the fault, or after a restart of the agent
on the same stream. So a fault that is not somebody's bad event ends the process at once, and Kafka gives its
partitions to another.
"""

import json
import os
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NoReturn

from stream_app.masking import hidden

EXIT_STOPPED = 70
"""Exit status (sysexits' EX_SOFTWARE) of a worker that stopped itself."""


as_json: Mapping[str, str | int] | None = None
"""Fields of a last line that is to be JSON, as `logs.configure` says; None: text. Logging itself is not used here: who
holds its lock may be what hangs."""


def stop_process(where: str, error: BaseException) -> NoReturn:
    """Say what happened and exit; nothing is flushed, acknowledged or committed any more."""
    stderr = sys.__stderr__ or sys.stderr
    stderr.write(hidden(_last_line(where, error)))
    stderr.flush()
    os._exit(EXIT_STOPPED)


def _last_line(where: str, error: BaseException) -> str:
    detail = "" if getattr(error, "explains_itself", False) else f"\n{''.join(traceback.format_exception(error))}"
    if as_json is None:
        return f"worker stopped: {where}: {type(error).__name__}: {error}{detail}\n"
    told = {
        **as_json,
        "event": "worker stopped",
        "where": where,
        "error": type(error).__name__,
        "why": f"{error}{detail}",
        "exit_code": EXIT_STOPPED,
        "level": "critical",
        "timestamp": datetime.now(UTC).isoformat(),
    }
    return json.dumps(told) + "\n"
