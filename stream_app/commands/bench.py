"""`interest bench`."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

import stream_app
from stream_app.commands.errors import CommandError
from stream_app.commands.output import out, print_json

# What makes a module of the folder a benchmark and not a part of one.
ENTRY = '__name__ == "__main__"'


def bench(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Which one; all of them without it.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the benchmarks and end.")] = False,
) -> None:
    """Run a benchmark on a real Kafka and Redis; every figure of `deploy/docs/figures.md` has one.

    What follows NAME goes to the benchmark, `--json FILE` for example; its own help: `interest bench NAME -- --help`

    Examples:

    - `interest bench --list`
    - `interest bench throughput --events 400000 --users 20000 --json out.json`
    """
    root = repository()
    known = benchmarks(root / "tests" / "bench")
    if listed:
        _print_list(known, as_json="--json" in context.args)
        return
    if name is not None and name not in known:
        raise typer.BadParameter(f"{name} is none of {', '.join(known)}", param_hint="NAME")
    failed = [each for each in ([name] if name else known) if _run(root, each, context.args)]
    if failed:
        raise typer.Exit(1)


def repository() -> Path:
    """The folder that holds `tests/bench`. Raises `CommandError` for an installed package, which has none."""
    root = Path(stream_app.__file__).resolve().parents[1]
    if not (root / "tests" / "bench").is_dir():
        raise CommandError("benchmarks are in the source repository, not in the package: run this from a clone of it")
    return root


def benchmarks(folder: Path) -> dict[str, str]:
    """Names of the benchmarks with what each measures: the modules and packages that can be run."""
    files = {path.stem: path for path in folder.glob("*.py")}
    files |= {path.parent.name: path for path in folder.glob("*/__main__.py")}
    files = {name.replace("_", "-"): path for name, path in files.items()}
    texts = {name: path.read_text() for name, path in sorted(files.items())}
    return {
        name: (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]
        for name, text in texts.items()
        if ENTRY in text or files[name].name == "__main__.py"
    }


def _print_list(known: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json([{"name": name, "measures": measures} for name, measures in known.items()])
        return
    width = max(map(len, known), default=0)
    for name, measures in known.items():
        out.print(f"[bold]{name.ljust(width)}[/]  {measures}", soft_wrap=True)


def _run(root: Path, name: str, arguments: list[str]) -> int:
    module = f"tests.bench.{name.replace('-', '_')}"
    return subprocess.run([sys.executable, "-m", module, *arguments], cwd=root, check=False).returncode
