"""Tells a person what takes a while: a spinner on a terminal, one line elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def working(what: str) -> Iterator[None]:
    """Shown on standard error for as long as the block runs."""
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(what, soft_wrap=True)
        yield
        return
    with console.status(what):
        yield
