"""What dashboards and rules ask Prometheus, and what of that must be there."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
from promql_parser import MatchOp, MatrixSelector, VectorSelector

from tests.operate.rules import ROOT

DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
VARIABLES = {"$job": ".*", "$instance": ".*", "$__rate_interval": "10s", "$__range": "60s"}
WORDS = re.compile(r"[\w-]+(\|[\w-]+)+")


@dataclass(frozen=True)
class Asked:
    """An expression, and where it stands."""

    where: str
    expr: str

    @property
    def filled_in(self) -> str:
        """With Grafana's variables as they are when everything is chosen."""
        expr = self.expr
        for variable, value in VARIABLES.items():
            expr = expr.replace(variable, value)
        return expr


def asked_by_dashboards() -> Iterator[Asked]:
    """Panels, annotations and variables of all dashboards."""
    for file in sorted(DASHBOARDS.glob("*.json")):
        yield from asked_by(json.loads(file.read_text()), file)


def asked_by(dashboard: dict[str, Any], file: Path) -> Iterator[Asked]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield Asked(f"{file.stem}: {panel['title']}", target["expr"])


def marks() -> Iterator[Asked]:
    """Annotations of the dashboards."""
    for file in sorted(DASHBOARDS.glob("*.json")):
        for mark in json.loads(file.read_text())["annotations"]["list"]:
            yield Asked(f"{file.stem}: {mark['name']}", mark["expr"])


def choices() -> Iterator[Asked]:
    """Series that the variables' values are of."""
    for file in sorted(DASHBOARDS.glob("*.json")):
        for variable in json.loads(file.read_text())["templating"]["list"]:
            found = re.fullmatch(r"label_values\((.*), \w+\)", variable["query"])
            if found:
                yield Asked(f"{file.stem}: ${variable['name']}", found[1])


def selectors(expr: str) -> list[VectorSelector]:
    """All series that an expression looks at. Raises ValueError for what is no PromQL."""
    found: dict[str, VectorSelector] = {}

    def note(node: Any) -> None:
        selector = node.vector_selector if isinstance(node, MatrixSelector) else node
        if isinstance(selector, VectorSelector):
            found.setdefault(str(selector), selector)

    promql_parser.walk(promql_parser.parse(expr), note)
    return list(found.values())


def parts(selector: VectorSelector) -> list[str]:
    """Selectors that must each find something: the metric with each single value of its matchers."""
    name = selector.name or ""
    single = [f"{name}{{{matcher}}}" for one in selector.matchers.matchers for matcher in _each(one)]
    return [name, *single]


def _each(matcher: Any) -> list[str]:
    """`why=~"a|b"` must find both; what excludes need find nothing."""
    match matcher.op:
        case MatchOp.Equal:
            return [f'{matcher.name}="{matcher.value}"']
        case MatchOp.Re if WORDS.fullmatch(matcher.value):
            return [f'{matcher.name}="{value}"' for value in matcher.value.split("|")]
        case _:
            return []
