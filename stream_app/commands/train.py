"""`interest train`."""

import time
from dataclasses import replace
from typing import Annotated

import typer

from stream_app.commands.data import ML_100K, FieldOption, KindOption, NameOption, SourceArgument, interactions_of
from stream_app.commands.errors import CommandError
from stream_app.commands.options import ConfigOption, JsonOption, KafkaOption, ModelsOption, settings_of
from stream_app.commands.output import err, out, print_json
from stream_app.commands.quiet import native_messages_hidden
from stream_app.commands.serving import served_version
from stream_app.contracts.generations import FIRST


def train(
    source: SourceArgument = ML_100K,
    name: NameOption = None,
    field: FieldOption = None,
    kind: KindOption = None,
    kafka: KafkaOption = None,
    models: ModelsOption = None,
    config: ConfigOption = None,
    version: Annotated[str | None, typer.Option(help="Name of the version; made of data and time by default.")] = None,
    generation: Annotated[
        int | None, typer.Option(min=1, help="Of its states; they must be built anew, so by default a new one.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data.")] = None,
    interests: Annotated[
        int | None, typer.Option(min=1, max=8, help="How many interests of a user are told apart.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="What reads the items' texts, as the catalogue service has it: hashing, sentence, multilingual or"
            " endpoint. By default the items' topics are their content.",
        ),
    ] = None,
    context: Annotated[
        bool, typer.Option("--context", help="States keep when and where users click: hour, weekday and region.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and dropout.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads for TensorFlow.")] = 1,
    promote: Annotated[bool, typer.Option(help="Let workers serve it once it is published.")] = True,
    unless_served: Annotated[
        bool, typer.Option("--unless-served", help="Do nothing where the store serves a version of this generation.")
    ] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Begin again where a stopped training could go on.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a model, compare it with popularity and item transitions, publish it, and serve it.

    A training that was stopped, by a signal or a crash, goes on where it was a minute ago at most when it is asked for
    again with the same data, recipe and seed. What the topics hold is the same data until the next event.

    Examples:

    - `interest train`
    - `interest train ./movietweetings --name movietweetings-10k --no-promote`
    - `interest train events.jsonl`
    - `interest train ./movietweetings --encoder sentence`
    - `interest train shop --unless-served`
    - `INTEREST_TRAINING__CONTENT_HALF_LIFE_S=21600 interest train FOLDER`
    - `interest train kafka --kafka kafka:9092 --models s3://bucket/models`
    """
    settings = settings_of(
        kafka=kafka, models=models, config=config, catalog={"encoder": {"kind": encoder} if encoder else None}
    )
    if unless_served and (served := served_version(settings, generation or settings.kafka.generation)):
        err.print(f"{settings.models.url} serves {served} already: nothing is trained", soft_wrap=True)
        return
    from stream_app.event_files import shape_of

    interactions = interactions_of(source, name, settings, shape_of(field or [], kind))
    with native_messages_hidden():
        from model_store.catalog.encoders.build import build_encoder
        from model_store.encoder.runtime import use_threads
        from model_store.registry import ModelRegistry
        from model_store.training.checkpoints import Checkpoints, Stopped, fingerprint, remove_abandoned
        from model_store.training.evaluate import HELD_OUT
        from model_store.training.publish import content_with_progress, train_and_publish
        from model_store.training.recipes import recipe_for, with_context

    if not (interactions.from_last() >= HELD_OUT).any():
        raise CommandError(f"nobody in {interactions.name} has more than {HELD_OUT} interactions: those are held out")
    if context and interactions.times != "recorded":
        raise CommandError(f"the times of {interactions.name} are {interactions.times}: train it without --context")
    use_threads(threads)
    recipe = replace(recipe_for(interactions), seed=seed)
    recipe = replace(recipe, decays=settings.training.half_lives(recipe.decays))
    recipe = replace(recipe, epochs=epochs or recipe.epochs, interests=interests or recipe.interests)
    recipe = with_context(recipe) if context else recipe
    registry = ModelRegistry(settings.models.url)
    generation = generation or registry.next_generation()
    kept_in = settings.data_dir / "training"
    remove_abandoned(kept_in, time.time())
    console, content = err if as_json else out, None
    if encoder:
        from stream_app.catalog.configs import encoder_config

        content = content_with_progress(interactions, build_encoder(encoder_config(settings.catalog.encoder)), console)
    mine = kept_in / fingerprint(interactions, recipe, content)
    checkpoints = Checkpoints(mine, lambda text: err.print(text, markup=False, soft_wrap=True), time.monotonic())
    if anew:
        checkpoints.remove()
    try:
        made = train_and_publish(
            interactions,
            registry,
            recipe=recipe,
            version=version,
            generation=generation,
            promote=promote,
            console=console,
            checkpoints=checkpoints,
            content=content,
        )
    except Stopped as stopped:
        err.print(str(stopped), markup=False, soft_wrap=True)
        raise typer.Exit(128 + stopped.signal_number) from None
    if as_json:
        print_json({"version": made, "generation": generation, "models": settings.models.url, "promoted": promote})
        return
    served = f", served from now on by workers of generation {generation}" if promote else ""
    out.print(f"published {made} in {settings.models.url}{served}", soft_wrap=True)
    if generation > FIRST:
        out.print(f"its states are still to be built: interest generations --help (generation {generation})")
