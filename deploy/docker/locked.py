"""The pins, hashes and all, that the package needs with some of its extras.

    python deploy/docker/locked.py "text llm" > requirements.txt

Without extras that is `deploy/requirements.lock`. A lock file for each set of them would be many: what the chosen ones
ask for is taken out of `deploy/requirements-dev.lock`, which has all, by the `# via` lines that name who asked.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = "interest-updater"


def main(words: str) -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = set(project["optional-dependencies"])
    extras = words.replace(",", " ").split()
    unknown = sorted(set(extras) - known)
    if unknown:
        sys.stderr.write(f"{', '.join(unknown)}: no such extra; there are {', '.join(sorted(known))}\n")
        return 2
    if not extras:
        sys.stdout.write((ROOT / "deploy" / "requirements.lock").read_text())
        return 0
    roots = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
    sys.stdout.write(chosen((ROOT / "deploy" / "requirements-dev.lock").read_text(), map(name_of, roots)))
    return 0


def chosen(lock: str, roots: Iterable[str]) -> str:
    """The parts of a lock file for these packages and all that they ask for, in its order."""
    pins = [(name_of(part), part) for part in re.split(r"\n(?=\S)", lock) if not part.startswith("#")]
    wanted, todo = set[str](), set(roots)
    while todo:
        wanted |= todo
        todo = {name for name, part in pins if name not in wanted and wanted & set(_asked_by(part))}
    missing = wanted - {name for name, _ in pins}
    if missing:
        raise SystemExit(f"the lock lacks {', '.join(sorted(missing))}: make lock")
    return "\n".join(part.rstrip("\n") for name, part in pins if name in wanted) + "\n"


def name_of(requirement: str) -> str:
    """Of a requirement or a pin, in its normal form."""
    found = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def _asked_by(part: str) -> list[str]:
    """Who is named below `# via`; the project's own asking is decided by the extras."""
    names = re.findall(r"^    #(?: via|  ) +(\S+)", part, re.MULTILINE)
    return [name_of(name) for name in names if name != PROJECT]


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
