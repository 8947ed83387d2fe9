"""Builds and runs the image without an engine, as far as that goes: root on a Linux with overlayfs is all it needs.

    python deploy/docker/rehearse.py build FOLDER [NAME=VALUE ...]     # build arguments
    python deploy/docker/rehearse.py run FOLDER [NAME=VALUE ...] -- worker

The instructions of the Dockerfile are carried out in a copy-on-write view of this machine's root in place of the base
image. `run` starts the entry point as the image's user, without any capability, as process 1 of its namespace, on a
root that cannot be written to: /tmp is memory, /var/lib/interest a folder. What the base image is, and what an engine
makes of the instructions, it cannot show; nor is the network another one.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = Path(__file__).with_name("Dockerfile")
MOUNTS = ("/proc", "/dev", "/sys")
STATE, HOME = "/var/lib/interest", "/root"


@dataclass
class Stage:
    """What the instructions so far have set."""

    arguments: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    entry: list[str] = field(default_factory=list)

    def variables(self) -> dict[str, str]:
        return {**self.arguments, **self.environment}


def main(words: Sequence[str]) -> int:
    match words:
        case ["build", folder, *given]:
            return _alone(folder, "in-build", given)
        case ["run", folder, *given]:
            return _alone(folder, "in-run", given)
        case ["in-build", folder, *given]:
            return build(Path(folder), dict(one.split("=", 1) for one in given))
        case ["in-run", folder, *given] if "--" in given:
            cut = given.index("--")
            return run(Path(folder), dict(one.split("=", 1) for one in given[:cut]), given[cut + 1 :])
    sys.stderr.write(__doc__ or "")
    return 2


def _alone(folder: str, what: str, given: Sequence[str]) -> int:
    """This script once more, in mount and process namespaces of its own."""
    place = Path(folder).resolve()
    for name in ("upper", "work", "root", "state"):
        (place / name).mkdir(parents=True, exist_ok=True)
    argv = ["/usr/bin/unshare", "-m", "-p", "-f", "--kill-child", sys.executable, __file__, what, str(place), *given]
    return subprocess.run(argv, check=False).returncode


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction and what follows it, lines joined, comments left out."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word.upper(), rest.strip()


def build(folder: Path, given: Mapping[str, str]) -> int:
    root, stage = _view(folder), Stage()
    for word, rest in instructions(DOCKERFILE.read_text()):
        if word == "FROM":
            stage = Stage()
        if word == "RUN":
            sys.stdout.write(f"RUN {re.sub(' +', ' ', rest)}\n")
            sys.stdout.flush()
            code = _chrooted(root, stage, ["/bin/sh", "-c", rest])
            if code:
                return code
        elif word == "COPY" and not rest.startswith("--from"):
            _copy(root, stage, rest.split())
        else:
            _set(stage, word, rest, given)
    return 0


def _set(stage: Stage, word: str, rest: str, given: Mapping[str, str]) -> None:
    if word == "ARG":
        name, _, default = rest.partition("=")
        stage.arguments[name] = given.get(name, default.strip('"'))
    elif word == "ENV":
        for one in shlex.split(rest):
            name, _, value = one.partition("=")
            stage.environment[name] = value.replace("$PATH", os.environ["PATH"])
    elif word == "WORKDIR":
        stage.folder = rest
    elif word == "USER":
        stage.user = rest
    elif word == "ENTRYPOINT":
        stage.entry = re.findall(r'"([^"]*)"', rest)


def _copy(root: Path, stage: Stage, words: Sequence[str]) -> None:
    """What the context has; .dockerignore is not looked at."""
    *sources, target = words
    folder = root / stage.folder.lstrip("/") / target
    folder.parent.mkdir(parents=True, exist_ok=True)
    for source in sources:
        into = folder / source if target.endswith("/") else folder
        into.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["/bin/cp", "-rT", "--preserve=mode,timestamps", str(ROOT / source), str(into)], check=True)


def run(folder: Path, given: Mapping[str, str], command: Sequence[str]) -> int:
    root, stage = _view(folder), Stage()
    for word, rest in instructions(DOCKERFILE.read_text()):
        stage = Stage() if word == "FROM" else stage
        _set(stage, word, rest, {})
    stage.environment |= given
    uid, gid = stage.user.split(":")
    state = folder / "state"
    os.chown(state, int(uid), int(gid))
    _mount("--bind", state, root / STATE.lstrip("/"))
    _mount("-t", "tmpfs", "-o", "size=512m,mode=1777", "tmpfs", root / "tmp")
    _mount("-o", "remount,ro", root)
    as_user = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
    as_user += ["--inh-caps=-all", "--bounding-set=-all"]
    argv = [*as_user, *stage.entry, *command]
    environment = dict(stage.environment)
    os.chroot(root)
    os.chdir(stage.folder)
    os.execvpe(argv[0], argv, environment)  # noqa: S606  # that is what it is for


def _view(folder: Path) -> Path:
    """This machine's root, written to in `folder` only."""
    root = folder / "root"
    layers = f"lowerdir=/,upperdir={folder / 'upper'},workdir={folder / 'work'}"
    _mount("-t", "overlay", "-o", layers, "overlay", root)
    # An interpreter that lives in a home folder is for everybody's use here.
    (root / HOME.lstrip("/")).chmod(0o711)
    for one in MOUNTS:
        if one == "/proc":
            _mount("-t", "proc", "proc", root / "proc")
        else:
            _mount("--rbind", one, root / one.lstrip("/"))
    return root


def _chrooted(root: Path, stage: Stage, argv: Sequence[str]) -> int:
    (root / stage.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
    around = {name: value for name, value in os.environ.items() if not name.startswith("INTEREST_")}
    inside = ["chroot", str(root), "/bin/sh", "-c", 'cd "$0" && exec "$@"', stage.folder, *argv]
    return subprocess.run(inside, env={**around, **stage.variables()}, check=False).returncode


def _mount(*words: object) -> None:
    subprocess.run(["/bin/mount", *map(str, words)], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
