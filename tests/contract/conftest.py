"""Servers that a test may kill, freeze or starve: one for each such test, beside the shared ones."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis

from stream_app.local import LocalValkey
from stream_app.local.server import free_port
from stream_app.settings import Redis as RedisSettings


class ClusterValkey(LocalValkey):
    """One server that is a whole Redis Cluster: it refuses scripts over keys of two slots."""

    def _argv(self) -> Sequence[str]:
        # The bus's own choice is the port plus 10,000, which need not exist.
        return [*super()._argv(), "--cluster-enabled", "yes", "--cluster-port", str(free_port())]

    def own_all_slots(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)


@pytest.fixture
def own_server(redis_server: LocalValkey, tmp_path: Path) -> Iterator[LocalValkey]:
    """A server of the same kind as `redis_server` for this test alone."""
    with LocalValkey(tmp_path / "own", binary=redis_server._binary) as server:
        yield server


@pytest.fixture
def cluster(redis_server: LocalValkey, tmp_path: Path) -> Iterator[ClusterValkey]:
    """A cluster of the same kind as `redis_server`."""
    with ClusterValkey(tmp_path / "cluster", binary=redis_server._binary) as server:
        server.own_all_slots()
        yield server


@pytest.fixture
def redis_settings(redis_url: str) -> RedisSettings:
    """Settings of the shared server, with little patience."""
    return impatient(redis_url)


def impatient(url: str, **changes: object) -> RedisSettings:
    """Settings that give up within a test's time."""
    return RedisSettings.model_validate({"url": url, "timeout_s": 0.3, "give_up_s": 10.0} | changes)
