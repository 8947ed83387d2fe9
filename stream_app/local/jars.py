"""Apache Kafka's jars, fetched once into the user's cache and found at once ever after."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from tenacity import Retrying, stop_after_attempt, wait_exponential

from stream_app.local.errors import LocalServerError
from stream_app.local.notice import working

# slf4j of the 1.7 line is what this Kafka's own jars are built against.
KAFKA = "org.apache.kafka:kafka_2.13:4.4.0+org.slf4j:slf4j-simple:1.7.36"


def cache_folder() -> Path:
    return platformdirs.user_cache_path("interest-updater") / "kafka"


def kafka_class_path(cache: Path | None = None) -> str:
    """Java class path of the broker. Fetches 46 MB at the first call on a machine.

    Raises `LocalServerError` when they cannot be fetched.
    """
    cache = cache or cache_folder()
    try:
        return class_path(KAFKA, cache, "fetching Apache Kafka (46 MB, kept for the next start)")
    except Exception as problem:
        raise LocalServerError(
            f"Apache Kafka's jars could not be fetched into {cache}: {problem}. "
            "Check the network, or use a broker of yours: --kafka HOST:PORT"
        ) from problem


def class_path(coordinates: str, cache: Path, notice: str) -> str:
    """Java class path of what the coordinates name, with all that it needs. The notice is shown while it is fetched,
    at the first call. Raises whatever the resolver does."""
    with _one_at_a_time(cache):
        return _remembered(coordinates, cache) or _fetched(coordinates, cache, notice)


def _remembered(coordinates: str, cache: Path) -> str | None:
    try:
        known = json.loads((cache / "class-path.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    complete = known.get("coordinates") == coordinates and all(Path(jar).is_file() for jar in known["jars"])
    return ":".join(known["jars"]) if complete else None


def _fetched(coordinates: str, cache: Path, notice: str) -> str:
    with working(notice):
        jars = _resolve(coordinates, cache)
    (cache / "class-path.json").write_text(json.dumps({"coordinates": coordinates, "jars": jars}))
    return ":".join(jars)


def _resolve(coordinates: str, cache: Path) -> list[str]:
    # jgo takes half a second to import, which a warm start need not pay.
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.env import EnvironmentBuilder, LinkStrategy
    from jgo.maven import MavenContext

    # A mirror that the user has set for jgo is honoured.
    repositories = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    maven = MavenContext(repo_cache=cache / "repository", remote_repos=repositories)
    builder = EnvironmentBuilder(maven, cache_dir=cache, link_strategy=LinkStrategy.HARD)
    for attempt in Retrying(stop=stop_after_attempt(3), wait=wait_exponential(max=5), reraise=True):
        with attempt:
            environment = builder.from_endpoint(coordinates)
    return sorted(str(jar) for jar in environment.all_jars)


@contextmanager
def _one_at_a_time(cache: Path) -> Iterator[None]:
    """Two first starts at once fetch once."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
