"""The tutorial is run, every command of it in order, in an empty folder; then what else of the pages can be run there.

One Kafka, one Redis, one small model and one worker serve all of it: those that the tutorial itself starts.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from stream_app.client import InterestReader
from stream_app.local import LeashedProcess
from stream_app.local.server import free_port
from stream_app.variables import PREFIX
from tests.docs import shell
from tests.docs.pages import ROOT, Block, blocks
from tests.failure.service import wait_for

TUTORIAL = "deploy/docs/tutorial.md"
PATIENCE_S = 240.0
SERVICES = ("local", "worker", "web")
DONE_ALREADY: Mapping[str, str] = {
    "make install": "this test runs in what it has installed",
    ". .venv/bin/activate": "the same",
}
"""Lines of the tutorial that are not run -> why."""
RUN_AS_WELL = (
    "interest settings --changed",
    "interest models list",
    "interest generations list",
    "interest explain u42 --language zh",
    "redis-cli HMGET 'interest:{u42}' topics windows version event_ts",
)
"""Lines of other pages that only look; each must still be on one."""
PYTHON_AS_WELL = (("README.md", "Publish events"), ("README.md", "Read interests"))
"""Where the first block of Python is run too, in this order."""
CLICKS_OF_17 = 25


class World:
    """A folder that was empty, with servers on free ports where the pages have the usual ones."""

    def __init__(self, folder: Path, services: ExitStack) -> None:
        self.folder, self._services = folder, services
        self.said: dict[str, list[str]] = {}
        ports = {9092: free_port(), 6379: free_port(), 9108: free_port(), 9180: free_port()}
        self._ports = {f":{usual}": f":{port}" for usual, port in ports.items()}
        self.redis_url, self._metrics, self._web = f"redis://127.0.0.1:{ports[6379]}/0", ports[9108], ports[9180]
        self._redis_port = ports[6379]
        programs = folder / ".bin"
        programs.mkdir()
        for name, arguments in (("interest", "-m stream_app "), ("python", "")):
            (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments}"$@"\n')
            (programs / name).chmod(0o755)
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)} | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "120",
            "INTEREST_KAFKA__BOOTSTRAP": f"127.0.0.1:{ports[9092]}",
            "INTEREST_REDIS__URL": self.redis_url,
            "INTEREST_METRICS__PORT": str(ports[9108]),
            "INTEREST_WEB__PORT": str(ports[9180]),
        }

    def play(self, block: Block) -> None:
        """Run a block of shell or Python."""
        if block.language == "python":
            self.run("python -", block.where, self._here(block.text))
            return
        for line in block.text.splitlines():
            command = " ".join(next(iter(shell.commands(line)), []))
            if command and command not in DONE_ALREADY:
                self.type(line, block.where)

    def type(self, line: str, where: str) -> None:
        """One line, as at a prompt; a service goes on in a terminal of its own."""
        program, *arguments = next(iter(shell.commands(line)))
        if program == "interest" and arguments[0] in SERVICES:
            self._serve(arguments)
        else:
            self.run(self._here(line), where)

    def run(self, line: str, where: str, given: str = "") -> None:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-ec", line],
            input=given, capture_output=True, text=True, cwd=self.folder, env=self._environment, timeout=PATIENCE_S,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{where}: {line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        self.said.setdefault(line.partition("#")[0].strip(), []).append(done.stdout)

    def _serve(self, arguments: list[str]) -> None:
        name = arguments[0]
        log = self.folder / f"{name}.log"
        argv = ["bash", "-c", f"cd {shlex.quote(str(self.folder))} && exec interest {shlex.join(arguments)}"]
        process = LeashedProcess(argv, log, self._environment)
        self._services.callback(process.stop, 30.0)

        def ready() -> bool | None:
            assert process.running, f"interest {name} has ended: {log.read_text()}"
            if name == "local":
                return "Ctrl-C" in log.read_text() or None
            url = {
                "worker": f"http://127.0.0.1:{self._metrics}/readyz",
                "web": f"http://127.0.0.1:{self._web}/healthz",
            }[name]
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    return answer.status == 200 or None
            except OSError:
                return None

        wait_for(f"interest {name}", ready, PATIENCE_S)

    def _here(self, text: str) -> str:
        for usual, port in self._ports.items():
            text = text.replace(usual, port)
        return text.replace("redis-cli ", f"redis-cli -p {self._redis_port} ")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """After the last line of the tutorial."""
    with ExitStack() as services:
        made = World(tmp_path_factory.mktemp("newcomer"), services)
        for block in blocks():
            if block.page == TUTORIAL:
                made.play(block)
        yield made


@pytest.mark.timeout(900)
def test_the_tutorial_works_as_it_is_told(world: World) -> None:
    lines = [json.loads(line) for line in (world.folder / "shop.jsonl").read_text().splitlines()]
    tastes = Counter(line["product"].split("-")[0] for line in lines if line.get("user") == 17)
    assert tastes.total() == CLICKS_OF_17
    liked = {"tea": "Tea", "bikes": "Cycling", "books": "Reading"}[tastes.most_common(1)[0][0]]
    before, after = world.said["interest show 17"]
    assert liked in before
    assert f"{len(lines) - 60:,} clicks" in "".join(*world.said[next(x for x in world.said if "replay" in x)])
    (numbers,) = (
        said[0] for line, said in world.said.items() if line.endswith("'^interest_events_total|^interest_users'")
    )
    applied = re.search(r'^interest_events_total\{kind="click",outcome="applied"\} ([\d.]+)$', numbers, re.MULTILINE)
    assert applied
    assert float(applied[1]) == len(lines) - 60
    assert before != after
    with InterestReader(world.redis_url) as reader:
        interest = reader.get("17")
        assert interest is not None
        assert interest.events == CLICKS_OF_17 + 1
        assert max(interest.topics, key=interest.topics.__getitem__) == liked
        assert reader.recommendations("17") is not None


@pytest.mark.timeout(600)
def test_what_else_can_be_run_there_runs(world: World) -> None:
    first = {place: next(b for b in blocks() if b.language == "python" and (b.page, b.heading) == place)
             for place in PYTHON_AS_WELL}  # fmt: skip
    world.play(first["README.md", "Publish events"])
    with InterestReader(world.redis_url) as reader:
        wait_for("u42", lambda: reader.get("u42"))
    world.play(first["README.md", "Read interests"])
    written = {" ".join(command): block.where for block in blocks() if block.language == "sh"
               for command in shell.commands(block.text)}  # fmt: skip
    faults: list[str] = []

    def look(line: str) -> None:
        where = written.get(" ".join(next(iter(shell.commands(line)))))
        try:
            assert where, f"{line} is on no page any more: take it out of RUN_AS_WELL"
            world.type(line, where)
        except AssertionError as fault:
            faults.append(str(fault))

    # Each mostly waits for its own imports.
    lookers = [
        threading.Thread(target=look, args=(line,))
        for line in RUN_AS_WELL
        if shutil.which(line.split()[0]) or line.startswith("interest")
    ]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()
    assert not faults, "\n".join(faults)
