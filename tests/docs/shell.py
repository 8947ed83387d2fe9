"""What the shell commands of a page ask for, and whether there is such a thing."""

import importlib.util
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import typer

from stream_app import cli
from stream_app.commands import bench
from stream_app.settings import Settings
from stream_app.variables import unknown
from tests.docs.pages import ROOT

Words = list[str]

OTHERS: Mapping[str, str] = {
    "shell": (
        ". [ alias cat cd chmod cp cut date diff dirname echo env exit export false find for grep head kill"
        " ls mkdir mktemp mv nohup od printf ps pwd rm sed seq set sh sleep sort source sudo tail tar tee test time"
        " timeout touch tr trap true umask uname uniq until wait watch wc which while xargs do done if then"
        " else fi"
    ),
    "of the machine, told of by its own manual": (
        "apt apt-get awk base64 chromium chown curl dd df du fallocate gdb git gzip htop ip iptables"
        " journalctl jq ln netstat nproc openssl pgrep pkill py-spy ss strace sysctl systemctl top wget"
    ),
    "of Kafka and Redis, run by the tests of what they are for": (
        "kcat redis-cli redis-server redis-benchmark valkey-cli valkey-server kafka-acls.sh kafka-configs.sh"
        " kafka-console-consumer.sh kafka-console-producer.sh kafka-consumer-groups.sh kafka-delete-records.sh"
        " kafka-get-offsets.sh kafka-leader-election.sh kafka-log-dirs.sh kafka-reassign-partitions.sh kafka-"
        " topics.sh"
    ),
    "needs an engine or a cluster, which is nowhere here": (
        "docker docker-compose helm hadolint k3d kind kubeconform kubectl kubernetes-validate kustomize"
        " minikube podman skaffold"
    ),
    "has tests of its own": (
        "prometheus promtool grafana-server amtool node npm npx tsc tsx go gofmt java javac mvn jar"
    ),
    "of Python's tools": ("pip pip3 pipx uv uvx pytest ruff mypy lint-imports"),
}
"""Commands that are not this project's -> why they are not looked into."""

_OPERATORS = {"|", "||", "&&", ";", "&", "|&", "(", ")", "{", "}", ";;"}
_REDIRECTIONS = {">", ">>", "<", "2>", "&>", ">&", "<<<", ">|"}
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_HERE = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?")
# What a reader puts a number, or one of a few words, in the place of.
_PLACEHOLDERS: Mapping[str, str] = {"N": "1", "PORT": "1", "SECONDS": "1", "RATE": "1"}
_OURS = re.compile(r"(?:\./)?(?:deploy|stream_app|model_store|tests)/[\w./*-]+")


class UnknownError(Exception):
    """A page asks for what is not there; or for what nobody has decided on."""


def commands(text: str) -> Iterator[Words]:
    """The simple commands of a block, without comments, here-documents and redirections."""
    for line in _lines(text):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        command: Words = []
        words = iter(lexer)
        for word in words:
            if word in _OPERATORS:
                yield from _kept(command)
                command = []
            elif word in _REDIRECTIONS:
                next(words, None)
                if command and command[-1] in ("1", "2"):
                    command.pop()
            else:
                command.append(word)
        yield from _kept(command)


def _kept(command: Words) -> Iterator[Words]:
    if command and command != ["$"]:
        yield command[1:] if command[0] == "$" else command


def _lines(text: str) -> Iterator[str]:
    until: str | None = None
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if until is not None:
            until = None if line.strip() == until else until
            continue
        here = _HERE.search(line)
        if here:
            until = here[1]
            line = line.replace(here[0], "")
        if line.strip():
            yield line


def check(command: Words) -> None:
    """Raises `UnknownError` for a program, command, option, target, module, variable or file that is not there."""
    variables = {}
    words = list(command)
    while words and _ASSIGNMENT.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    if words[:1] == ["export"]:
        variables |= dict(word.split("=", 1) for word in words[1:] if "=" in word)
    strange = unknown(variables, Settings)
    if strange:
        raise UnknownError(f"{', '.join(strange)}: no setting is called so")
    for word in words:
        _check_file(word)
    if words:
        _check_program(words[0], words[1:])


def _check_file(word: str) -> None:
    for path in _OURS.findall(word):
        if not any(ROOT.glob(path.removeprefix("./").rstrip("/."))):
            raise UnknownError(f"{path} is not in the repository")


def _check_program(program: str, arguments: Words) -> None:
    name = Path(program).name or program
    ours: Mapping[str, Callable[[Words], None]] = {
        "interest": _check_interest, "make": _check_make, "python": _check_python, "python3": _check_python,
    }  # fmt: skip
    if name in ours:
        ours[name](arguments)
    elif name in ("sudo", "time", "nohup", "env", "timeout", "watch") and arguments:
        check([word for word in arguments if not re.fullmatch(r"-\w+|\d+s?", word)])
    elif not any(name in names.split() for names in OTHERS.values()):
        raise UnknownError(f"{program} is unknown: add it to OTHERS in tests/docs/shell.py, with the reason")


@cache
def _interest() -> Any:
    return typer.main.get_command(cli.app)


def _check_interest(arguments: Words) -> None:
    """By the parser of the command itself, which runs nothing."""
    words = [_PLACEHOLDERS.get(word, word) for word in arguments if word != "..."]
    command, name, parent = _interest(), "interest", None
    try:
        while hasattr(command, "resolve_command"):
            parent = command.make_context(name, list(words), parent=parent)
            if not (rest := [*getattr(parent, "_protected_args", []), *parent.args]):
                raise UnknownError(f"interest {' '.join(arguments)}: names no command")
            name, command, words = command.resolve_command(parent, rest)
        command.make_context(name, list(words), parent=parent)
    except UnknownError:
        raise
    except Exception as error:
        if getattr(error, "exit_code", None) == 0:  # --help
            return
        said = getattr(error, "message", None) or str(error)
        raise UnknownError(f"interest {' '.join(arguments)}: {said}") from error
    known = bench.benchmarks(ROOT / "tests" / "bench")
    if name == "bench" and words and not words[0].startswith("-") and words[0] not in (*known, "NAME"):
        raise UnknownError(f"there is no benchmark {words[0]}")


def _check_make(arguments: Words) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = [word for word in arguments if "=" not in word and not word.startswith("-")]
    for target in asked:
        if target not in targets:
            raise UnknownError(f"make {target}: the Makefile has no such target")
    given = next((word.removeprefix("ARGS=") for word in arguments if word.startswith("ARGS=")), "")
    for target in {"demo", "bench"} & set(asked):
        _check_interest([target, *shlex.split(given)])


def _check_python(arguments: Words) -> None:
    if "-m" in arguments:
        module = arguments[arguments.index("-m") + 1]
        if importlib.util.find_spec(module) is None:
            raise UnknownError(f"python -m {module}: there is no such module")
