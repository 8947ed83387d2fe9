"""From one generation to another: one write to Redis, after a look at whether anybody would miss something."""

from typing import Any

from stream_app.contracts.generations import Serving
from stream_app.generations import in_kafka, in_redis
from stream_app.generations.errors import GenerationError
from stream_app.settings import Settings

PATIENCE_S = 10.0
"""Who keeps up has read within this time what was there before; less than any handover."""


def promote(settings: Settings, generation: int, now_ms: int, *, force: bool) -> Serving:
    """Let readers read that generation, and it alone publish. Returns what is written in Redis now.

    Raises `GenerationError` with all that speaks against it; with `force` only if no worker of it ever ran. May raise
    `KafkaUnreachableError`, redis.RedisError.
    """
    with in_redis.redis_of(settings) as client:
        before = in_redis.serving(client)
        if before.generation == generation:
            raise GenerationError(f"generation {generation} serves already")
        if not in_redis.has_card(client, generation):
            raise GenerationError(f"no worker of generation {generation} has ever run: {_how_to_build(generation)}")
        found = [] if force else list(_objections(settings, client, before.generation, generation))
        if found:
            raise GenerationError("\n  ".join([f"generation {generation} is not promoted:", *found]))
        after = before.then(generation, now_ms)
        in_redis.point(client, after)
        return after


def roll_back(settings: Settings, now_ms: int) -> Serving:
    """Let readers read the generation that served before this one. Raises as `promote` does."""
    with in_redis.redis_of(settings) as client:
        before = in_redis.serving(client)
        if not before.previous:
            raise GenerationError(f"generation {before.generation} serves, and none did before it")
        if before.previous not in in_kafka.built(settings):
            raise GenerationError(f"generation {before.previous}, which served before, was dropped")
        after = before.then(before.previous, now_ms)
        in_redis.point(client, after)
        return after


def drop(settings: Settings, generation: int, now_ms: int) -> int:
    """Delete a generation's group, state topic and Redis keys; returns how many keys.

    Its model versions stay. Raises `GenerationError` for one that serves, or whose workers run.
    """
    mine = settings.of_generation(generation)
    with in_redis.redis_of(settings) as client:
        serving = in_redis.serving(client)
        if serving.publishes(generation, now_ms, int(settings.kafka.handover_s * 1000)):
            raise GenerationError(f"generation {generation} serves, or did a moment ago: promote another one first")
        if generation not in in_kafka.built(settings) and not in_redis.has_card(client, generation):
            raise GenerationError(f"there is nothing of generation {generation}")
        in_kafka.forget(mine)
        return in_redis.forget(client, generation)


def _objections(settings: Settings, client: Any, old: int, new: int) -> Any:
    for generation in (new, old):
        left = in_kafka.unread_after(settings.of_generation(generation), PATIENCE_S)
        if left:
            yield _lags(generation, left, is_new=generation == new)
    lacking = lacks(client, old, new)
    if lacking:
        yield (
            f"{lacking:,} users whom readers are shown now have no interests in generation {new}: their events are "
            "older than what the topics keep, or it has not read them yet. With --force they are gone for readers "
            "until their next event"
        )


def _lags(generation: int, left: int, *, is_new: bool) -> str:
    late = f"generation {generation} has not read {left:,} events within {PATIENCE_S:.0f} s: "
    if is_new:
        return f"{late}wait until it keeps up, or start more of its workers (interest worker --generation {generation})"
    return (
        f"{late}it serves, and what it has not read when it ends to publish, nobody publishes; start its workers, or "
        "use --force if they are gone for good"
    )


def lacks(client: Any, old: int, new: int) -> int:
    """How many users readers would miss. Raises redis.RedisError."""
    missing = in_redis.users(client, old) - in_redis.users(client, new)
    return len(in_redis.with_interests(client, old, list(missing)))


def _how_to_build(generation: int) -> str:
    return (
        f"interest train --generation {generation}, interest topics create --generation {generation}, interest worker "
        f"--generation {generation}"
    )
