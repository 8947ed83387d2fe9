"""`interest local`."""

import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from stream_app.commands.errors import CommandError
from stream_app.commands.options import ConfigOption, settings_of
from stream_app.commands.output import out

if TYPE_CHECKING:
    from stream_app.local.server import LocalServer
    from stream_app.settings import Settings

LOOPBACK = ("127.0.0.1", "localhost")


def local(
    config: ConfigOption = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep what they hold for the next start; thrown away at the end without it.")
    ] = False,
) -> None:
    """Keep a Kafka and a Redis (Valkey) running on this machine until Ctrl-C, where the settings say that they are.

    By default that is 127.0.0.1:9092 and 127.0.0.1:6379, where every other command looks for them. For other ports set
    INTEREST_KAFKA__BOOTSTRAP and INTEREST_REDIS__URL; port 0 is any free one.

    Example: `INTEREST_KAFKA__BOOTSTRAP=127.0.0.1:0 INTEREST_REDIS__URL=redis://127.0.0.1:0/0 interest local`
    """
    settings = settings_of(config=config)
    kafka_port, redis_port = _ports(settings)
    from stream_app.local import LocalKafka, LocalValkey
    from stream_app.local.notice import working

    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    folder: Path = settings.data_dir / "local"
    with ExitStack() as servers:
        with working("starting Kafka and Valkey"):
            kafka = servers.enter_context(LocalKafka(folder / "kafka", kafka_port, keep=keep))
            redis = servers.enter_context(LocalValkey(folder / "redis", redis_port, keep=keep))
        out.print(f"Kafka at {kafka.bootstrap}, Redis at {redis.url}; Ctrl-C ends both", soft_wrap=True)
        if not (kafka_port and redis_port):
            out.print("so that other commands find them:", style="dim")
        out.print(f"export INTEREST_KAFKA__BOOTSTRAP={kafka.bootstrap} INTEREST_REDIS__URL={redis.url}", soft_wrap=True)
        try:
            _until_one_ends(ended, kafka, redis)
        except KeyboardInterrupt:
            out.print("ending both")


def _ports(settings: "Settings") -> tuple[int, int]:
    """Of Kafka and Redis. Raises `CommandError` for servers that are on another machine, or want a password."""
    kafka, redis = urlsplit(f"//{settings.kafka.bootstrap}"), urlsplit(settings.redis.url.get_secret_value())
    for name, variable, where in (
        ("Kafka", "INTEREST_KAFKA__BOOTSTRAP=127.0.0.1:9092", kafka),
        ("Redis", "INTEREST_REDIS__URL=redis://127.0.0.1:6379/0", redis),
    ):
        if where.hostname not in LOOPBACK or "," in where.netloc:
            raise CommandError(f"the settings have {name} at {where.hostname}, not on this machine: set {variable}")
    if settings.kafka.security.protocol != "PLAINTEXT" or redis.scheme != "redis" or redis.password:
        raise CommandError("the settings ask for TLS or a password, and local servers have neither")
    return _port(kafka.port, 9092), _port(redis.port, 6379)


def _port(given: int | None, usual: int) -> int:
    return usual if given is None else given


def _until_one_ends(ended: threading.Event, *servers: "LocalServer") -> None:
    while not ended.wait(0.5):
        for server in servers:
            if not server.running:
                raise CommandError(f"{server.name} has ended; the end of its log is in {server.log}")
