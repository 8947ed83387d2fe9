"""How commands speak: tables and colours to people on standard output, JSON to scripts, errors to standard error."""

import json
import sys
from typing import Any

from rich.console import Console

from stream_app.masking import hidden

OK, FINDING, USAGE, STOPPED = 0, 1, 2, 70

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    json.dump(document, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def print_error(message: str) -> None:
    """`error: ...` on standard error; the message is text, not markup."""
    err.print("[bold red]error:[/]", end=" ")
    err.print(hidden(message), markup=False, soft_wrap=True)
