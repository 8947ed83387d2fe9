"""`interest models`."""

from typing import Annotated

import typer

from stream_app.commands.options import ConfigOption, JsonOption, ModelsOption, settings_of
from stream_app.commands.output import out, print_json

app = typer.Typer(no_args_is_help=True, help="List the model versions, serve another one, or go back.")


@app.command("list")
def list_(models: ModelsOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the versions in the model store; the served one is marked."""
    from model_store.registry import ModelRegistry

    url = settings_of(models=models, config=config).models.url
    registry = ModelRegistry(url)
    current = registry.current()
    sizes = {
        version: sum(entry.size for entry in registry.manifest(version).files.values()) for version in registry.list()
    }
    if as_json:
        print_json(
            [{"version": version, "bytes": size, "served": version == current} for version, size in sizes.items()]
        )
        return
    if not sizes:
        out.print(f"no model is published in {url}: interest train", soft_wrap=True)
    for version, size in sizes.items():
        mark = "[green]*[/]" if version == current else " "
        out.print(f"{mark} [bold]{version}[/]  {size / 1e6:.1f} MB{'  served' if version == current else ''}")


@app.command()
def promote(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A version that `interest models list` shows.")],
    models: ModelsOption = None,
    config: ConfigOption = None,
) -> None:
    """Serve this version from now on. Workers take it when they next look or start."""
    from model_store.registry import ModelRegistry

    registry = ModelRegistry(settings_of(models=models, config=config).models.url)
    registry.promote(version)
    out.print(f"serving {version}; back with: interest models roll-back")


@app.command("roll-back")
def roll_back(models: ModelsOption = None, config: ConfigOption = None) -> None:
    """Serve the version that was served before this one."""
    from model_store.registry import ModelRegistry

    registry = ModelRegistry(settings_of(models=models, config=config).models.url)
    out.print(f"serving {registry.roll_back()} again")
