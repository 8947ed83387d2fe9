"""Ending the process on a fault.

Raising would make Faust stop gracefully, and a graceful stop commits: past the fault, or after a restart of the agent
on the same stream. So a fault that is not somebody's bad event ends the process at once, and Kafka gives its
partitions to another.
"""

import os
import sys
import traceback
from typing import NoReturn

from stream_app.masking import hidden

EXIT_STOPPED = 70
"""Exit status (sysexits' EX_SOFTWARE) of a worker that stopped itself."""


def stop_process(where: str, error: BaseException) -> NoReturn:
    """Say what happened and exit; nothing is flushed, acknowledged or committed any more."""
    detail = "" if getattr(error, "explains_itself", False) else f"\n{''.join(traceback.format_exception(error))}"
    stderr = sys.__stderr__ or sys.stderr
    stderr.write(hidden(f"worker stopped: {where}: {type(error).__name__}: {error}{detail}\n"))
    stderr.flush()
    os._exit(EXIT_STOPPED)
