"""A real Prometheus on this machine, Debian's, that scrapes and evaluates every second."""

import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from stream_app.local.server import LocalServer
from tests.operate.rules import RULE_FILES

BINARY = shutil.which("prometheus")
INTERVAL = "1s"
TIMEOUT_S = 20.0


class QueryError(ValueError):
    """Prometheus does not understand, or cannot answer."""


class LocalPrometheus(LocalServer):
    """`targets`: job -> host:port of each process. `rules`: files."""

    name = "Prometheus"
    start_timeout_s = 30.0
    stop_timeout_s = 10.0

    def __init__(self, folder: Path, targets: Mapping[str, Sequence[str]], rules: Sequence[Path] = ()) -> None:
        super().__init__(folder)
        self._targets, self._rules = targets, rules

    def ask(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of the HTTP API. Raises QueryError."""
        try:
            with urlopen(f"http://{self.address}/api/v1/{path}?{urlencode(parameters)}", timeout=TIMEOUT_S) as answer:
                return json.load(answer)["data"]
        except HTTPError as error:
            with error:
                raise QueryError(f"{parameters}: {error.read().decode()}") from error

    def values(self, expr: str) -> list[float]:
        """Of an instant query, but for those that are no number. Raises QueryError."""
        found = self.ask("query", query=expr)
        pairs = [found["result"]] if found["resultType"] == "scalar" else [one["value"] for one in found["result"]]
        return [value for _, text in pairs if not math.isnan(value := float(text))]

    def firing(self) -> dict[str, list[dict[str, str]]]:
        """Alert -> annotations of each that fires."""
        told: dict[str, list[dict[str, str]]] = {}
        for one in self.ask("alerts")["alerts"]:
            if one["state"] == "firing":
                told.setdefault(one["labels"]["alertname"], []).append(one["annotations"])
        return told

    def _prepare(self) -> None:
        configuration = {
            "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL},
            "rule_files": [str(rules) for rules in self._rules],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(targets)}]}
                for job, targets in self._targets.items()
            ],
        }
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))

    def _argv(self) -> Sequence[str]:
        assert BINARY is not None
        return [
            BINARY, f"--config.file={self.folder / 'prometheus.yml'}", f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={self.address}", "--log.level=warn",
        ]  # fmt: skip

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://{self.address}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def watching(
    folder: Path, targets: Mapping[str, Sequence[str]], times_faster: int = 1, changes: Mapping[str, str] | None = None
) -> Iterator[LocalPrometheus]:
    """A Prometheus with the rules of `deploy/`, whose durations are so many times shorter. `changes`: text of the
    rules -> what stands there instead."""
    folder.mkdir(parents=True, exist_ok=True)
    rules = [folder / file.name for file in RULE_FILES]
    for source, target in zip(RULE_FILES, rules, strict=True):
        target.write_text(hastened(_changed(source.read_text(), changes or {}), times_faster))
    with LocalPrometheus(folder / "server", targets, rules) as server:
        yield server


def _changed(text: str, changes: Mapping[str, str]) -> str:
    for was, becomes in changes.items():
        text = text.replace(was, becomes)
    return text


UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION = re.compile(r"(\[|offset |for: )(\d+)([smhd])\b")


def hastened(rules: str, times: int) -> str:
    """The same rules with every range, offset and `for` so many times shorter; names of series stay."""
    return DURATION.sub(lambda found: f"{found[1]}{_shorter(int(found[2]) * UNITS_S[found[3]], times)}s", rules)


def _shorter(seconds: int, times: int) -> int:
    """Rates need two scrapes, and one more where one is late."""
    return max(3, seconds // times) if times > 1 else seconds
