"""What the files under `deploy/` give to a process of ours, and whether it would take it."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel, SecretStr

from stream_app import cli
from stream_app.settings import PREFIX, Settings, load

DEPLOY = Path(__file__).parents[1] / "deploy"
NO_SETTINGS = {"INTEREST_CONFIG", "INTEREST_SECRETS", "INTEREST_KERNELS"}
"""Where settings, secrets and kernels lie."""

A_SECRET = "s" * 64
PAGES = {
    "worker": {"9108/healthz", "9108/readyz", "9108/metrics"},
    "catalog": {"9108/healthz", "9108/readyz", "9108/metrics"},
    "trainer": {"9108/healthz", "9108/metrics"},
    "web": {"9180/healthz", "9180/metrics"},
}
"""What each role answers; `tests/integration/test_compose.py` asks for all of it."""


def grace_s(settings: Settings) -> float:
    """All that a worker that is told to stop may wait for."""
    return settings.cycle.stall_s + settings.redis.give_up_s + settings.flush.timeout_s


def setting_names(model: type[BaseModel] = Settings, path: str = PREFIX) -> Iterator[str]:
    """The variables of all settings."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from setting_names(kind, f"{path}{name.upper()}__")
        else:
            yield path + name.upper()


def secret_names() -> set[str]:
    """Those whose value is masked wherever it is printed."""

    def within(section: BaseModel, path: str) -> Iterator[str]:
        for name, value in section:
            if isinstance(value, BaseModel):
                yield from within(value, f"{path}{name.upper()}__")
            elif isinstance(value, SecretStr):
                yield path + name.upper()

    return set(within(Settings(), PREFIX))


def settings_from(variables: Mapping[str, str], secrets: Iterable[str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As a process reads them that has these variables and secrets. Raises AssertionError for a name that is none."""
    ours = {name: value for name, value in variables.items() if name.startswith(PREFIX)}
    unknown = set(ours) - set(setting_names()) - NO_SETTINGS
    assert not unknown, f"no settings: {', '.join(sorted(unknown))}"
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in {**ours, **dict.fromkeys(secrets, A_SECRET)}.items():
        if name not in NO_SETTINGS:
            monkeypatch.setenv(name, value)
    return load()


def parse(arguments: Iterable[str]) -> str:
    """The command that `interest` would run. Raises click's UsageError for what it would not take."""
    command: Any = typer.main.get_command(cli.app)
    context, rest, path = None, [str(one) for one in arguments], []
    while True:
        context = command.make_context(path[-1] if path else "interest", rest, parent=context)
        if not hasattr(command, "resolve_command"):
            return " ".join(path)
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        path.append(str(name))


def image_user() -> str:
    """As which the image runs: `uid:gid`."""
    (user,) = re.findall(r"^USER (\S+)$", (DEPLOY / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    return str(user)


def image_environment() -> dict[str, str]:
    """What the image sets."""
    text = (DEPLOY / "docker" / "Dockerfile").read_text().split(" AS final\n")[1]
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    return dict(pair.split("=", 1) for pair in block.replace("\\\n", " ").split())
