"""`interest show`."""

import time
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
import typer

from stream_app.commands.errors import CommandError
from stream_app.commands.options import ConfigOption, JsonOption, ModelsOption, RedisOption, settings_of
from stream_app.commands.output import out, print_json

WATCH_EVERY_S = 0.5


def show(
    user: Annotated[str, typer.Argument(metavar="USER", help="User id.")],
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep looking until Ctrl-C.")] = False,
    redis: RedisOption = None,
    models: ModelsOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who a user is now: interests, counters, and the latest recommendations with reasons, as Redis has them.

    Titles come from the served model, where there is one. Exits with 1 for a user that Redis does not know.
    """
    import redis as redis_py

    from stream_app.demo.person import read_person

    settings = settings_of(redis=redis, models=models, config=config)
    url = settings.redis.url.get_secret_value()
    try:
        client = redis_py.Redis.from_url(url, socket_timeout=settings.redis.timeout_s)
    except ValueError as problem:
        raise CommandError(f"Redis URL: {problem}") from problem
    with client:
        person = read_person(client, user)
        if person is None and not watch:
            raise CommandError(f"Redis knows no user {user!r}: no event of theirs was applied, or they were forgotten")
        if as_json:
            print_json(msgspec.to_builtins(asdict(person)) if person else None)
            return
        titles = titles_of(settings)
        if watch:
            _watch(lambda: read_person(client, user), user, titles)
        elif person is not None:
            from stream_app.demo.view import person_panel

            out.print(person_panel(person, titles))


def _watch(look: Any, user: str, titles: dict[str, str]) -> None:
    from rich.live import Live

    from stream_app.demo.view import person_panel

    with Live(console=out, auto_refresh=False) as live:
        while True:
            person = look()
            live.update(person_panel(person, titles) if person else f"no user {user!r} yet", refresh=True)
            time.sleep(WATCH_EVERY_S)


def titles_of(settings: Any) -> dict[str, str]:
    """Titles of the served model's items by id; empty where no model is to be had, since ids do as well."""
    from model_store.catalog.index import ItemIndex
    from model_store.manifest import ModelError
    from stream_app.commands.worker import served_model

    try:
        index = ItemIndex.load(served_model(settings))
    except (ModelError, CommandError, OSError):
        return {}
    return dict(zip(index.item_ids, index.titles, strict=True))
