"""Settings by name: what each is called in the environment and in a file, and what a misspelt name was meant to be."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

PREFIX = "INTEREST_"
OTHERS = frozenset({"INTEREST_CONFIG", "INTEREST_SECRETS", "INTEREST_KERNELS", "INTEREST_DATA"})
"""Variables that are read and are no settings: where settings lie, and where data sets."""

# Kubernetes sets these for every service of the namespace, `interest-web` for example.
_OF_A_SERVICE = re.compile(r"_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$")
_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
_ALIKE = 0.6


@dataclass(frozen=True)
class Setting:
    """One leaf of a tree of settings.

    Attributes:
        path: names of the sections and its own.
        field: its type, default and bounds.
        section: the class that declares it.
    """

    path: tuple[str, ...]
    field: FieldInfo
    section: type[BaseModel]

    @property
    def key(self) -> str:
        """As a TOML file has it, `kafka.bootstrap`."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """As the environment has it, `INTEREST_KAFKA__BOOTSTRAP`."""
        return PREFIX + "__".join(self.path).upper()

    @property
    def default(self) -> Any:
        return self.field.get_default(call_default_factory=True)


def settings_in(tree: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[Setting]:
    """All settings of a tree, in the order of their definition."""
    for name, field in tree.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings_in(field.annotation, (*path, name))
        else:
            yield Setting((*path, name), field, tree)


def unknown(environment: Mapping[str, str], tree: type[BaseModel]) -> list[str]:
    """Names of variables that look like settings and are none, but for those that Kubernetes sets by itself."""
    known = {setting.variable for setting in settings_in(tree)} | _sections(tree) | OTHERS
    # As pydantic-settings reads them, case does not matter.
    return sorted(
        name
        for name, value in environment.items()
        if name.upper().startswith(PREFIX) and name.upper() not in known and not _is_of_a_service(name.upper(), value)
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
    return found[0] if found else None


def _sections(tree: type[BaseModel], prefix: str = PREFIX) -> set[str]:
    """A section may be given whole, as JSON."""
    found: set[str] = set()
    for name, field in tree.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            variable = prefix + name.upper()
            found |= {variable} | _sections(field.annotation, f"{variable}__")
    return found


def _is_of_a_service(name: str, value: str) -> bool:
    if "__" in name or not _OF_A_SERVICE.search(name):
        return False
    return "_SERVICE_" in name or bool(re.search(r"_\d+_(TCP|UDP|SCTP)", name)) or bool(_ADDRESS.match(value))
