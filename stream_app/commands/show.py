"""`interest show`."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.commands.errors import CommandError
from stream_app.commands.options import (
    ConfigOption,
    GenerationOption,
    JsonOption,
    ModelsOption,
    RedisOption,
    settings_of,
)
from stream_app.commands.output import out, print_json
from stream_app.commands.serving import for_serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.demo.person import Person
    from stream_app.settings import Settings

WATCH_EVERY_S = 0.5


def show(
    user: Annotated[str, typer.Argument(metavar="USER", help="User id.")],
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep looking until Ctrl-C.")] = False,
    redis: RedisOption = None,
    models: ModelsOption = None,
    generation: GenerationOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who a user is now: interests, counters, and the latest recommendations with reasons, as Redis has them.

    Titles come from the served model, where there is one. Exits with 1 for a user that Redis does not know.
    """
    from stream_app.demo.person import read_person, reader_of

    settings = settings_of(redis=redis, models=models, config=config)
    try:
        reader = reader_of(settings, generation)
    except ValueError as problem:
        raise CommandError(f"Redis URL: {problem}") from problem
    with reader:
        person = read_person(reader, user)
        if person is None and not watch:
            raise CommandError(f"Redis knows no user {user!r}: no event of theirs was applied, or they were forgotten")
        if as_json:
            print_json(person.document() if person else None)
        else:
            _print(lambda: read_person(reader, user), titles_of(for_serving(generation, settings)), watch)


def _print(look: "Callable[[], Person | None]", titles: dict[str, str], watch: bool) -> None:
    """Once, or again and again until Ctrl-C."""
    from rich.live import Live

    from stream_app.demo.view import person_panel

    with Live(console=out, auto_refresh=False) as live:
        while True:
            person = look()
            live.update(person_panel(person, titles) if person else "no such user yet", refresh=True)
            if not watch:
                return
            time.sleep(WATCH_EVERY_S)


def titles_of(settings: "Settings") -> dict[str, str]:
    """Titles of the served model's items by id; empty where no model is to be had, since ids do as well."""
    from model_store.catalog.index import ItemIndex
    from model_store.manifest import ModelError
    from stream_app.commands.serving import served_model

    try:
        index = ItemIndex.load(served_model(settings))
    except (ModelError, CommandError, OSError):
        return {}
    return dict(zip(index.item_ids, index.titles, strict=True))
