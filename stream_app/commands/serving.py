"""The model that a command computes with, and what must be so before it does."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stream_app.commands.errors import CommandError
from stream_app.commands.quiet import native_messages_hidden
from stream_app.contracts.generations import FIRST

if TYPE_CHECKING:
    from model_store.model import InterestModel
    from stream_app.settings import Settings


def ready_model(settings: "Settings") -> "InterestModel":
    """The served model, loaded, once logs and topics are as they must be.

    Raises `CommandError`, `KafkaUnreachableError`, `ModelError`.
    """
    # OpenBLAS reads it when numpy is loaded, which the next lines do, and would take every core of the machine for each
    # matrix product: its threads wait for each other by spinning.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(settings.models.threads))
    from stream_app import logs
    from stream_app.signals import process_name

    logs.configure(
        settings.log,
        worker=process_name(),
        group=settings.kafka.consumer_group,
        generation=settings.kafka.generation,
    )
    require_topics(settings)
    folder = served_model(settings)
    with native_messages_hidden():
        from model_store.encoder.runtime import use_threads
        from model_store.model import load_model

        use_threads(settings.models.threads)
        model = load_model(folder)  # TensorFlow Lite greets too
    require_generation(settings, model)
    return model


def require_generation(settings: "Settings", model: "InterestModel") -> None:
    """Raises `CommandError` for a model that reads other states than these workers have."""
    mine, theirs = settings.kafka.generation, model.generation
    if theirs != mine:
        raise CommandError(
            f"model {model.version} is of generation {theirs}, and the states of {settings.kafka.consumer_group} are of"
            f" generation {mine}: it cannot read them. Build that generation beside this one (interest worker "
            f"--generation {theirs}), or promote a version of this one (interest models list)"
        )


def for_serving(generation: int | None, settings: "Settings") -> "Settings":
    """The settings of a generation's workers; without one of the generation that serves, where Redis tells which."""
    from redis import RedisError

    from stream_app.generations.errors import GenerationError
    from stream_app.generations.in_redis import redis_of, serving

    if generation is None and settings.kafka.generation == FIRST:
        with suppress(RedisError, GenerationError, ValueError), redis_of(settings) as client:
            generation = serving(client).generation
    return settings if generation is None else settings.of_generation(generation)


def require_topics(settings: "Settings") -> None:
    """A user's events and state must meet in one partition. Raises `CommandError`, `KafkaUnreachableError`."""
    from stream_app import topics

    wrong = [finding for finding in topics.check(settings) if finding.stops]
    if wrong:
        lines = [f"{', '.join(finding.topics)}: {finding.problem}; mend: {finding.mend}" for finding in wrong]
        raise CommandError("the topics are not as they must be\n" + "\n".join(lines))


def served_version(settings: "Settings", generation: int) -> str | None:
    """Which version of a generation the store serves; None where there is none. Raises `ModelError`."""
    from model_store.registry import ModelRegistry

    return ModelRegistry(settings.models.url).current(generation)


def served_model(settings: "Settings") -> Path:
    """A local copy of the model version that is served, checksums compared. Raises `CommandError`, `ModelError`."""
    generation = settings.kafka.generation
    version = served_version(settings, generation)
    if version is None:
        raise CommandError(
            f"no model of generation {generation} is served in {settings.models.url}: train one (interest train "
            f"--generation {generation}), or name your store with --models"
        )
    return version_folder(settings, version)


def version_folder(settings: "Settings", version: str) -> Path:
    """A local copy of a model version, checksums compared. Raises `CommandError`, `ModelError`."""
    from model_store.registry import ModelRegistry

    folder = settings.local_copies / version
    try:
        return ModelRegistry(settings.models.url).fetch(version, folder)
    except OSError as problem:
        raise CommandError(
            f"model {version} cannot be copied from {settings.models.url} to {folder} ({problem}): check that the "
            "store can be read, and give INTEREST_DATA_DIR a folder that may be written to and has room"
        ) from problem
