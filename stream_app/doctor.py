"""Is everything that a worker needs there and right? One answer a question, each with what to do."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stream_app import topics
from stream_app.contracts.generations import FIRST
from stream_app.reaching import KafkaUnreachableError
from stream_app.settings import Settings

# Event times further ahead than the settings allow are dead letters: a clock must be far better than that.
MAX_CLOCK_S = 1.0
TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Check:
    """One question and its answer. `ok` None: could not be asked, because of an earlier finding."""

    name: str
    ok: bool | None
    detail: str
    mend: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """All checks, in the order in which to mend them. Takes at most some seconds for each server that is away."""
    yield from _kafka(settings)
    yield from _redis(settings)
    yield from _model(settings)


def _kafka(settings: Settings) -> Iterator[Check]:
    where = settings.kafka.bootstrap
    try:
        with topics.administration(settings) as admin:
            brokers = len(admin.describe_cluster()["brokers"])
        findings = topics.check(settings)
    except KafkaUnreachableError as problem:
        yield Check("Kafka reachable", False, str(problem).rpartition(": ")[0], _mend_of(problem))
        for name in ("topics exist", "partition counts", "topic configurations"):
            yield Check(name, None, "not asked: Kafka is not reachable")
        return
    yield Check("Kafka reachable", True, f"{where}, {brokers} broker{'s' if brokers > 1 else ''}")
    missing = [finding for finding in findings if "does not exist" in finding.problem]
    counts = [finding for finding in findings if "partition count" in finding.problem]
    others = [finding for finding in findings if finding not in [*missing, *counts]]
    so_far = ", of those that exist" if missing else ""
    yield _topic_check("topics exist", missing, "all are there")
    yield _topic_check("partition counts", counts, f"{settings.kafka.partitions} everywhere{so_far}")
    yield _topic_check("topic configurations", others, f"as they must be{so_far}")


def _topic_check(name: str, findings: list[topics.Finding], fine: str) -> Check:
    if not findings:
        return Check(name, True, fine)
    detail = "; ".join(f"{', '.join(finding.topics)}: {finding.problem}" for finding in findings)
    return Check(name, False, detail, "; ".join(dict.fromkeys(finding.mend for finding in findings)))


def _redis(settings: Settings) -> Iterator[Check]:
    import redis

    from stream_app.access import mend_of_redis, redis_options
    from stream_app.logs import masked
    from stream_app.masking import hidden

    url = settings.redis.url.get_secret_value()
    where = masked(url)
    try:
        options = redis_options(settings.redis)
        client = redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, **options)
    except ValueError as problem:
        yield Check("Redis reachable", False, f"{where}: {problem}", "a URL like redis://HOST:6379/0")
        yield Check("clock", None, "not asked: Redis is not reachable")
        return
    try:
        before = time.time()
        server_s = _redis_time(client)
        after = time.time()
    except redis.RedisError as problem:
        mend = mend_of_redis(problem, "start it, or name yours with --redis URL or INTEREST_REDIS__URL")
        yield Check("Redis reachable", False, f"{where}: {hidden(str(problem))}", mend)
        yield Check("clock", None, "not asked: Redis is not reachable")
        return
    finally:
        client.close()
    yield Check("Redis reachable", True, f"{where}{', over TLS' if settings.redis.encrypted else ''}")
    yield judge_clock(server_s, before, after)


def _redis_time(client: "redis.Redis") -> float:  # type: ignore[name-defined]  # noqa: F821  # imported where used
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1e6


def judge_clock(server_s: float, before_s: float, after_s: float) -> Check:
    """Compare a server's clock with ours, read before and after asking. Unix seconds."""
    off = max(before_s - server_s, server_s - after_s, 0.0)
    if off <= MAX_CLOCK_S:
        return Check("clock", True, f"within {max(off, after_s - before_s):.3f} s of Redis's")
    return Check(
        "clock",
        False,
        f"{off:.1f} s away from Redis's: latencies lie, and events look as if they came from the future",
        "keep all machines' clocks right with NTP (chrony, systemd-timesyncd)",
    )


def _model(settings: Settings) -> Iterator[Check]:
    from model_store.manifest import ModelError
    from model_store.registry import ModelRegistry

    registry = ModelRegistry(settings.models.url)
    try:
        generation = settings.kafka.generation
        version = registry.current(generation)
        if version is None:
            of = f" of generation {generation}" if generation > FIRST else ""
            mend = f"interest train{f' --generation {generation}' if of else ''}"
            yield Check("model", False, f"none{of} is promoted in {settings.models.url}", mend)
            return
        with tempfile.TemporaryDirectory(prefix="interest-doctor-") as scratch:
            registry.fetch(version, Path(scratch) / version)
    except (ModelError, OSError, ImportError) as problem:
        mend = "publish it again (interest train), or interest models roll-back"
        yield Check("model", False, f"{settings.models.url}: {problem}", mend)
        return
    yield Check("model", True, f"{version} in {settings.models.url}, checksums match")


def _mend_of(problem: Exception) -> str:
    """What an error's message asks for: the part after its colon."""
    return str(problem).rpartition(": ")[2]
