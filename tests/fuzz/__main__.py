"""Runs targets in a child process each, and counts.

python -m tests.fuzz --seconds 600 --seed 1 --target decode --target codec --json out.json
python -m tests.fuzz --guided --seconds 600
python -m tests.fuzz --target decode --replay FILE
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.fuzz.target import Target
from tests.fuzz.targets import GUIDED, TARGETS

HANG_S = 600.0  # the first batch compiles kernels, maybe on a busy machine
MAX_GROWTH_MIB = 64
FOUND = Path(".interest/fuzz")


@dataclass
class Tally:
    """What became of one target. `finding`: empty if there is none."""

    target: str
    seed: int
    inputs: int = 0
    rejected: int = 0
    seconds: float = 0.0
    rss_start_mib: float = 0.0
    rss_end_mib: float = 0.0
    finding: str = ""


def fuzz(target: Target, seed: int, seconds: float, first: int, progress: Progress) -> Tally:
    """One target in a process of its own."""
    tally, task = Tally(target.name, seed), progress.add_task(target.name, total=None, inputs=0)
    with tempfile.TemporaryDirectory() as folder:
        box = Path(folder) / "batch"
        argv = [sys.executable, "-m", "tests.fuzz.child", target.name, str(seed), f"{seconds}", str(first), str(box)]
        environment = (
            os.environ
            if "NUMBA_BOUNDSCHECK" not in os.environ
            else {**os.environ, "XDG_CACHE_HOME": str((FOUND / "checked").resolve())}
        )
        with (
            (Path(folder) / "errors").open("wb") as errors_file,
            subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=errors_file, text=True, env=environment) as child,
        ):
            watchdog = threading.Timer(seconds + HANG_S, child.kill)
            watchdog.start()
            assert child.stdout is not None
            for line in child.stdout:
                _note(tally, json.loads(line))
                progress.update(task, inputs=tally.inputs)
        watchdog.cancel()
        errors = (Path(folder) / "errors").read_text(errors="replace")
        _conclude(tally, target, child.returncode, errors, box)
    progress.stop_task(task)
    return tally


def _note(tally: Tally, told: dict[str, Any]) -> None:
    tally.inputs, tally.rejected = told.get("inputs", tally.inputs), told.get("rejected", tally.rejected)
    tally.seconds = told.get("seconds", tally.seconds)
    tally.rss_start_mib = told.get("rss_start", 0) / 2**20 or tally.rss_start_mib
    tally.rss_end_mib = told.get("rss_end", 0) / 2**20 or tally.rss_end_mib
    if "finding" in told:
        tally.finding = f"batch {told['finding']}: {told['why']}\n{told['trace']}"


def guide(target: Target, seed: int, seconds: float, progress: Progress) -> Tally:
    """One target by atheris, which counts for itself."""
    tally, task = Tally(target.name, seed), progress.add_task(target.name, total=None, inputs=0)
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "tests.fuzz.guided", target.name, str(seed), f"{seconds:.0f}", folder]
        child = subprocess.run(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=2 * seconds + HANG_S,
        )
        _read(tally, child.stdout)
        if child.returncode:
            tally.finding = f"atheris ended with {child.returncode}\n{child.stdout[-4_000:]}"
            found = Path(folder, "found")
            _keep(tally, target, "guided", found.read_text() if found.exists() else "")
    progress.update(task, inputs=tally.inputs)
    progress.stop_task(task)
    return tally


def _read(tally: Tally, told: str) -> None:
    sizes = [float(one) for one in re.findall(r" rss: (\d+)Mb", told)] or [0.0]
    tally.rss_start_mib, tally.rss_end_mib = sizes[0], sizes[-1]
    tally.inputs = int(*re.findall(r"stat::number_of_executed_units: *(\d+)", told)[-1:])
    rates = re.findall(r"stat::average_exec_per_sec: *(\d+)", told)[-1:]
    tally.seconds = tally.inputs / max(1, int(*rates))


def _conclude(tally: Tally, target: Target, code: int, errors: str, box: Path) -> None:
    number = int.from_bytes(box.read_bytes()[:8], "little") if box.exists() else 0
    if code not in (0, 1) or (code == 1 and not tally.finding):
        tally.finding = f"batch {number}: the process ended with {code}, a crash or a hang\n{errors[-4_000:]}"
    grown = tally.rss_end_mib - tally.rss_start_mib
    if not tally.finding and grown > MAX_GROWTH_MIB:
        tally.finding = f"memory grew by {grown:.0f} MiB"
    if tally.finding:
        smallest = Path(f"{box}.found")
        cases = (
            smallest.read_text()
            if smallest.exists()
            else msgspec.msgpack.encode(target.cases(tally.seed, number)).hex()
        )
        _keep(tally, target, str(number), cases)


def _keep(tally: Tally, target: Target, number: str, cases: str) -> None:
    FOUND.mkdir(parents=True, exist_ok=True)
    kept = FOUND / f"{target.name}-{tally.seed}-{number}.hex"
    kept.write_text(cases)
    tally.finding += f'\nagain: make fuzz ARGS="--target {target.name} --replay {kept}"'


def main(
    seconds: Annotated[float, typer.Option(help="Of all targets together.")] = 60.0,
    seed: int = 1,
    target: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(TARGETS)}; all if not given.")] = None,
    first: Annotated[int, typer.Option(help="Batch to begin with.")] = 0,
    guided: Annotated[bool, typer.Option(help="By coverage, where the reader is written in Python.")] = False,
    replay: Annotated[Path | None, typer.Option(help="Try the cases of this file again.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Fuzz; exit code 1 for any finding."""
    if guided and not find_spec("atheris"):
        raise typer.BadParameter("atheris is not installed: .venv/bin/uv pip install --python .venv/bin/python atheris")
    chosen = [TARGETS[name] for name in target or (GUIDED if guided else TARGETS)]
    if replay is not None:
        with chosen[0].check() as check:
            typer.echo(f"rejected {check(msgspec.msgpack.decode(bytes.fromhex(replay.read_text())))}")
        return
    shares = sum(one.share for one in chosen)
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        TextColumn("{task.fields[inputs]:,} inputs"),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        if guided:
            tallies = [guide(one, seed, seconds / len(chosen), progress) for one in chosen]
        else:
            tallies = [fuzz(one, seed, seconds * one.share / shares, first, progress) for one in chosen]
    console.print(_table(tallies))
    for tally in tallies:
        if tally.finding:
            typer.echo(f"{tally.target}: {tally.finding}")
    typer.echo(f"inputs={sum(one.inputs for one in tallies)} findings={sum(bool(one.finding) for one in tallies)}")
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(one) for one in tallies], indent=1))
    raise typer.Exit(1 if any(one.finding for one in tallies) else 0)


def _table(tallies: list[Tally]) -> Table:
    table = Table("target", "inputs", "inputs/s", "rejected", "RSS start MiB", "RSS end MiB", "finding")
    for one in tallies:
        table.add_row(
            one.target,
            f"{one.inputs:,}",
            f"{one.inputs / one.seconds:,.0f}" if one.seconds else "",
            f"{one.rejected:,}",
            f"{one.rss_start_mib:.0f}",
            f"{one.rss_end_mib:.0f}",
            one.finding.splitlines()[0][:60] if one.finding else "",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
