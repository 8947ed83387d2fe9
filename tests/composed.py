"""The services of `deploy/compose.yaml` as processes of this machine: what a container would be given, without one.

`docker-compose config` says what each service is; names of other services become addresses of servers that run here,
ports become free ones, and what is mounted becomes folders.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from stream_app.local import LeashedProcess
from stream_app.local.server import free_port
from tests.failure.service import wait_for

DEPLOY = Path(__file__).parents[1] / "deploy"
COMPOSE = Path(sys.executable).with_name("docker-compose")
HEALTHY = "service_healthy"
START_S = 300.0
SECRETS = "/run/secrets"

Service = Mapping[str, Any]


def services(*profiles: str, env_file: Path | None = None) -> dict[str, Service]:
    """As the real compose understands the file, variables filled in."""
    found: dict[str, Service] = config(*profiles, env_file=env_file)["services"]
    return found


@cache
def config(*profiles: str, env_file: Path | None = None) -> dict[str, Any]:
    """The whole document."""
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    env = ["--env-file", str(env_file or os.devnull)]
    argv = [str(COMPOSE), *env, "-f", str(DEPLOY / "compose.yaml"), *chosen, "config", "--format", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def is_ours(service: Service) -> bool:
    """Whether it runs the image that this repository builds."""
    return str(service["image"]).startswith("interest-updater")


def is_one_shot(service: Service) -> bool:
    """Whether it does something and ends: what serves has a healthcheck."""
    return "test" not in service["healthcheck"]


@dataclass
class Here:
    """This machine as the services' network, disks and secrets.

    `hosts`: `name:port` in the file -> where that is here. `secrets`: folder of the files of `secrets.sh`.
    """

    folder: Path
    secrets: Path
    hosts: dict[str, str]
    processes: dict[str, LeashedProcess] = field(default_factory=dict)
    ports: dict[tuple[str, str], int] = field(default_factory=dict)

    def port(self, name: str, inside: str) -> int:
        """A free one for a port of a service, always the same."""
        return self.ports.setdefault((name, inside), free_port())

    def start(self, name: str, service: Service, *more: str) -> LeashedProcess:
        """The service's command, with its environment and nothing else of ours."""
        argv = [sys.executable, "-m", "stream_app", *map(str, service["command"]), *more]
        env = {**_around(), **self.environment(name, service)}
        self.processes[name] = LeashedProcess(argv, self.folder / f"{name}.log", env)
        return self.processes[name]

    def run(self, name: str, service: Service, *more: str, limit_s: float = START_S) -> str:
        """One that ends; returns what it said. Raises AssertionError if it fails."""
        process = self.start(name, service, *more)
        code = process.wait(limit_s)
        assert code == 0, f"{name} ended with {code}:\n{process.log_tail(30)}"
        return process.log.read_text()

    def healthy(self, name: str, service: Service) -> bool:
        """The service's own healthcheck, asked once."""
        process = self.processes[name]
        assert process.running, f"{name} ended with {process.exit_code()}:\n{process.log_tail(30)}"
        how, program, place = service["healthcheck"]["test"]
        assert (how, program) == ("CMD", "healthy")
        inside, _, page = place.partition("/")
        script = [sys.executable, str(DEPLOY / "docker" / "healthy.py"), f"{self.port(name, inside)}/{page}"]
        return subprocess.run(script, capture_output=True, check=False).returncode == 0

    def wait_healthy(self, name: str, service: Service) -> None:
        wait_for(f"health of {name}", lambda: self.healthy(name, service) or None, START_S)

    def up(self, every: Mapping[str, Service], more: Mapping[str, Sequence[str]]) -> None:
        """All that run our image, each as soon as what it depends on is as it asks; `more`: arguments beside the
        file's."""
        ours = {name: service for name, service in every.items() if is_ours(service)}
        for name in in_order(ours):
            for other, asked in (ours[name].get("depends_on") or {}).items():
                if other in ours and asked["condition"] == HEALTHY:
                    self.wait_healthy(other, ours[other])
            if is_one_shot(ours[name]):
                self.run(name, ours[name], *more.get(name, ()))
            else:
                self.start(name, ours[name])
        for name in self.processes:
            if not is_one_shot(ours[name]):
                self.wait_healthy(name, ours[name])

    def environment(self, name: str, service: Service) -> dict[str, str]:
        """As the file has it, with what is elsewhere here."""
        given = {key: self._here(name, value) for key, value in (service["environment"] or {}).items()}
        ports = {"INTEREST_METRICS__PORT": "9108", "INTEREST_WEB__PORT": "9180"}
        return {
            **given,
            **{key: str(self.port(name, inside)) for key, inside in ports.items()},
            "INTEREST_METRICS__HOST": "127.0.0.1",
        }

    def stop(self) -> dict[str, int]:
        """Ends all as compose would; exit statuses of those that ran."""
        return {name: one.stop(START_S) for name, one in reversed(list(self.processes.items())) if one.running}

    def _here(self, name: str, value: str) -> str:
        if value == SECRETS:
            return str(self._secrets_of(name))
        for there, here in self.hosts.items():
            value = value.replace(there, here)
        for mounted in ("/var/lib/interest", "/tmp/interest"):
            if value.startswith(mounted):
                shared = value.startswith("/var/lib/interest/models")
                return f"{self.folder}/{'shared' if shared else name}{value.removeprefix(mounted)}"
        return "127.0.0.1" if value == "0.0.0.0" else value

    def _secrets_of(self, name: str) -> Path:
        """A folder as it would be mounted: just this service's secrets, each under its target's name."""
        folder = self.folder / f"{name}-secrets"
        folder.mkdir(exist_ok=True)
        for one in services("demo")[name]["secrets"]:
            file = self.secrets / Path(config()["secrets"][one["source"]]["file"]).name
            (folder / Path(one["target"]).name).write_bytes(file.read_bytes())
        return folder


def _around() -> dict[str, str]:
    """What a process needs of this machine: not the settings of whoever runs the test."""
    return {name: value for name, value in os.environ.items() if not name.startswith("INTEREST_")}


def in_order(found: Mapping[str, Service]) -> Iterator[str]:
    """Names, each after those that it depends on."""
    done: list[str] = []
    while len(done) < len(found):
        ready = [n for n in found if n not in done and set(found[n].get("depends_on") or {}) & set(found) <= set(done)]
        assert ready, f"the services {set(found) - set(done)} wait for each other"
        done += ready
        yield from ready
