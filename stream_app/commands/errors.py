"""Which errors a person can mend, and the exit code of each."""

from collections.abc import Mapping
from typing import Any

from stream_app.commands.output import FINDING, STOPPED, USAGE


def explain(problem: Exception) -> tuple[str, int] | None:
    """Message and exit code of an expected error; None for one that is a defect of this program."""
    from pydantic import ValidationError

    if isinstance(problem, ValidationError):
        return _settings_message(problem), USAGE
    if _is_a(problem, "pydantic_settings.exceptions.SettingsError"):
        return f"settings cannot be read: {problem}", USAGE
    if _is_a(problem, "stream_app.contracts.errors.StopWorker"):
        return str(problem), STOPPED
    if any(_is_a(problem, name) for name in MENDABLE):
        return str(problem), FINDING
    if _is_a(problem, "redis.exceptions.RedisError"):
        return _redis_message(problem), FINDING
    return None


# By name, since importing them all to compare would cost a second.
MENDABLE = (
    "stream_app.reaching.KafkaUnreachableError",
    "stream_app.client.errors.LayoutError",
    "stream_app.offsets.OffsetsError",
    "stream_app.rebuild.RebuildError",
    "stream_app.recorded.RecordedError",
    "stream_app.generations.errors.GenerationError",
    "stream_app.replay.ReplayError",
    "stream_app.sources.SourceError",
    "stream_app.local.errors.LocalServerError",
    "stream_app.demo.errors.DemoError",
    "model_store.manifest.ModelError",
    "model_store.catalog.annotators.taxonomy.TaxonomyError",
    "model_store.catalog.errors.MisconfiguredError",
    "model_store.catalog.errors.RefusedError",
    "model_store.catalog.errors.UnavailableError",
    "model_store.training.datasets.DataSetError",
    "model_store.training.fetch.FetchError",
    "stream_app.commands.errors.CommandError",
)


class CommandError(RuntimeError):
    """A command cannot do what was asked. The message says what to do."""


def _is_a(problem: Exception, name: str) -> bool:
    return any(f"{kind.__module__}.{kind.__qualname__}" == name for kind in type(problem).__mro__)


def _redis_message(problem: Exception) -> str:
    from stream_app.access import mend_of_redis

    mend = mend_of_redis(problem, "start it, or name yours with --redis URL or INTEREST_REDIS__URL")
    return f"Redis: {str(problem).rstrip('.')}: {mend}"


def _settings_message(problem: Exception) -> str:
    from pydantic import ValidationError

    assert isinstance(problem, ValidationError)
    found = problem.errors(include_input=False)[:10]
    lines = [f"  {_where(error)}: {_what(error)[:1_000]}" for error in found]
    return "\n".join(["settings (from environment, file or options) are not valid:", *lines])


def _where(error: Mapping[str, Any]) -> str:
    return ".".join(map(str, error["loc"]))[:80]


def _what(error: Mapping[str, Any]) -> str:
    """Of a name that is not known, the one that was probably meant."""
    if error["type"] != "extra_forbidden":
        return str(error["msg"])
    from stream_app.settings import Settings
    from stream_app.variables import nearest, settings_in

    meant = nearest(_where(error), [setting.key for setting in settings_in(Settings)])
    return f"no setting is called so; is {meant} meant?" if meant else "no setting is called so"
