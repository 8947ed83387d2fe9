"""Redis goes away, slows down, takes no writes, fails over, or comes back empty."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import redis

from stream_app.local import LocalValkey
from stream_app.settings import environment
from tests.failure import snapshots
from tests.failure.stage import Stage, fault

MOMENT_S = 4.0
"""Much shorter than the workers' patience."""
COMMAND_S = 180.0
STOPPED_S = 60.0


@fault()
def redis_paused(stage: Stage) -> None:
    """Redis answers nobody for some seconds."""
    stage.redis.pause()
    time.sleep(MOMENT_S)
    stage.redis.resume()


@fault()
def redis_slow(stage: Stage) -> None:
    """Redis runs a tenth of the time."""
    over_s = time.monotonic() + MOMENT_S
    while time.monotonic() < over_s:
        stage.redis.pause()
        time.sleep(0.09)
        stage.redis.resume()
        time.sleep(0.01)


@fault()
def redis_read_only(stage: Stage) -> None:
    """The primary is made a replica of nobody, and a primary again."""
    with _client(stage.redis) as client:
        client.replicaof("127.0.0.1", 1)
        time.sleep(MOMENT_S)
        client.replicaof("NO", "ONE")


@fault()
def redis_full(stage: Stage) -> None:
    """Redis has no memory left, and evicts nothing."""
    with _client(stage.redis) as client:
        client.config_set("maxmemory", 1)
        time.sleep(MOMENT_S)
        client.config_set("maxmemory", 0)


@fault()
def redis_cannot_save(stage: Stage) -> None:
    """Redis takes no writes, since its snapshots fail (MISCONF)."""
    with snapshots.failing(stage.redis):
        time.sleep(MOMENT_S)


@fault()
def redis_cannot_save_for_long(stage: Stage) -> None:
    """The same for longer than workers wait: they stop."""
    stage.leave_alone()
    with snapshots.failing(stage.redis):
        stage.until_all_have_stopped("MISCONF", stage.settings.redis.give_up_s + STOPPED_S)
    stage.start_all()


@fault()
def redis_fails_over(stage: Stage) -> None:
    """A replica takes over with everything; the old primary follows it for a while, and takes over again."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        other = stack.enter_context(LocalValkey(folder / "replica"))
        first, second = (stack.enter_context(_client(server)) for server in (stage.redis, other))
        second.replicaof("127.0.0.1", stage.redis.port)
        _until("replica", lambda: _follows(second))
        first.client_pause(int(MOMENT_S * 1000), all=False)
        time.sleep(MOMENT_S / 8)
        second.replicaof("NO", "ONE")
        first.replicaof("127.0.0.1", other.port)
        first.client_unpause()
        _until("old primary", lambda: _follows(first))
        time.sleep(MOMENT_S / 2)
        first.replicaof("NO", "ONE")


@fault(empties_redis=True)
def redis_killed(stage: Stage) -> None:
    """`kill -9` of Redis, which comes back empty after some seconds, and is refilled."""
    stage.redis.kill()
    time.sleep(MOMENT_S)
    stage.redis.restart()
    _refill(stage)


@fault(empties_redis=True)
def redis_emptied(stage: Stage) -> None:
    """FLUSHALL, and it is refilled."""
    with _client(stage.redis) as client:
        client.flushall()
    _refill(stage)


@fault(exits=True, empties_redis=True)
def redis_away(stage: Stage) -> None:
    """Redis is down for longer than workers wait; it comes back empty, and is refilled."""
    stage.redis.kill()
    time.sleep(stage.settings.redis.give_up_s + MOMENT_S)
    stage.redis.restart()
    _refill(stage)


def _refill(stage: Stage) -> None:
    """As an operator would."""
    argv = [sys.executable, "-m", "stream_app", "rebuild-redis"]
    env = environment(stage.settings, os.environ)
    ended = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    stage.say(ended.stdout.strip())
    if ended.returncode:
        raise AssertionError(f"rebuild-redis ended with {ended.returncode}: {ended.stderr[-1500:]}")


def _follows(client: redis.Redis) -> bool:
    return client.info("replication").get("master_link_status") == "up"


def _until(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + COMMAND_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {COMMAND_S:.0f} s")
        time.sleep(0.05)


def _client(server: LocalValkey) -> redis.Redis:
    return redis.Redis.from_url(server.url)
