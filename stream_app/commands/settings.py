"""`interest settings`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.commands.options import ConfigOption, JsonOption, settings_of
from stream_app.commands.output import out, print_json
from stream_app.masking import hidden

if TYPE_CHECKING:
    from stream_app.handbook import Effective


def settings(
    config: ConfigOption = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not the default.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Write the page that documents all settings, and look at no values.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every setting that is in force, and whether default, file, secrets' folder or environment gave it.

    Secrets are masked. A variable that is no setting is an error, here as in every other command.

    Examples:

    - `interest settings --changed`
    - `interest settings --config mine.toml`
    """
    from stream_app.handbook import effective, page

    if markdown:
        sys.stdout.write(page())
        return
    found = [one for one in effective(settings_of(config=config)) if not changed or one.origin != "default"]
    if as_json:
        print_json({one.setting.key: {"value": hidden(one.value), "from": one.origin} for one in found})
        return
    _print(found)


def _print(found: "list[Effective]") -> None:
    from rich.table import Table

    if not found:
        out.print("every setting is the default")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("setting", "value", "from"):
        table.add_column(title, overflow="fold")
    for one in found:
        style = None if one.origin == "default" else "bold"
        table.add_row(one.setting.key, hidden(one.value), one.origin, style=style)
    out.print(table, markup=False)
