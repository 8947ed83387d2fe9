"""What comes with the optional extras: whether it is there, and its files, checked before they are used."""

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from model_store.catalog.errors import MisconfiguredError


def file_of(package: str, path: str, extra: str) -> Path:
    """A data file of an installed package, found without importing it; `extra` is ours that installs the package.
    Raises MisconfiguredError."""
    try:
        found = Path(str(distribution(package).locate_file(path)))
    except PackageNotFoundError:
        raise missing(package, extra) from None
    if not found.is_file():
        raise MisconfiguredError(f"the package {package} has no {path}: is it the version that the extra asks for?")
    return found


def missing(what: str, extra: str) -> MisconfiguredError:
    return MisconfiguredError(f'{what} is not installed: pip install "interest-updater[{extra}]"')


def require_sha256(file: Path, expected: str) -> None:
    """Raises MisconfiguredError for a file that is another one."""
    actual = sha256(file)
    if actual != expected:
        raise MisconfiguredError(f"{file.name} is not the file that is meant: its sha256 is {actual}, not {expected}")


def sha256(file: Path) -> str:
    """64 hexadecimal digits; a second for a gigabyte. Raises OSError."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
