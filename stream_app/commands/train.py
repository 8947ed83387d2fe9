"""`interest train`."""

from dataclasses import replace
from typing import Annotated

import typer

from stream_app.commands.data import ML_100K, load_data
from stream_app.commands.options import ConfigOption, JsonOption, ModelsOption, settings_of
from stream_app.commands.output import err, out, print_json
from stream_app.commands.quiet import native_messages_hidden
from stream_app.contracts.generations import FIRST


def train(
    data: Annotated[str, typer.Option(metavar="FOLDER", help="Folder of a data set; ml-100k is fetched.")] = ML_100K,
    name: Annotated[str | None, typer.Option(help="Which data set, where the folder holds several.")] = None,
    models: ModelsOption = None,
    config: ConfigOption = None,
    version: Annotated[str | None, typer.Option(help="Name of the version; made of data and time by default.")] = None,
    generation: Annotated[
        int | None, typer.Option(min=1, help="Of its states; they must be built anew, so by default a new one.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and dropout.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads for TensorFlow.")] = 1,
    promote: Annotated[bool, typer.Option(help="Let workers serve it once it is published.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Train a model, compare it with popularity and item transitions, publish it, and serve it.

    Examples:

    - `interest train`
    - `interest train --data ./movietweetings --name movietweetings-10k --no-promote`
    """
    settings = settings_of(models=models, config=config)
    interactions = load_data(data, name, settings.data_dir)
    err.print(f"[dim]{interactions.name}: {interactions.terms}[/]", soft_wrap=True)
    with native_messages_hidden():
        from model_store.encoder.runtime import use_threads
        from model_store.registry import ModelRegistry
        from model_store.training.publish import train_and_publish
        from model_store.training.recipes import recipe_for

    use_threads(threads)
    recipe = replace(recipe_for(interactions), seed=seed)
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs)
    registry = ModelRegistry(settings.models.url)
    generation = generation or registry.next_generation()
    made = train_and_publish(
        interactions,
        registry,
        recipe=recipe,
        version=version,
        generation=generation,
        promote=promote,
        console=err if as_json else out,
    )
    if as_json:
        print_json({"version": made, "generation": generation, "models": settings.models.url, "promoted": promote})
        return
    served = f", served from now on by workers of generation {generation}" if promote else ""
    out.print(f"published {made} in {settings.models.url}{served}", soft_wrap=True)
    if generation > FIRST:
        out.print(f"its states are still to be built: interest generations --help (generation {generation})")
