"""Everything there is of every generation."""

from dataclasses import dataclass

from model_store.registry import ModelRegistry
from stream_app.generations import in_kafka, in_redis
from stream_app.settings import Settings


@dataclass(frozen=True, slots=True)
class Generation:
    """One of them.

    Attributes:
        role: `serving`; `before`, to which `roll-back` leads; or `shadow`.
        version: of the model that its workers take, None if none was promoted.
        versions: published of it.
        workers: in its group.
        lag: events that its group has not committed.
        users: in its state topic.
        written_ms: wall clock of the last state written there; 0 if none was.
        topic: whether it has a state topic; without one nothing was built yet, and nothing of the above is known.
    """

    generation: int
    role: str
    version: str | None
    versions: int
    group: str
    topic: bool
    workers: int = 0
    lag: int = 0
    users: int = 0
    written_ms: int = 0


def overview(settings: Settings) -> list[Generation]:
    """By number. The state topics are read whole. May raise `KafkaUnreachableError`, `GenerationError`, `ModelError`,
    redis.RedisError."""
    registry = ModelRegistry(settings.models.url)
    published = [registry.notes(version).generation for version in registry.list()]
    with in_redis.redis_of(settings) as client:
        serving = in_redis.serving(client)
    built = in_kafka.built(settings)
    found = []
    for number in sorted({serving.generation, *published, *built}):
        mine = settings.of_generation(number)
        kafka = _in_kafka(mine) if number in built else {}
        role = {serving.generation: "serving", serving.previous: "before"}.get(number, "shadow")
        found.append(
            Generation(
                generation=number,
                role=role,
                version=registry.current(number),
                versions=published.count(number),
                group=mine.kafka.consumer_group,
                topic=number in built,
                **kafka,
            )
        )
    return found


def _in_kafka(settings: Settings) -> dict[str, int]:
    held = in_kafka.held(settings)
    return {
        "workers": in_kafka.members(settings),
        "lag": in_kafka.lag(settings),
        "users": held.users,
        "written_ms": held.written_ms,
    }
