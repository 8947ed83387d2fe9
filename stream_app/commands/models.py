"""`interest models`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_app.commands.options import ConfigOption, GenerationOption, JsonOption, ModelsOption, settings_of
from stream_app.commands.output import out, print_json
from stream_app.contracts.generations import FIRST

if TYPE_CHECKING:
    from model_store.registry import ModelRegistry

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "List the model versions, see what one is, serve another one, or go back.\n\n"
        "Versions of one generation read the same states; other states are another generation: `interest generations`."
    ),
)


@app.command("list")
def list_(models: ModelsOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the versions in the model store; the one that its generation's workers serve is marked."""
    from model_store.registry import ModelRegistry

    url = settings_of(models=models, config=config).models.url
    registry = ModelRegistry(url)
    found = [_entry(registry, version) for version in registry.list()]
    if as_json:
        print_json(found)
        return
    if not found:
        out.print(f"no model is published in {url}: interest train", soft_wrap=True)
    for one in found:
        mark, served = ("[green]*[/]", "  served") if one["served"] else (" ", "")
        out.print(
            f"{mark} [bold]{one['version']}[/]  generation {one['generation']}  {one['bytes'] / 1e6:.1f} MB"
            f"{_over(one)}{served}"
        )


@app.command()
def show(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="One of the list; without it the one that is served.")
    ] = None,
    models: ModelsOption = None,
    generation: GenerationOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a version was made of: data, topics, encoder, half-lives, and how it ranked when it was tested."""
    from model_store.registry import ModelRegistry
    from stream_app.commands.errors import CommandError
    from stream_app.commands.model_notes import notes_of, table_of

    settings = settings_of(models=models, generation=generation, config=config)
    registry = ModelRegistry(settings.models.url)
    chosen = version or registry.current(settings.kafka.generation)
    if chosen is None:
        raise CommandError(f"{settings.models.url} serves no model: interest models list, or interest train")
    notes = notes_of(chosen, registry.fetch(chosen, settings.local_copies / chosen))
    if as_json:
        print_json(notes)
    else:
        out.print(table_of(notes))


def _entry(registry: "ModelRegistry", version: str) -> dict[str, Any]:
    generation, manifest = registry.notes(version).generation, registry.manifest(version)
    return {
        "version": version,
        "generation": generation,
        "bytes": sum(entry.size for entry in manifest.files.values()),
        "stored_bytes": manifest.stored(),
        "base": manifest.base or None,
        "served": version == registry.current(generation),
    }


def _over(one: dict[str, Any]) -> str:
    return f", {one['stored_bytes'] / 1e6:.1f} MB over {one['base']}" if one["base"] else ""


@app.command()
def promote(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A version that `interest models list` shows.")],
    models: ModelsOption = None,
    config: ConfigOption = None,
) -> None:
    """Let the workers of its generation serve this version. They take it when they next look or start."""
    from model_store.registry import ModelRegistry

    registry = ModelRegistry(settings_of(models=models, config=config).models.url)
    registry.promote(version)
    out.print(f"serving {version}; back with: interest models roll-back")


@app.command("roll-back")
def roll_back(models: ModelsOption = None, generation: GenerationOption = None, config: ConfigOption = None) -> None:
    """Serve the version that was served before this one; say of which generation, where there are several."""
    from model_store.registry import ModelRegistry

    settings = settings_of(models=models, config=config)
    registry = ModelRegistry(settings.models.url)
    served = registry.generations()
    if generation is None and len(served) > 1:
        raise typer.BadParameter(
            f"generations {', '.join(map(str, served))} each serve a version", param_hint="--generation"
        )
    out.print(f"serving {registry.roll_back(generation or next(iter(served), FIRST))} again")
