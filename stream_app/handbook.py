"""The page about settings, and which values are in force and why, both from the code."""

import inspect
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from stream_app.masking import MASK
from stream_app.settings import Settings
from stream_app.variables import Setting, settings_in

UNITS: Mapping[str, str] = {"_s": "second", "_ms": "millisecond", "_bytes": "byte"}
"""Ending of a name -> the unit."""
_TYPES: Mapping[object, str] = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
_BOUNDS = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
_HEAD = """# Settings

Made by `interest settings --markdown > deploy/docs/settings.md` from `stream_app/settings.py`; a test compares the two.

A setting is an environment variable, or a line of the TOML file that `INTEREST_CONFIG` names. The environment wins over
the file, and an option of a command over both. A secret may also be a file, named like its variable, in the folder that
`INTEREST_SECRETS` names. A variable or a key that is no setting ends a command with status 2 and the name that was
probably meant; only what Kubernetes sets for its services is passed over.

    interest settings                 # what is in force, and where each value comes from
    interest settings --changed       # only what is not the default

What ends in `_s` is in seconds, in `_ms` in milliseconds, in `_bytes` in bytes. **All alike** marks what all workers of
a group must agree on (`stream_app/agreement.py`): one that differs refuses to start.
"""


@dataclass(frozen=True)
class Effective:
    """One setting as it is in force.

    Attributes:
        value: as text, masked where it is a secret.
        origin: `default`, `file`, `secrets` or `environment`.
    """

    setting: Setting
    value: str
    origin: str


def unit_of(name: str) -> str | None:
    """The unit that a setting's name ends with."""
    return next((unit for ending, unit in UNITS.items() if name.endswith(ending)), None)


def meaning_of(setting: Setting) -> tuple[str, str]:
    """What a setting is, and when one would change it; empty where nothing is said."""
    what, _, why = inspect.cleandoc(setting.field.description or "").partition("\n\n")
    return " ".join(what.split()), " ".join(why.split())


def effective(settings: Settings) -> list[Effective]:
    """All settings in force, in the order of their definition."""
    origins = _origins()
    return [
        Effective(setting, _shown(_at(settings, setting.path)), _origin(setting, origins))
        for setting in settings_in(Settings)
    ]


def page() -> str:
    """`deploy/docs/settings.md`."""
    from stream_app.agreement import settings_of as agreed  # with the model, which only this page waits for

    common = set(agreed(Settings.model_construct(**{name: f.default for name, f in Settings.model_fields.items()})))
    parts = [_HEAD]
    for path, found in _sections().items():
        parts.append(_table(".".join(path) or "At the top level", found[0].section if path else None, found, common))
    return "\n".join(parts)


def _sections() -> dict[tuple[str, ...], list[Setting]]:
    """Settings by the section that they are in; a section before those inside it."""
    found: dict[tuple[str, ...], list[Setting]] = {}
    for setting in settings_in(Settings):
        found.setdefault(setting.path[:-1], []).append(setting)
    order = [*Settings.model_fields]
    return dict(sorted(found.items(), key=lambda of: (order.index(of[0][0]) if of[0] else -1, len(of[0]))))


def _table(title: str, section: type[BaseModel] | None, settings: list[Setting], common: set[str]) -> str:
    about = f"{' '.join(inspect.cleandoc(section.__doc__).split())}\n\n" if section and section.__doc__ else ""
    rows = "\n".join(_row(setting, setting.key in common) for setting in settings)
    head = "| variable, key | value | default | what it is | change it when |\n| --- | --- | --- | --- | --- |"
    return f"## {title}\n\n{about}{head}\n{rows}\n"


def _row(setting: Setting, common: bool) -> str:
    what, why = meaning_of(setting)
    cells = (
        f"`{setting.variable}`<br>`{setting.key}`",
        _kind(setting),
        _default(setting),
        f"{what} **All alike.**" if common else what,
        why,
    )
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _kind(setting: Setting) -> str:
    """Type, bounds and unit, in words."""
    bounds = [f"{sign} {_number(value)}" for value, sign in _bounds(setting)]
    unit = unit_of(setting.path[-1])
    return ", ".join([_type(setting.field.annotation), *bounds, *([f"{unit}s"] if unit else [])])


def _type(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        return _type(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        inner = [one for one in get_args(kind) if one is not NoneType]
        return f"{_type(inner[0])}, or unset"
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is tuple:
        return "list, as JSON"
    return "secret" if kind is SecretStr else _TYPES[kind]


def _bounds(setting: Setting) -> Iterator[tuple[float, str]]:
    for constraint in setting.field.metadata:
        for name, sign in _BOUNDS:
            if getattr(constraint, name, None) is not None:
                yield getattr(constraint, name), sign


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _default(setting: Setting) -> str:
    value = setting.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()  # the one in the code is no secret
    if value in (None, "", ()):
        return "unset" if value is None else "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        tree = getattr(tree, name)
    return tree


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return _masked(value.get_secret_value())
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _masked(secret: str) -> str:
    """A URL is shown as it is: what is secret in it is known, and hidden when it is printed."""
    if not secret or "://" in secret:
        return secret
    return MASK


def _origins() -> dict[str, dict[str, Any]]:
    """What each source says; the first one wins."""
    config, secrets = os.environ.get("INTEREST_CONFIG"), os.environ.get("INTEREST_SECRETS")
    found: dict[str, dict[str, Any]] = {"environment": EnvSettingsSource(Settings)()}
    if secrets:
        names = [path.name.upper() for path in Path(secrets).iterdir()]
        found["secrets"] = {setting.key: None for setting in settings_in(Settings) if setting.variable in names}
    if config:
        found["file"] = TomlConfigSettingsSource(Settings, Path(config))()
    return found


def _origin(setting: Setting, origins: Mapping[str, dict[str, Any]]) -> str:
    for origin, tree in origins.items():
        if setting.key in tree or _has(tree, setting.path):
            return origin
    return "default"


def _has(tree: Any, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(tree, Mapping) or name not in tree:
            return False
        tree = tree[name]
    return True
