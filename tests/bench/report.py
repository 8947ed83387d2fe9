"""How a benchmark tells what it measured: a table for people, JSON for scripts."""

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table

console = Console()

WIDE = 6
"""Figures that fit side by side."""


def run(main: Callable[..., None]) -> None:
    """`main` as a command line; its module says in the first line what it measures."""
    cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    told = sys.modules[main.__module__].__doc__ or ""
    cli.command(help=told.split("\n")[0])(main)
    cli()


def machine() -> dict[str, object]:
    """On what the figures were taken."""
    return {"cores": len(os.sched_getaffinity(0)), "machine": platform.machine(), "python": platform.python_version()}


def percentiles_ms(seconds: npt.NDArray[np.float64]) -> dict[str, float]:
    """p50, p95, p99 and the maximum of a sample of seconds, in milliseconds."""
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99]) * 1e3
    return {"p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99), "max_ms": float(seconds.max() * 1e3)}


def plain(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Those figures that are one value."""
    return {name: value for name, value in figures.items() if not isinstance(value, dict)}


def show(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table: one line for each row; with many figures one line for each of them, so that it fits a terminal."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(title=title, title_justify="left", show_header=len(names) <= WIDE)
    if len(names) <= WIDE:
        for name in names:
            table.add_column(_words(name), justify="left" if isinstance(rows[0].get(name), str) else "right")
        for row in rows:
            table.add_row(*(_cell(row.get(name, "")) for name in names))
    else:
        table.add_column()
        for _ in rows:
            table.add_column(justify="right")
        for name in names:
            table.add_row(_words(name), *(_cell(row.get(name, "")) for row in rows))
    console.print(table)


def _words(name: str) -> str:
    return name.replace("_", " ").replace("events per second", "events/s").replace("cpu seconds per million", "CPU s/M")


def save(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write the figures, with what they were taken on, where a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**figures, "on": machine()}, indent=1) + "\n")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
