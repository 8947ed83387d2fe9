"""`interest contracts`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.commands.errors import CommandError
from stream_app.commands.options import ConfigOption, settings_of
from stream_app.commands.output import FINDING, out

if TYPE_CHECKING:
    from stream_app.settings import Settings

ASYNCAPI = "asyncapi.yaml"


def contracts(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write.")] = Path("deploy/contracts"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 if the files are others.")] = False,
    allow_breaking: Annotated[
        bool, typer.Option("--allow-breaking", help="Also where producers or readers of what is there break.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Write what the topics carry: a JSON Schema for each, and one AsyncAPI document with all.

    Topic names and limits are those of the settings. Files that are there are not replaced by ones that break their
    producers or readers, unless the contracts' version is another.

    Examples:

    - `interest contracts my-contracts`
    - `interest contracts --check`
    """
    files = texts(settings_of(config=config))
    if check:
        _compare(folder, files)
        return
    broken = broken_by(files, folder)
    if broken and not allow_breaking:
        raise CommandError(
            "\n  ".join([f"{folder} is left as it is, since this breaks:", *broken])
            + "\nRaise VERSION in stream_app/contracts/schemas.py, or leave the old form valid"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    out.print(f"{len(files)} files in {folder}", markup=False)


def texts(settings: "Settings") -> dict[str, str]:
    """File name -> text."""
    from stream_app import topics
    from stream_app.contracts.asyncapi import as_yaml, document
    from stream_app.contracts.schemas import contracts as all_of_them
    from stream_app.intake import limits_of

    known = all_of_them(limits_of(settings))
    named = settings.kafka.topics.model_dump()
    names = {one.name: named[one.name.replace("-", "_")] for one in known}
    configs = {topic.name: topic.configs for topic in topics.wanted(settings)}
    schemas = {file_of(one.name): _as_json(one.schema) for one in known}
    return {**schemas, ASYNCAPI: as_yaml(document(known, names, configs))}


def file_of(contract: str) -> str:
    """The schema's file."""
    return f"{contract}.schema.json"


def broken_by(files: Mapping[str, str], folder: Path) -> list[str]:
    """What in the new files breaks who goes by those in the folder. Files that are no schemas break nobody."""
    olds = {name: path.read_text() for name in files if (path := folder / name).is_file()}
    return broken_between(olds, files)


def broken_between(olds: Mapping[str, str], news: Mapping[str, str]) -> list[str]:
    """The same of two sets of files; schemas of another version break nobody."""
    from stream_app.contracts.compatibility import breaking_changes, version_of
    from stream_app.contracts.schemas import FLOWS

    broken = []
    for contract, flow in FLOWS.items():
        name = file_of(contract)
        if name not in olds:
            continue
        old, new = json.loads(olds[name]), json.loads(news[name])
        if version_of(old) == version_of(new):
            broken += [f"{name} {what}" for what in breaking_changes(old, new, flow)]
    return broken


def _compare(folder: Path, files: Mapping[str, str]) -> None:
    differing = [name for name, text in files.items() if not _is(folder / name, text)]
    strays = sorted({path.name for path in folder.glob("*.schema.json")} - files.keys())
    for name in [*differing, *strays]:
        out.print(f"{folder / name} is not what the code says", markup=False, soft_wrap=True)
    if differing or strays:
        out.print("write them with: interest contracts", markup=False)
        raise typer.Exit(FINDING)
    out.print(f"{len(files)} files in {folder} are what the code says", markup=False)


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _as_json(schema: Mapping[str, object]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
