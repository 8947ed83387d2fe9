"""`interest explain`."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

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
from stream_app.commands.show import titles_of

if TYPE_CHECKING:
    from stream_app.settings import Settings
    from stream_app.words.explainer import Explained
    from stream_app.words.phrases import Language


def explain(
    user: Annotated[str, typer.Argument(metavar="USER", help="User id.")],
    language: Annotated[Literal["en", "zh"], typer.Option("--language", "-l", help="English or Chinese.")] = "en",
    redis: RedisOption = None,
    models: ModelsOption = None,
    generation: GenerationOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell in a short paragraph what a user is interested in, and what it is told from.

    A template words it; with INTEREST_WORDS__MODEL a language model does, within limits. That is told topics, counters,
    titles and reasons, and neither the user's id nor whom they follow. Titles are those that Redis has, else those of
    the served model. Exits with 1 for a user that Redis does not know.

    Examples:

    - `interest explain u42`
    - `interest explain u42 --language zh --json`
    """
    settings = settings_of(redis=redis, models=models, config=config)
    titles = titles_of(for_serving(generation, settings))
    try:
        explained = asyncio.run(_explained(settings, user, language, generation, titles))
    except TimeoutError as problem:
        raise CommandError(f"Redis does not answer within {settings.words.answer_s:g} s") from problem
    if explained is None:
        raise CommandError(f"Redis knows no user {user!r}: no event of theirs was applied, or they were forgotten")
    if as_json:
        print_json(explained.explanation.document())
    else:
        _print(explained, user)


async def _explained(
    settings: "Settings", user: str, language: "Language", generation: int | None, titles: dict[str, str]
) -> "Explained | None":
    from model_store.catalog.annotators.observer import Silent
    from stream_app.words.explainer import explaining

    async with explaining(settings, Silent(), generation, titles) as explainer:
        return await explainer.explain(user, language)


def _print(explained: "Explained", user: str) -> None:
    from stream_app.words.shown import facts_table, paragraph_panel

    out.print(paragraph_panel(explained.explanation, user))
    if explained.facts:
        out.print(facts_table(explained.facts))
